"""Applying a condition to documents, before anything reads them: their images and regions.

What a condition does to the prompt is in `_questions`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlmbench.spec import (
    GREY,
    Condition,
    EvidenceMask,
    Located,
    NoImages,
    Patch,
    PixelChange,
    RedrawnMarkers,
    SwappedImages,
    TaskSpec,
)
from vlmbench.tasks import worlds
from vlmbench.tasks._counterfactual import redrawn
from vlmbench.tasks._donors import donors, with_others
from vlmbench.tasks._evidence import Mask, elsewhere, region_mask
from vlmbench.tasks._redraw import with_markers
from vlmbench.tasks._swap import swap
from vlmbench.types import ChangedImage, Document, EncodedImage, Region, VlmbenchError

Pixels = NDArray[np.uint8]
_Alter = Callable[[Pixels, int, np.random.Generator], Pixels]
"""Takes (height, width, 3), the image's index, and where everything random comes from."""


def apply_conditions(
    documents: Sequence[Document],
    condition: Condition,
    *,
    first: int | None = None,
    task: Located[TaskSpec] | None = None,
) -> list[Document]:
    """Return documents as a condition shows them.

    Images are changed when they are decoded, by whoever does that, and are not held. Images and
    `encoder_images` are changed alike, at the same places. What is drawn for a document depends on
    the condition's seed, the document's id and the kind of change, and on nothing else; only
    `swapped` and patches depend on all the documents. Where a change needs points or boxes,
    documents whose regions are not known are left out, where images are drawn anew, those that
    cannot be, and where states are patched, those to whom no other can lend its own. Regions stay
    as they are, except where the change moves places: points and boxes would name the wrong pixels
    there, and are dropped.

    Args:
        documents: All documents of the task: images are swapped among them.
        condition: What to change. Its text is left to `ask`.
        task: Their task; needed where markers are drawn anew.
        first: Return only the first so many.
        task: Their task, which says how images are drawn anew and what is asked.

    Raises:
        VlmbenchError: If the condition cannot be applied to these documents (see `obstacle`).
    """
    reason = obstacle(documents, condition, task=task)
    if reason is not None:
        raise VlmbenchError(reason)
    patch = condition.forward
    if not isinstance(patch, Patch):
        return _shown(documents, condition, first, task)
    shown = _shown(documents, condition, None, task)
    lending = donors(shown, draw(condition.seed, "", "patch"))
    rights = [_right(document, condition) for document in shown]
    spec = None if task is None else task.spec
    return with_others(shown, patch, lending, spec, rights)[:first]


def _shown(
    documents: Sequence[Document],
    condition: Condition,
    first: int | None,
    task: Located[TaskSpec] | None,
) -> list[Document]:
    """Return documents with the images that a condition shows."""
    change = condition.image
    if isinstance(change, SwappedImages):
        return _swapped(documents, condition.seed)[:first]
    if isinstance(change, RedrawnMarkers):
        assert task is not None, "markers are drawn anew as the task draws them"
        return [with_markers(document, task.spec, change) for document in documents[:first]]
    if change.redraws:
        assert task is not None, "asked for before"
        return list(islice(redrawn(documents, task), first))
    shown = documents
    if change.needs_places:
        shown = [document for document in documents if _places(document)]
    return [_changed(document, condition) for document in shown[:first]]


def _right(document: Document, condition: Condition) -> int:
    """Return the choice that is right for what a document shows; -1 where none is known to be."""
    if condition.image.redraws:
        return document.image_target
    return -1 if condition.image.replaces else document.gold


def obstacle(
    documents: Sequence[Document],
    condition: Condition,
    *,
    task: Located[TaskSpec] | None = None,
) -> str | None:
    """Return why a condition cannot be applied to these documents, or None if it can."""
    change = condition.image
    if change.redraws:
        generator = None if task is None else task.spec.bench.generator
        if generator is None:
            return "their images were not drawn here, so they cannot be drawn with another answer"
        if not worlds.has_counterfactuals(generator):
            return f"the world {generator.world!r} does not draw documents with another answer"
    if _lends(condition) and not any(
        place is not None for place in donors(documents, draw(0, "", "patch"))
    ):
        return "no two documents have images of the same sizes and another gold"
    if change.needs_others and _others(documents, condition.seed) is None:
        return (
            "images cannot be swapped: more than half of the documents with the same number of "
            "images have the same ones"
        )
    return _unmaskable(documents, change) if isinstance(change, EvidenceMask) else None


def _lends(condition: Condition) -> bool:
    """Tell whether documents are given the states of others."""
    return isinstance(condition.forward, Patch) and condition.forward.source != "self"


