"""Markers about places in images: one code for worlds, published data and users' own tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vlmbench.spec import DrawnHere

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]
Side = Literal["above", "below", "right", "left"]
Place = tuple[float, ...]
"""(x, y) or (x0, y0, x1, y1) in pixels; whole numbers are edges, so a pixel's centre ends in .5."""
Box = tuple[float, float, float, float]

_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)
_SIDES: dict[Side, tuple[int, int]] = {
    "above": (0, -1), "below": (0, 1), "right": (1, 0), "left": (-1, 0)
}  # fmt: skip
_CORNERS = ((1, -1), (-1, -1), (1, 1), (-1, 1))
# Relative to the shorter side: BLINK's 10 px on pictures of about 400 px. A long, narrow picture
# loses more when a model scales it down, so the longer side counts as well.
_RADIUS, _RADIUS_OF_LONGER = 1 / 40, 1 / 100
_LEAST_RADIUS, _LEAST_LETTERS = 4.0, 10.0
_LETTERS = 1.4
"""Size of the letters in radii."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How markers look. Lengths are in pixels.

    Attributes:
        shape: What is drawn about a point; a box is outlined in any style.
        colour: Of the shape.
        radius: From a point to the middle of the line.
        stroke: Width of the line.
        rim: Width of the black line on either side of it.
        smooth: Whether edges are blended with the image.
        gap: From the middle of the line to the label.
        clear: From the middle of the line to where no label shall come.
        side: Where the label stands if there is room.
        tile: Draws a label: (h, w, 3).
    """

    shape: Literal["ring", "disc", "square"]
    colour: Colour
    radius: float
    stroke: float
    rim: float
    smooth: bool
    gap: float
    clear: float
    side: Side
    tile: Callable[[str], Pixels]


_BLINK = DrawnHere()


def blink_style(size: tuple[int, int], wanted: DrawnHere = _BLINK) -> Style:
    """Return BLINK's style for an image of (width, height): a red ring below a black label.

    Args:
        size: What it is scaled to.
        wanted: In what it departs from BLINK's.
    """
    relative = max(_RADIUS * min(size), _RADIUS_OF_LONGER * max(size), _LEAST_RADIUS)
    radius = wanted.radius or round(relative)
    stroke = max(2, round(radius / 4))
    rim = max(0.75, stroke / 6)  # red things must not swallow the ring
    clear = stroke / 2 + rim + radius / 8
    letters = wanted.label_size or max(_LEAST_LETTERS, round(_LETTERS * radius))
    return Style(
        shape=wanted.shape,
        colour=wanted.colour,
        radius=radius,
        stroke=stroke,
        rim=rim,
        smooth=True,
        gap=clear + 0.5,  # labels stand on whole pixels
        clear=clear,
        side=wanted.side,
        tile=partial(_text, size=letters),
    )


def mark(
    picture: Image.Image,
    places: Sequence[Place],
    labels: Sequence[str],
    wanted: DrawnHere = _BLINK,
) -> Image.Image:
    """Return a copy of a picture with markers in BLINK's style, or one near it.

    Raises:
        ValueError: If a label is larger than the picture.
    """
    style = blink_style(picture.size, wanted)
    for label in labels:
        height, width = style.tile(label).shape[:2]
        if width > picture.width or height > picture.height:
            raise ValueError(
                f"the label {label!r} takes {width} x {height} pixels, and the image has "
                f"{picture.width} x {picture.height}"
            )
    return Image.fromarray(draw(np.asarray(picture), places, labels, style))


def draw(pixels: Pixels, places: Sequence[Place], labels: Sequence[str], style: Style) -> Pixels:
    """Return a copy of an image with a shape about each place and its label beside it.

    Labels come after all shapes, each at the first position at which it covers no shape and no
    other label: on its own side, then on the others, then at the corners. If it covers something
    everywhere, it stands where it covers least.

    Args:
        pixels: (h, w, 3) image.
        places: Points and boxes.
        labels: One per place.
        style: How they look.
    """
    marked = pixels.copy()
    height, width = pixels.shape[:2]
    for place in places:
        _outline(marked, place, style)
    covered = [_extent(place, style.radius, style.clear) for place in places]
    for place, label in zip(places, labels, strict=True):
        tile = style.tile(label)
        x0, y0 = _corner(place, tile.shape, covered, (width, height), style)
        x1, y1 = x0 + tile.shape[1], y0 + tile.shape[0]
        covered.append((x0, y0, x1, y1))
        marked[y0:y1, x0:x1] = tile
    return marked


