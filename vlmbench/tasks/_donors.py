"""Whose images' states a document is given, where a condition patches them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vlmbench.spec import Patch, TaskSpec, doc_text
from vlmbench.types import Document


def donors(documents: Sequence[Document], rng: np.random.Generator) -> list[int | None]:
    """Return, per document, the position of the one that lends it its images.

    That is the next document, in one random order of all, whose images have the same sizes in the
    same order, and so as many tokens in any model, and whose gold is another. It may lend to
    several.

    Returns:
        Positions; None for a document that has no such other.
    """
    alike: dict[object, list[int]] = {}
    for place in rng.permutation(len(documents)).tolist():
        sizes = tuple(image.size for image in documents[place].images)
        alike.setdefault(sizes, []).append(place)
    found: list[int | None] = [None] * len(documents)
    for places in alike.values():
        for at, place in enumerate(places):
            gold = documents[place].gold
            others = (*places[at + 1 :], *places[:at])
            found[place] = next((one for one in others if documents[one].gold != gold), None)
    return found


def with_others(
    documents: Sequence[Document],
    patch: Patch,
    lending: Sequence[int | None],
    task: TaskSpec | None,
    rights: Sequence[int],
) -> list[Document]:
    """Return documents with the images whose states they are given; those without are left out.

    Where the lender is asked the very same question, the choice that is right for it is known to
    be right for its images; where questions differ, letters mean other things and none is known.

    Args:
        documents: As a condition shows them.
        patch: What is done with the states.
        lending: Positions of the lenders.
        task: Their task, for its questions; None where they are not known.
        rights: The choice that is right for what each document shows; -1 where none is.
    """
    if patch.source == "self":
        return [replace(document, others=document.images) for document in documents]
    given = []
    for document, place in zip(documents, lending, strict=True):
        if place is None:
            continue
        lender = documents[place]
        target = rights[place] if patch.source == "other" and _alike(document, lender, task) else -1
        given.append(replace(document, others=lender.images, image_target=target))
    return given


def _alike(one: Document, other: Document, task: TaskSpec | None) -> bool:
    """Tell whether two documents are asked the same question about their images."""
    if task is None or one.choices != other.choices:
        return False
    return doc_text(task, one.row) == doc_text(task, other.row)
