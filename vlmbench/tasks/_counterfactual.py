"""Documents whose images are drawn anew with another answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from vlmbench.spec import Located, TaskSpec
from vlmbench.tasks import worlds
from vlmbench.tasks._documents import make_document
from vlmbench.types import Document, Problem, VlmbenchError


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
        if _seen(own) != _seen(document):
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


def _seen(document: Document) -> tuple[object, ...]:
    images = (*document.images, *document.encoder_images)
    return (document.gold, *_places(document), *(image.digest for image in images))


def _places(document: Document) -> tuple[object, ...]:
    return document.choices, document.reference, document.candidates
