"""Where a document's images and regions lie on what a model is shown, at any stage of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vlmbench.models import Seen, StageTap, place
from vlmbench.readouts._prompted import Item
from vlmbench.readouts.probes import ImageFeatures, OnGrid
from vlmbench.types import Document, DocumentError, Region


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Where one of a document's images lies on the images of its prompt.

    Attributes:
        image: Which image of the prompt.
        box: (x0, y0, x1, y1) on it, as shares of its width and height.
    """

    image: int
    box: tuple[float, float, float, float]


def frames_of(item: Item, tap: StageTap) -> list[tuple[Where, tuple[int, int]]]:
    """Return where each of a document's images is in its prompt, and its size in pixels.

    Raises:
        DocumentError: If the images that regions are given on are not of the sizes of those shown.
    """
    document, shown = item.asked.document, item.prompt.images
    sizes = [image.size for image in document.images]
    if sizes != [image.size for image in document.encoder_images]:
        raise DocumentError("its images with and without markers differ in size")
    whole = [
        Region(image=i, kind="box", xy=(0.0, 0.0, *map(float, size)))
        for i, size in enumerate(sizes)
    ]
    frames = []
    for region, size in zip(place(whole, sizes, tap.backend.spec.image), sizes, strict=True):
        width, height = shown[region.image].size
        x0, y0, x1, y1 = region.xy
        box = (x0 / width, y0 / height, x1 / width, y1 / height)
        frames.append((Where(image=region.image, box=box), size))
    return frames


def features_of(
    seen: Seen, box: tuple[float, float, float, float], size: tuple[int, int]
) -> ImageFeatures:
    """Return one image's features from the view of the prompt's image that shows it."""
    x0, y0, x1, y1 = seen.box
    width, height = x1 - x0, y1 - y0
    placed = (
        x0 + box[0] * width, y0 + box[1] * height, x0 + box[2] * width, y0 + box[3] * height
    )  # fmt: skip
    rows, columns, _ = seen.tokens.shape
    return ImageFeatures(
        patch_tokens=seen.tokens[None],
        cls_token=seen.cls_token,
        frame=OnGrid(image_size=size, grid=(rows, columns), box=placed),
    )


def check_shown(document: Document, features: Sequence[ImageFeatures]) -> None:
    """Refuse a document whose points or boxes lie where the model sees nothing of the image."""
    regions = [*([document.reference] if document.reference else []), *document.candidates]
    for region in regions:
        frame = features[region.image].frame
        if region.kind == "image" or not isinstance(frame, OnGrid):
            continue
        xy = np.reshape(region.xy, (-1, 2))
        if not frame.shows(xy + 0.5 if region.kind == "point" else xy):
            raise DocumentError("one of its regions lies outside of what the model is shown")