def _unmaskable(documents: Sequence[Document], change: EvidenceMask) -> str | None:
    located = [document for document in documents if _places(document)]
    if not located:
        return "no document has a point or box that could be greyed"
    crowded = [document.doc_id for document in located if _is_crowded(document)]
    if change.where == "regions" or not crowded:
        return None
    return (
        f"the regions of {len(crowded)} documents, {crowded[0]!r} first, cover more than half of "
        "an image, so there is not as much room elsewhere"
    )


def draw(seed: int, doc_id: str, kind: str, index: int = 0) -> np.random.Generator:
    """Return the generator of one document, kind of change and image."""
    digest = hashlib.sha256(json.dumps([seed, doc_id, kind, index]).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def _changed(document: Document, condition: Condition) -> Document:
    """Return one document as a condition shows it that needs no others."""
    change = condition.image
    match change:
        case NoImages():
            return replace(document, images=())
        case EvidenceMask():
            return _altered(document, condition, partial(_masked, document, change))
        case PixelChange() if not change.is_idle:
            altered = _altered(document, condition, partial(_pixelwise, change))
            return _unplaced(altered) if change.moves_places else altered
        case _:
            return document


def _altered(document: Document, condition: Condition, alter: _Alter) -> Document:
    """Return the document with all its images altered, marked and unmarked ones alike."""

    def all_of(images: Sequence[EncodedImage]) -> tuple[EncodedImage, ...]:
        return tuple(
            ChangedImage(
                image,
                partial(_redone, alter, index, condition, document.doc_id),
                f"{image.name} ({condition.image.label})",
            )
            for index, image in enumerate(images)
        )

    images = all_of(document.images)
    same = document.encoder_images == document.images
    return replace(
        document, images=images, encoder_images=images if same else all_of(document.encoder_images)
    )


def _redone(
    alter: _Alter, index: int, condition: Condition, doc_id: str, picture: Image.Image
) -> Image.Image:
    """Return a document's picture of this index, altered."""
    # One draw for all strengths, and for both evidence masks.
    rng = draw(condition.seed, doc_id, condition.image.kind, index)
    return Image.fromarray(alter(np.asarray(picture), index, rng))


def _pixelwise(change: PixelChange, pixels: Pixels, _: int, rng: np.random.Generator) -> Pixels:
    return change.alter(pixels, rng)


def _masked(
    document: Document,
    change: EvidenceMask,
    pixels: Pixels,
    index: int,
    rng: np.random.Generator,
) -> Pixels:
    """Return the document's image of this index with its regions greyed, or as much elsewhere."""
    mask = _mask(document, index, (pixels.shape[1], pixels.shape[0]))
    if change.where == "random":
        mask = elsewhere(mask, rng)
    return np.where(mask[..., None], np.uint8(GREY), pixels)


def _swapped(documents: Sequence[Document], seed: int) -> list[Document]:
    others = _others(documents, seed)
    assert others is not None, "asked for before"
    return [
        replace(
            _unplaced(document),
            images=documents[other].images,
            encoder_images=documents[other].encoder_images,
        )
        for document, other in zip(documents, others, strict=True)
    ]


def _others(documents: Sequence[Document], seed: int) -> list[int] | None:
    """Return whose images each document gets: as many, and not the same ones in any order."""
    return swap(
        [len(document.images) for document in documents],
        [tuple(sorted(image.digest for image in document.images)) for document in documents],
        draw(seed, "", "swapped"),
    )


def _unplaced(document: Document) -> Document:
    """Drop points and boxes, which no longer name what they did; whole images stay."""
    return replace(document, reference=None, candidates=()) if _places(document) else document


def _places(document: Document) -> list[Region]:
    """Return the document's points and boxes."""
    regions = (document.reference, *document.candidates)
    return [region for region in regions if region is not None and region.kind != "image"]


def _mask(document: Document, index: int, size: tuple[int, int]) -> Mask:
    """Return which pixels of an image, drawn at `size`, the document's regions cover."""
    width, height = document.encoder_images[index].size
    scale = (size[0] / width, size[1] / height) * 2
    scaled = [
        replace(region, xy=tuple(v * s for v, s in zip(region.xy, scale, strict=False)))
        for region in _places(document)
        if region.image == index
    ]
    return region_mask(size, scaled)


def _is_crowded(document: Document) -> bool:
    return any(
        2 * int(_mask(document, index, image.size).sum()) > image.size[0] * image.size[1]
        for index, image in enumerate(document.encoder_images)
    )
