"""How a document shows the places it asks about: markers on images, or numbers in its prompt."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

from PIL import Image

from vlmbench.spec import DrawnHere
from vlmbench.tasks._markers import Place, mark
from vlmbench.types import ChangedImage, Document, EncodedImage, Problem, Region, VlmbenchError

REFERENCE = "REF"
"""Label of the place that a question starts from."""

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_BRACKET = re.compile(r"[()\[\]{}<>]")


def draw_places(
    images: Sequence[EncodedImage],
    reference: Region | None,
    candidates: Sequence[Region],
    choices: Sequence[str],
    wanted: DrawnHere,
) -> tuple[EncodedImage, ...]:
    """Return a document's images with markers about its points and boxes.

    Args:
        images: Without markers. One that holds no place comes back as it is.
        reference: Labelled REF.
        candidates: Labelled by the choices, without brackets.
        choices: One per candidate.
        wanted: How markers look.

    Raises:
        VlmbenchError: If a label cannot be written. That an image is too small for it is found
            when the image is decoded.
    """
    marks = labelled(reference, candidates, choices)
    shown = list(images)
    for index, image in enumerate(images):
        here = [(region, text) for region, text in marks if region.image == index]
        if here:
            shown[index] = _marked(image, here, wanted)
    return tuple(shown)


def labelled(
    reference: Region | None, candidates: Sequence[Region], choices: Sequence[str]
) -> list[tuple[Region, str]]:
    """Return a document's points and boxes with their labels, in the order they are drawn in.

    Raises:
        VlmbenchError: If a choice cannot be written as a label.
    """
    labels = [_label(choice) for choice in choices[: len(candidates)]]
    marks = [*zip(candidates, labels, strict=True)]
    if reference is not None:
        marks.insert(0, (reference, REFERENCE))
    return [(region, text) for region, text in marks if region.kind != "image"]


def _marked(
    image: EncodedImage, labelled: Sequence[tuple[Region, str]], wanted: DrawnHere
) -> EncodedImage:
    places = [place_of(region) for region, _ in labelled]
    labels = [label for _, label in labelled]
    change = partial(_with_markers, image.name, places, labels, wanted)
    return ChangedImage(image, change, f"{image.name} (marked)")


def _with_markers(
    name: str,
    places: Sequence[Place],
    labels: Sequence[str],
    wanted: DrawnHere,
    picture: Image.Image,
) -> Image.Image:
    """Return a picture with markers; raises VlmbenchError where there is no room for them."""
    try:
        return mark(picture, places, labels, wanted)
    except ValueError as error:
        remedy = "Enlarge the image, shorten the choices, or set `label_size`."
        raise _problem(f"image {name!r}: {error}", remedy) from error


def _label(choice: str) -> str:
    """Return what a choice is called on an image: `(A)` is A."""
    label = choice.strip("().: ")
    if not label or not label.isascii() or not label.isprintable():
        message = f"the choice {choice!r} cannot be written beside a marker"
        raise _problem(message, "Call the choices by letters or numbers in `doc_to_choice`.")
    return label


def place_of(region: Region) -> Place:
    """Return where a region lies between the edges of pixels; a point is its pixel's centre."""
    half = 0.5 if region.kind == "point" else 0.0
    return tuple(value + half for value in region.xy)


def _problem(message: str, remedy: str) -> VlmbenchError:
    return VlmbenchError(Problem(field="metadata.vlmbench.markers", message=message, remedy=remedy))


def unwritten(document: Document, prompt: str) -> list[str]:
    """Return which places, and which sizes of the images that hold them, a prompt lacks.

    Coordinates, and width and height, must stand next to each other, as `12, 40` or `x=12, y=40`,
    to the nearest pixel or more precisely.
    """
    written = _runs(prompt)
    regions = [region for region in (document.reference, *document.candidates) if region]
    places = [region for region in regions if region.kind != "image"]
    lacking = [
        f"the {region.kind} {', '.join(f'{value:g}' for value in region.xy)}"
        for region in places
        if not _stands(region.xy, written)
    ]
    for image in sorted({region.image for region in places}):
        width, height = document.images[image].size
        if not _stands((width, height), written):
            lacking.append(f"the size of image {image}, {width} x {height}")
    return lacking


def _runs(text: str) -> list[list[float]]:
    """Return the numbers of a text, those without a bracket between them in one list."""
    return [[float(number) for number in _NUMBER.findall(part)] for part in _BRACKET.split(text)]


def _stands(values: Sequence[float], written: Sequence[Sequence[float]]) -> bool:
    """Tell whether numbers stand in a row somewhere, rounded or not."""
    n = len(values)
    return any(
        all(abs(a - b) <= 0.5 for a, b in zip(run[start : start + n], values, strict=True))
        for run in written
        for start in range(len(run) - n + 1)
    )
