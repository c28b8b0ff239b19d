"""Documents whose images are drawn anew with another answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from vlmbench.spec import Located, TaskSpec
from vlmbench.tasks import worlds
from vlmbench.tasks._documents import make_document
from vlmbench.types import Document, EncodedImage, Problem, VlmbenchError

# Processors differ in the last bit of a float, which moves a few pixel values of a million.
_ROUNDING = 1e-3


def redrawn(documents: Sequence[Document], task: Located[TaskSpec]) -> Iterator[Document]:
    """Yield documents as their world draws them with the one fact changed that decides the answer.

    Everything but images and `image_target` stays: question, choices, regions, and gold, which
    is that of the document's own images. Documents that cannot be drawn so are left out.

    Args:
        documents: Documents of a world, as they were drawn.
        task: Their task.

    Raises:
        VlmbenchError: If a document is not drawn here as it was, or its places move.
    """
    generator = task.spec.bench.generator
    assert generator is not None, "asked for before"
    for document in documents:
        plain, changed = worlds.counterfactual(generator, str(document.row["doc_id"]))
        own = make_document(task, "reported", plain, 0)
        if not _is_same(own, document):
            message = f"document {document.doc_id!r} is drawn differently here than its data was"
            remedy = "Delete the task's rendered data; the next run draws it again."
            raise VlmbenchError(Problem(message=message, remedy=remedy))
        if changed is None:
            continue
        other = make_document(task, "reported", changed, 0)
        if _places(other) != _places(document):
            message = f"document {document.doc_id!r} would have other choices or other places"
            raise VlmbenchError(Problem(message=message))
        yield replace(
            document,
            images=other.images,
            encoder_images=other.encoder_images,
            image_target=other.gold,
        )


def _is_same(own: Document, document: Document) -> bool:
    """Tell whether a document drawn here is the one that was drawn, but for bits of rounding."""
    if (own.gold, _places(own)) != (document.gold, _places(document)):
        return False
    pairs = zip(_images(own), _images(document), strict=True)
    return all(a.digest == b.digest or _differ(a, b) <= _ROUNDING for a, b in pairs)


def _images(document: Document) -> tuple[EncodedImage, ...]:
    return (*document.images, *document.encoder_images)


def _differ(one: EncodedImage, other: EncodedImage) -> float:
    """Return the share of pixel values that differ; 1 for images of other sizes."""
    a, b = np.asarray(one.decode()), np.asarray(other.decode())
    return float((a != b).mean()) if a.shape == b.shape else 1.0


def _places(document: Document) -> tuple[object, ...]:
    return document.choices, document.reference, document.candidates