def _span(place: Place, radius: float) -> tuple[float, float, float, float]:
    """Return the middle (x, y) of the shape about a place, and how far it reaches on each axis."""
    if len(place) == 2:
        return *place, radius, radius
    x0, y0, x1, y1 = place
    return (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2, (y1 - y0) / 2


def _extent(place: Place, radius: float, margin: float) -> Box:
    """Return the box that the shape about a place fills, and `margin` more on each side."""
    x, y, wide, high = _span(place, radius)
    return x - (wide + margin), y - (high + margin), x + (wide + margin), y + (high + margin)


def _outline(image: Pixels, place: Place, style: Style) -> None:
    """Draw the shape about a place, in place; its interior stays as it is, unless it is a disc."""
    half = style.stroke / 2
    x0, y0, x1, y1 = _extent(place, style.radius, half + style.rim + 1)
    top, left = max(int(y0), 0), max(int(x0), 0)
    view = image[top : max(int(y1) + 1, 0), left : max(int(x1) + 1, 0)]
    height, width = view.shape[:2]
    x, y = np.arange(width) + left + 0.5, np.arange(height) + top + 0.5
    distance = _distance(x, y[:, None], place, style)
    for colour, reach in ((_BLACK, half + style.rim), (style.colour, half)):
        share = np.clip(reach - distance + 0.5, 0, 1) if style.smooth else distance < reach
        kept = 1.0 - share[..., None]
        view[...] = np.rint(kept * view + (1.0 - kept) * np.array(colour))


def _distance(x: NDArray[Any], y: NDArray[Any], place: Place, style: Style) -> NDArray[Any]:
    """Return how far positions, of any shapes that broadcast, are from the line about a place."""
    if len(place) == 2 and style.shape != "square":
        beyond = np.hypot(x - place[0], y - place[1]) - style.radius
        return beyond if style.shape == "disc" else np.abs(beyond)
    x0, y0, x1, y1 = _extent(place, style.radius, 0.0)
    return np.abs(np.maximum(np.maximum(x0 - x, x - x1), np.maximum(y0 - y, y - y1)))


def _corner(
    place: Place,
    shape: tuple[int, ...],
    covered: Sequence[Box],
    size: tuple[int, int],
    style: Style,
) -> tuple[int, int]:
    """Return the top-left corner at which a label of `shape` covers least."""
    height, width = shape[:2]
    x, y, wide, high = _span(place, style.radius)
    beside = (wide + style.gap + width / 2, high + style.gap + height / 2)
    first = _SIDES[style.side]
    sides = (first, *(side for side in _SIDES.values() if side != first), *_CORNERS)
    best: tuple[float, tuple[int, int]] | None = None
    for dx, dy in sides:
        shift = 0.75 if dx and dy else 1.0
        left = round(float(x + shift * dx * beside[0] - width / 2))
        top = round(float(y + shift * dy * beside[1] - height / 2))
        left = min(max(left, 0), size[0] - width)
        top = min(max(top, 0), size[1] - height)
        box = (left, top, left + width, top + height)
        shared = sum(_overlap(box, other) for other in covered)
        if best is None or shared < best[0] - 1e-9:
            best = (shared, (left, top))
    assert best is not None
    return best[1]


def _overlap(a: Box, b: Box) -> float:
    """Area in pixels that two boxes share."""
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    return max(wide, 0.0) * max(high, 0.0)


def _text(label: str, size: float) -> Pixels:
    """Return white text in a black box (h, w, 3) that is an eighth of the letters' size wider."""
    font = ImageFont.load_default(size=size)
    pad = max(2, round(size / 8))
    left, top, right, bottom = (round(edge) for edge in font.getbbox(label))
    page = Image.new("RGB", (right - left + 2 * pad, bottom - top + 2 * pad), _BLACK)
    ImageDraw.Draw(page).text((pad - left, pad - top), label, font=font, fill=_WHITE)
    return np.asarray(page)
