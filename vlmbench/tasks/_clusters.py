"""Which documents share image files, where a task does not say what they share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace

from vlmbench.types import Document


def clustered(documents: Sequence[Document], column: str | None) -> tuple[Document, ...]:
    """Return documents with their clusters.

    Where the task names a column (`metadata.vlmbench.cluster_by`) they have them already. Else
    documents that share an image file belong together, and what belongs with either of two
    belongs with both. If that puts more than half of them into one cluster, as a reference image
    shared by all does, only documents whose images are all the same belong together; and if more
    than half have the same ones, as a blank in place of all images, nothing is taken as shared.

    Args:
        documents: The documents as the task has them, before any condition.
        column: The task's `cluster_by`.
    """
    if column is not None:
        return tuple(documents)
    files = [
        frozenset(image.digest for image in (*document.images, *document.encoder_images))
        for document in documents
    ]
    for shared in (files, [(held,) for held in files]):
        names = _joined(shared)
        largest = max(Counter(names).values())
        if largest == 1:
            break
        if 2 * largest <= len(documents):
            return tuple(
                replace(document, cluster=documents[name].doc_id)
                for document, name in zip(documents, names, strict=True)
            )
    return tuple(documents)


def _joined(parts: Sequence[Sequence[Hashable] | frozenset[Hashable]]) -> list[int]:
    """Return for each item the first item that it is linked to through parts they share."""
    first: dict[Hashable, int] = {}
    leader = list(range(len(parts)))

    def lead(item: int) -> int:
        while leader[item] != item:
            leader[item] = leader[leader[item]]
            item = leader[item]
        return item

    for item, held in enumerate(parts):
        for part in held:
            one, other = sorted((lead(item), lead(first.setdefault(part, item))))
            leader[other] = one
    return [lead(item) for item in range(len(parts))]
