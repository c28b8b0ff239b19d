"""Image policies: letterboxing to a square, joining several images.

Everything here is exact about geometry, because regions must follow the pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from vlmbench.spec import ImagePolicy
from vlmbench.types import Region


def letterbox(image: Image.Image, side: int, fill: tuple[int, int, int]) -> Image.Image:
    """Scale an image to fit a square of `side` pixels and pad it, centred, with `fill`.

    An image that already is that square comes back unchanged, pixel for pixel. Resampling is
    bicubic, as CLIP's and SigLIP's own transforms use.
    """
    if image.size == (side, side):
        return image
    scale = side / max(image.size)
    width, height = (max(1, round(length * scale)) for length in image.size)
    canvas = Image.new("RGB", (side, side), fill)
    scaled = image.resize((width, height), Image.Resampling.BICUBIC)
    canvas.paste(scaled, ((side - width) // 2, (side - height) // 2))
    return canvas


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
    if policy.letterbox is not None:
        shown = [letterbox(image, policy.letterbox, policy.fill) for image in shown]
    return shown


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
    placed = []
    for region in regions:
        size, moved = sizes[region.image], region
        if joined:
            offset = (lefts[region.image], (height - size[1]) // 2)
            size, moved = canvas, _moved(region, size, (1.0, 1.0), offset, image=0)
        if policy.letterbox is not None:
            moved = _letterboxed(moved, size, policy.letterbox)
        placed.append(moved)
    return placed


def _letterboxed(region: Region, size: tuple[int, int], side: int) -> Region:
    """Return where `letterbox` puts a region of an image of `size`."""
    scale = side / max(size)
    width, height = (max(1, round(length * scale)) for length in size)
    offset = ((side - width) // 2, (side - height) // 2)
    return _moved(region, size, (width / size[0], height / size[1]), offset, image=region.image)


def _moved(
    region: Region,
    size: tuple[int, int],
    scale: tuple[float, float],
    offset: tuple[int, int],
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
