"""A task that anyone can learn: whether an image is red or blue."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from home import document, task_spec
from PIL import Image

from vlmbench.readouts.tuning import Examples
from vlmbench.types import Document

TASK = task_spec(doc_to_text="<image>Which is it, A or B?")


def coloured(seed: int, gold: int) -> Image.Image:
    """Return a noisy image that is red if the answer is A, and blue if it is B."""
    pixels = np.random.default_rng(seed).integers(0, 80, (32, 32, 3), dtype=np.uint8)
    pixels[..., 2 * gold] += 150
    return Image.fromarray(pixels)


def documents(start: int, count: int, golds: Sequence[int] | None = None) -> list[Document]:
    """Return documents of images of their own, A and B in turn unless other answers are given."""
    return [
        document(
            index,
            coloured(index, index % 2),
            gold=index % 2 if golds is None else golds[index - start],
        )
        for index in range(start, start + count)
    ]


def examples(held: Sequence[Document], most: int = 10_000) -> Examples:
    return Examples(task=TASK, documents=held, most=most)
