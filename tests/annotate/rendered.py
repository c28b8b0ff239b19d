"""Documents drawn in BLINK's style on photo-like pictures full of red things, with the truth.

Two ways to draw, because BLINK's own code is not published. `opencv` is VPBench's copy of the
style (https://github.com/TonyLianLong/VPBench, benchmark_executor.py, draw_markers): an aliased
circle of radius 5 and thickness 2, single-stroke text of scale .5 that starts 25 px above the
point, a black box 2 px larger, marker after marker, cut off at the border; all at half of BLINK's
size, so that BLINK's own radius is 10. `pillow` has an outline font, the box right above the
ring, and shifts a box that would leave the picture.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from backgrounds import RED, Pixels, background, red_things
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from vlmbench.types import Document, EncodedImage

Style = Literal["opencv", "pillow"]
Spoiling = Literal["none", "missing", "twice", "unmarked"]
Point = tuple[float, float]
Box = tuple[float, float, float, float]

# Capitals of the single-stroke font, (x, y) on a cell of 21 units, y downward; arcs by hand.
STROKES = {
    "A": [[(1, 21), (9, 0), (17, 21)], [(4, 14), (14, 14)]],
    "B": [[(4, 0), (4, 21), (13, 21), (17, 19), (18, 16), (17, 12), (13, 10), (4, 10)],
          [(13, 10), (17, 8), (18, 5), (16, 1), (12, 0), (4, 0)]],
    "C": [[(18, 5), (16, 2), (13, 0), (9, 0), (6, 2), (3, 8), (3, 13), (6, 19), (9, 21), (13, 21),
           (16, 19), (18, 16)]],
    "D": [[(4, 0), (4, 21), (11, 21), (15, 19), (18, 13), (18, 8), (15, 2), (11, 0), (4, 0)]],
    "E": [[(17, 0), (4, 0), (4, 21), (17, 21)], [(4, 10), (12, 10)]],
    "F": [[(17, 0), (4, 0), (4, 21)], [(4, 10), (12, 10)]],
    "R": [[(4, 21), (4, 0), (13, 0), (17, 2), (18, 5), (17, 8), (13, 10), (4, 10)],
          [(11, 10), (18, 21)]],
}  # fmt: skip
ADVANCE = {"A": 18, "B": 21, "C": 21, "D": 21, "E": 19, "F": 18, "R": 21}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One drawn document: file bytes per image, and (image, label) -> centre.

    `radius` is the last image's, `smallest` the shortest side of any image, and `touching` tells
    whether two rings touch or overlap.
    """

    images: tuple[bytes, ...]
    truth: dict[tuple[int, str], Point]
    style: Style
    radius: float
    smallest: int
    touching: bool


def to_document(doc_id: str, drawn: Drawn) -> tuple[Document, dict[int, tuple[str, ...]]]:
    """Return a drawn document as the package's own, and the labels each image must show."""
    images = tuple(EncodedImage(data) for data in drawn.images)
    expected: dict[int, tuple[str, ...]] = {}
    for image, label in drawn.truth:
        expected[image] = (*expected.get(image, ()), label)
    choices = tuple(label for _, label in drawn.truth if label != "REF")
    document = Document(
        doc_id=doc_id, images=images, encoder_images=images, marked=True, choices=choices, gold=0
    )
    return document, expected


