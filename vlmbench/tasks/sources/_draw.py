"""Markers on photographs: a hollow red ring and a lettered black box above it, as BLINK draws."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from vlmbench.tasks.sources._items import Point

RED, BLACK, WHITE = (255, 0, 0), (0, 0, 0), (255, 255, 255)

# Ring radius over the shorter side; BLINK's 10 px on pictures of about 400 px.
_RELATIVE_RADIUS = 1 / 40
_LEAST_RADIUS = 4


def ring_radius(size: tuple[int, int]) -> int:
    """Return the radius of a ring on a picture of (width, height), in pixels."""
    return max(_LEAST_RADIUS, round(min(size) * _RELATIVE_RADIUS))


def mark(picture: Image.Image, points: Sequence[Point], labels: Sequence[str]) -> Image.Image:
    """Return a copy of a picture with a ring about each point and its label above the ring.

    The inside of a ring stays as it is. A label that would leave the picture at the top goes
    below its ring, and is shifted sideways where it would leave it at the side.
    """
    marked = picture.copy()
    draw = ImageDraw.Draw(marked)
    radius = ring_radius(picture.size)
    width = max(2, radius // 4)
    font = ImageFont.load_default(size=max(8, round(1.4 * radius)))
    for x, y in points:
        box = (x - radius, y - radius, x + radius, y + radius)
        draw.ellipse(box, outline=RED, width=width)
    for (x, y), label in zip(points, labels, strict=True):
        left, top, right, bottom = draw.textbbox((0, 0), label, font=font)
        wide, high = right - left + 4, bottom - top + 4
        x0 = min(max(x - wide / 2, 0), max(picture.width - wide, 0))
        y0 = y - radius - 2 - high
        if y0 < 0:
            y0 = y + radius + 2
        draw.rectangle((x0, y0, x0 + wide - 1, y0 + high - 1), fill=BLACK)
        draw.text((x0 + 2 - left, y0 + 2 - top), label, font=font, fill=WHITE)
    return marked
