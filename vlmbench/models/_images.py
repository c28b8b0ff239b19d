"""Image policies: letterboxing to a square, joining several images.

Everything here is exact about geometry, because regions must follow the pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from vlmbench.spec import ImagePolicy


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
