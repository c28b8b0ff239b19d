"""Image policies: letterboxing to a square, joining several images.

Everything here is exact about geometry, because regions must follow the pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from vlmbench.spec import ImagePolicy, Padding
from vlmbench.types import Region

Box = tuple[float, float, float, float]
"""Edges left, top, right, bottom, in pixels."""
_BICUBIC = Image.Resampling.BICUBIC


@dataclass(frozen=True, slots=True, kw_only=True)
class Letterbox:
    """How an image becomes a square: it is padded, centred, and then scaled.

    Scaling last is what the original code of LLaVA and of Prismatic does, and it blends the
    picture's edges with the padding; an image scaled first has other pixels along them.

    Attributes:
        side: Side of the square, in pixels.
        fill: Colour of the padding.
        padding: As `ImagePolicy.padding`.
        resample: Pillow's filter.
    """

    side: int
    fill: tuple[int, int, int] = (0, 0, 0)
    padding: Padding = "square"
    resample: Image.Resampling = _BICUBIC

    def _pads(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the padding left of and above an image."""
        width, height = size
        longest = max(size)
        return (longest - width) // 2, (longest - height) // 2

    def _padded(self, size: tuple[int, int]) -> tuple[int, int]:
        if self.padding == "square":
            return max(size), max(size)
        (width, height), (left, top) = size, self._pads(size)
        return width + 2 * left, height + 2 * top

    def _scaled(self, padded: tuple[int, int]) -> tuple[int, int]:
        """Return the size after scaling: the square, or one edge longer where a pixel is odd."""
        width, height = padded
        return self.side * width // min(padded), self.side * height // min(padded)

    def _cut(self, scaled: tuple[int, int]) -> tuple[int, int]:
        """Return how much is cut off at the left and the top, rounded as torchvision does."""
        return round((scaled[0] - self.side) / 2), round((scaled[1] - self.side) / 2)

    def content(self, size: tuple[int, int]) -> Box:
        """Return where an image of `size` lies in the square; the rest is padding."""
        padded, pads = self._padded(size), self._pads(size)
        scaled = self._scaled(padded)
        (x, y), (left, top) = (scaled[axis] / padded[axis] for axis in (0, 1)), self._cut(scaled)
        x0, y0 = pads[0] * x - left, pads[1] * y - top
        return x0, y0, x0 + size[0] * x, y0 + size[1] * y

    def square(self, image: Image.Image) -> Image.Image:
        """Return the square; an image that already is one of that side comes back unchanged."""
        if image.size == (self.side, self.side):
            return image
        canvas = Image.new("RGB", self._padded(image.size), self.fill)
        canvas.paste(image, self._pads(image.size))
        scaled = canvas.resize(self._scaled(canvas.size), self.resample)
        left, top = self._cut(scaled.size)
        return scaled.crop((left, top, left + self.side, top + self.side))

    def record(self) -> dict[str, Any]:
        """Return what it does, as JSON values."""
        words = {"fill": list(self.fill), "padding": self.padding}
        return {"side": self.side, **words, "resample": self.resample.name.lower()}


def letterbox_of(policy: ImagePolicy) -> Letterbox | None:
    """Return how a model's image policy makes squares; None where it makes none."""
    if policy.letterbox is None:
        return None
    return Letterbox(side=policy.letterbox, fill=policy.fill, padding=policy.padding)


def join(images: Sequence[Image.Image], margin: int) -> Image.Image:
    """Put images side by side on black, vertically centred, `margin` pixels apart.

    This is how BLINK shows several images to a model that takes one
    (https://github.com/zeyofu/BLINK_Benchmark).
    """
    width = sum(image.width for image in images) + margin * (len(images) - 1)
    height = max(image.height for image in images)
    canvas = Image.new("RGB", (width, height), (0, 0, 0))
    left = 0
    for image in images:
        canvas.paste(image, (left, (height - image.height) // 2))
        left += image.width + margin
    return canvas


def prepare(images: Sequence[Image.Image], policy: ImagePolicy) -> list[Image.Image]:
    """Apply a model's image policy to one document's images, in prompt order."""
    shown = list(images)
    if policy.several == "join" and len(shown) > 1:
        shown = [join(shown, policy.join_margin)]
    letterbox = letterbox_of(policy)
    return shown if letterbox is None else [letterbox.square(image) for image in shown]


def place(
    regions: Sequence[Region], sizes: Sequence[tuple[int, int]], policy: ImagePolicy
) -> list[Region]:
    """Return where a document's regions lie on its images as `prepare` makes them.

    Args:
        regions: In pixels of the document's images.
        sizes: (width, height) of those images, in prompt order.
        policy: The model's image policy.

    Returns:
        The regions in pixels of the prepared images; a whole image that was joined to others or
        padded is the box that it fills.
    """
    joined = policy.several == "join" and len(sizes) > 1
    height = max((size[1] for size in sizes), default=0)
    canvas = (sum(size[0] for size in sizes) + policy.join_margin * (len(sizes) - 1), height)
    lefts = [sum(s[0] for s in sizes[:i]) + policy.join_margin * i for i in range(len(sizes))]
    letterbox = letterbox_of(policy)
    placed = []
    for region in regions:
        size, moved = sizes[region.image], region
        if joined:
            offset = (lefts[region.image], (height - size[1]) // 2)
            size, moved = canvas, _moved(region, size, (1.0, 1.0), offset, image=0)
        if letterbox is not None:
            x0, y0, x1, y1 = letterbox.content(size)
            scale = ((x1 - x0) / size[0], (y1 - y0) / size[1])
            moved = _moved(moved, size, scale, (x0, y0), image=moved.image)
        placed.append(moved)
    return placed


def _moved(
    region: Region,
    size: tuple[int, int],
    scale: tuple[float, float],
    offset: tuple[float, float],
    *,
    image: int,
) -> Region:
    """Return a region of an image of `size` after scaling, then shifting."""
    edges = (0.0, 0.0, *map(float, size)) if region.kind == "image" else region.xy
    half = 0.5 if region.kind == "point" else 0.0  # a point names a pixel; its centre is moved
    xy = tuple(
        (edge + half) * scale[axis % 2] + offset[axis % 2] - half for axis, edge in enumerate(edges)
    )
    return Region(image=image, kind="point" if region.kind == "point" else "box", xy=xy)