# --- Drawing ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Pen:
    """How markers are drawn; `scale` 1 is VPBench's size, 2 is BLINK's."""

    style: Style
    scale: float

    @property
    def radius(self) -> int:
        return max(4, round(5 * self.scale))

    @property
    def width(self) -> int:
        return max(1, round((2 if self.style == "opencv" else 1.4) * self.scale))

    def text_size(self, label: str) -> tuple[int, int]:
        if self.style == "opencv":
            unit = 0.5 * self.scale
            return round(sum(ADVANCE[c] for c in label) * unit), round(21 * unit)
        left, top, right, bottom = font(self.radius).getbbox(label)
        return int(right - left), int(bottom - top)

    def box(self, label: str, at: Point, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) of the black box, ends inclusive."""
        (x, y), (wide, high) = (round(at[0]), round(at[1])), self.text_size(label)
        if self.style == "opencv":
            pad = max(2, round(2 * self.scale))
            left, top = x - wide // 2, y - round(25 * self.scale)
            if top < 0:
                top = y + self.radius + round(5 * self.scale)
            return left - pad, top - pad, left + wide, top + high + pad
        pad = max(2, round(0.3 * self.radius))
        wide, high = wide + 2 * pad, high + 2 * pad
        left = min(max(x - wide // 2, 0), size[0] - wide)
        top = y - self.radius - 2 - high
        if top < 0:
            top = y + self.radius + 2
        return left, top, left + wide - 1, top + high - 1


@cache
def font(radius: int) -> ImageFont.FreeTypeFont:
    found = ImageFont.load_default(size=max(9, round(1.5 * radius)))
    assert isinstance(found, ImageFont.FreeTypeFont)
    return found


def draw_ring(image: Pixels, at: Point, radius: float, width: float) -> None:
    """Paint an aliased red ring."""
    reach = int(radius + width) + 2
    x0, y0 = max(int(at[0]) - reach, 0), max(int(at[1]) - reach, 0)
    view = image[y0 : int(at[1]) + reach + 1, x0 : int(at[0]) + reach + 1]
    rows, columns = np.indices(view.shape[:2])
    distance = np.hypot(columns + x0 - at[0], rows + y0 - at[1])
    view[np.abs(distance - radius) <= width / 2] = RED


def draw_label(image: Image.Image, pen: Pen, label: str, at: Point) -> None:
    left, top, right, bottom = pen.box(label, at, image.size)
    draw = ImageDraw.Draw(image)
    draw.rectangle((left, top, right, bottom), fill="black")
    if pen.style == "pillow":
        pad = max(2, round(0.3 * pen.radius))
        dx, dy, _, _ = font(pen.radius).getbbox(label)
        draw.text((left + pad - dx, top + pad - dy), label, font=font(pen.radius), fill="white")
        return
    unit, pad = 0.5 * pen.scale, max(2, round(2 * pen.scale))
    x = left + pad
    for letter in label:
        for line in STROKES[letter]:
            points = [(round(x + u * unit), round(top + pad + v * unit)) for u, v in line]
            draw.line(points, fill="white", width=max(1, round(pen.scale)))
        x += ADVANCE[letter] * unit


def draw(image: Image.Image, pen: Pen, points: Sequence[tuple[str, Point]]) -> Image.Image:
    """Mark points one after another, as VPBench does: a later marker covers earlier ones."""
    for label, at in points:
        pixels = np.array(image)
        draw_ring(pixels, at, pen.radius, pen.width)
        image = Image.fromarray(pixels)
        draw_label(image, pen, label, at)
    return image


# --- Documents -------------------------------------------------------------------------------


def place(
    rng: np.random.Generator, pen: Pen, labels: Sequence[str], image: Pixels
) -> dict[str, Point]:
    """Draw points, some of them so near that rings touch or overlap, all still legible."""
    close = rng.random() < 0.6
    size = (image.shape[1], image.shape[0])
    for _ in range(2000):
        points: dict[str, Point] = {}
        for label in labels:
            if points and close and rng.random() < 0.6:
                x, y = points[str(rng.choice(list(points)))]
                turn, far = rng.uniform(0, 2 * np.pi), pen.radius * rng.uniform(1.0, 2.6)
                x, y = x + far * np.cos(turn), y + far * np.sin(turn)
            else:
                edge = pen.radius + 1 if rng.random() < 0.3 else 0.08 * min(size) + pen.radius
                x, y = (rng.uniform(edge, side - 1 - edge) for side in size)
            points[label] = (round(x), round(y))
        if legible(pen, points, size) and visible(pen, points, image):
            return points
    raise AssertionError("no legible placement")


def legible(pen: Pen, points: dict[str, Point], size: tuple[int, int]) -> bool:
    """Tell whether a person could still read every label and see most of every ring."""
    items = list(points.items())
    boxes = []
    for label, at in items:
        left, top, right, bottom = pen.box(label, at, size)
        boxes.append((left, top, right + 1, bottom + 1))
    for i, (_, (x, y)) in enumerate(items):
        if not (pen.radius <= x < size[0] - pen.radius and pen.radius <= y < size[1] - pen.radius):
            return False
        left, top, right, bottom = boxes[i]
        if left < -1 or right > size[0] + 1 or top < -1 or bottom > size[1] + 1:
            return False  # cut letters can be read by nobody
        ring = (x - pen.radius, y - pen.radius, x + pen.radius, y + pen.radius)
        for j, (_, (u, v)) in enumerate(items):
            if i == j:
                continue
            if np.hypot(x - u, y - v) < pen.radius or _share(ring, boxes[j]) > 0.35:
                return False
            other = (u - pen.radius, v - pen.radius, u + pen.radius, v + pen.radius)
            if j > i and max(_share(boxes[i], boxes[j]), _share(boxes[i], other)) > 0.02:
                return False
    return True


def visible(pen: Pen, points: dict[str, Point], image: Pixels) -> bool:
    """Tell whether at most a third of every ring lies on something of its own colour."""
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    for x, y in points.values():
        columns = np.rint(x + pen.radius * np.cos(turn)).astype(int)
        rows = np.rint(y + pen.radius * np.sin(turn)).astype(int)
        away = np.linalg.norm(image[rows, columns] - np.array(RED, float), axis=1)
        if np.mean(away < 80) > 0.34:
            return False
    return True


def _share(a: Box, b: Box) -> float:
    """The part of `a` that `b` covers."""
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    return max(wide, 0) * max(high, 0) / ((a[2] - a[0]) * (a[3] - a[1]))


def encode(rng: np.random.Generator, image: Image.Image, poor: bool) -> bytes:
    """PNG or JPEG of varied quality, with and without subsampled colour."""
    buffer = io.BytesIO()
    if rng.random() < 0.3 and not poor:
        image.save(buffer, format="PNG")
    else:
        quality = rng.integers(8, 45) if poor else rng.integers(60, 97)
        image.save(buffer, format="JPEG", quality=int(quality),
                   subsampling=int(rng.choice([0, 2])))  # fmt: skip
    return buffer.getvalue()


def document(
    seed: int,
    *,
    sides: tuple[int, int] = (200, 1200),
    poor: bool = False,
    spoiling: Spoiling = "none",
) -> Drawn:
    """Draw one document: REF and A to D on two images (7 of 10), or A and B on one.

    Args:
        seed: The same number gives the same document.
        sides: Least and largest side of the pictures before any reduction.
        poor: Reduce after drawing and compress so much that many markers cannot be read.
        spoiling: Leave the last image's last marker out, give it the first one's letter, or
            leave all of that image's out. The truth is that of the sound document.
    """
    rng = np.random.default_rng([907, seed])
    pair = rng.random() < 0.7
    groups = [("REF",), ("A", "B", "C", "D")] if pair else [("A", "B")]
    style: Style = "opencv" if rng.random() < 0.6 else "pillow"
    images, truth, smallest = [], {}, 10**6
    share = rng.uniform(0.012, 0.03)
    radius, touching = 0.0, False
    for index, labels in enumerate(groups):
        long, aspect = np.exp(rng.uniform(*np.log(sides))), rng.uniform(0.6, 1.0)
        short = max(sides[0], long * aspect)
        size = (round(long), round(short)) if rng.random() < 0.6 else (round(short), round(long))
        pen = Pen(style=style, scale=float(np.clip(share * min(size), 4, 24)) / 5)
        picture = red_things(rng, background(rng, size), pen.radius)
        points = place(rng, pen, labels, picture)
        marked = Image.fromarray(picture)
        last = index == len(groups) - 1
        if not (last and spoiling == "unmarked"):
            marked = draw(marked, pen, spoilt(points, spoiling) if last else list(points.items()))
        factor = 1.0
        if poor or (pen.radius >= 8 and rng.random() < 0.3):  # drawn first, resized later
            factor = rng.uniform(0.35, 0.9) if poor else rng.uniform(0.6, 0.95)
            small = (round(size[0] * factor), round(size[1] * factor))
            marked = marked.resize(small, Image.Resampling.LANCZOS)
        fx, fy = marked.width / size[0], marked.height / size[1]
        for label, (x, y) in points.items():
            truth[index, label] = ((x + 0.5) * fx - 0.5, (y + 0.5) * fy - 0.5)
        spots = list(points.values())
        touching |= any(
            np.hypot(a[0] - b[0], a[1] - b[1]) <= 2 * pen.radius + pen.width
            for i, a in enumerate(spots)
            for b in spots[:i]
        )
        images.append(encode(rng, marked, poor))
        smallest, radius = min(smallest, *marked.size), pen.radius * factor
    return Drawn(
        images=tuple(images),
        truth=truth,
        style=style,
        radius=radius,
        smallest=smallest,
        touching=touching,
    )


def spoilt(points: dict[str, Point], spoiling: Spoiling) -> list[tuple[str, Point]]:
    items = list(points.items())
    match spoiling:
        case "missing":
            return items[:-1]
        case "twice":
            return [*items[:-1], (items[0][0], items[-1][1])]
        case _:
            return items


def smooth_ring(
    size: tuple[int, int], at: Point, radius: float, width: float, fine: int = 8
) -> Pixels:
    """A grey image with an anti-aliased ring about a point between pixels."""
    rows, columns = np.indices((size[1] * fine, size[0] * fine))
    distance = np.hypot((columns + 0.5) / fine - 0.5 - at[0], (rows + 0.5) / fine - 0.5 - at[1])
    cover = (np.abs(distance - radius) <= width / 2).astype(float)
    cover = ndimage.uniform_filter(cover, fine)[fine // 2 :: fine, fine // 2 :: fine][..., None]
    return np.round(cover * np.array(RED) + (1 - cover) * 128).astype(np.uint8)
