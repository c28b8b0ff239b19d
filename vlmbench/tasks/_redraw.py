"""Markers drawn anew on the images without them, in the task's own style or one near it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from PIL import Image

from vlmbench.spec import DrawnHere, MarkerLook, RedrawnMarkers, TaskSpec
from vlmbench.tasks import worlds
from vlmbench.tasks._markers import Place, Style, blink_style, draw
from vlmbench.tasks._shown_places import labelled, place_of
from vlmbench.types import ChangedImage, Document, EncodedImage

Marks = Sequence[tuple[Place, str]]


def with_markers(document: Document, task: TaskSpec, change: RedrawnMarkers) -> Document:
    """Return a document whose markers look as a condition says; the encoder's images stay.

    Places and labels are the task's own. In the look `own` the images come out as they were, to the
    bit, where the data holds places as they were drawn; of three worlds it holds them to a
    hundredth of a pixel, which moves single pixels at the edge of a shape, and at times a label.
    """
    look = change.look
    images = []
    for index, own in enumerate(document.images):
        image: EncodedImage = own
        marks = _marks(document, task, index)
        if marks:  # not every image of a document has places
            redo = partial(_redone, marks, task, look)
            plain, name = document.encoder_images[index], f"{own.name} ({change.label})"
            image = ChangedImage(plain, redo, name)
        if look.jpeg is not None:
            squeeze = partial(_compressed, look.jpeg)
            image = ChangedImage(image, squeeze, f"{image.name} (JPEG {look.jpeg})")
        images.append(image)
    return replace(document, images=tuple(images))


def _redone(marks: Marks, task: TaskSpec, look: MarkerLook, plain: Image.Image) -> Image.Image:
    """Return a picture with markers."""
    style = _styled(_own_style(task, plain.size), look)
    places, names = [place for place, _ in marks], [name for _, name in marks]
    return Image.fromarray(draw(np.asarray(plain), places, names, style))


def _marks(document: Document, task: TaskSpec, index: int) -> Marks:
    """Return places and labels of the markers on one image."""
    generator = task.bench.generator
    if generator is None:
        marks = labelled(document.reference, document.candidates, document.choices)
        return [(place_of(region), text) for region, text in marks if region.image == index]
    drawn = worlds.WORLDS[generator.world].markers.get(task.image_columns[index])
    if drawn is None:
        return []
    column, labels = drawn
    points = np.asarray(document.row[column], dtype=float).reshape(-1, 2) + 0.5
    return [((x, y), label) for (x, y), label in zip(points.tolist(), labels, strict=True)]


def _own_style(task: TaskSpec, size: tuple[int, int]) -> Style:
    """Return how the task draws markers on images of (width, height)."""
    markers = task.bench.markers
    if task.bench.generator is not None:
        return worlds.marker_style()
    return blink_style(size, markers) if isinstance(markers, DrawnHere) else blink_style(size)


def _styled(style: Style, look: MarkerLook) -> Style:
    """Return a style with what a look changes; letters stay as large as they are.

    Where size or side change, labels get the half pixel that rounding takes: else a label that
    would touch its own shape by a fraction of a pixel stands on another side than it should.
    """
    moved = look.scale != 1 or look.side is not None
    return replace(
        style,
        colour=look.colour or style.colour,
        radius=style.radius * look.scale,
        stroke=style.stroke * look.scale,
        shape=look.shape or style.shape,
        side=look.side or style.side,
        gap=max(style.gap, style.clear + 0.5) if moved else style.gap,
    )


def _compressed(quality: int, picture: Image.Image) -> Image.Image:
    """Return what a JPEG file of a picture shows."""
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=quality)
    return EncodedImage(buffer.getvalue()).decode()
