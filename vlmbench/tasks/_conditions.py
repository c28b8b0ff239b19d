"""Applying a condition to a document, before anything reads it."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import assert_never

from PIL import Image

from vlmbench.spec import Condition
from vlmbench.types import Document, EncodedImage

GREY = (127, 127, 127)


@lru_cache(maxsize=256)
def _blank(size: tuple[int, int]) -> EncodedImage:
    return EncodedImage.from_pil(Image.new("RGB", size, GREY), f"blank {size[0]}x{size[1]}")


def apply_condition(document: Document, condition: Condition) -> Document:
    """Return the document as the condition shows it.

    `blank` replaces every image, for the prompted model and for the encoder alike, by a
    mid-grey (127) one of the same size; regions, prompt and choices stay.
    """
    match condition.image:
        case "own":
            return document
        case "blank":
            return replace(
                document,
                images=tuple(_blank(image.size) for image in document.images),
                encoder_images=tuple(_blank(image.size) for image in document.encoder_images),
            )
        case never:
            assert_never(never)
