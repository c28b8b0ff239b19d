"""Contact sheets: a few documents of a world on one page, to be looked at."""

from __future__ import annotations

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw

from vlmbench.tasks.worlds._registry import WORLDS
from vlmbench.tasks.worlds._rows import drawn_row
from vlmbench.tasks.worlds._world import LETTERS, SIZE

_GAP = 6
_CAPTION = 14


def contact_sheet(
    world: str, *, rows: int = 6, columns: int = 4, zoom: int = 1, seed: int = 0
) -> PillowImage.Image:
    """Draw documents of a world side by side, each with its answer below.

    Args:
        world: Name of a world.
        rows: Documents from top to bottom.
        columns: Documents from left to right.
        zoom: Whole-number enlargement.
        seed: Seed of the data set the documents come from (its test split).
    """
    spec = WORLDS[world]
    side = SIZE * zoom
    wide, high = spec.images * side + _GAP, side + _GAP + _CAPTION
    page = PillowImage.new("RGB", (columns * wide + _GAP, rows * high + _GAP), "white")
    pen = ImageDraw.Draw(page)
    for index in range(rows * columns):
        row = drawn_row(spec, seed=seed, split="test", index=index, count=rows * columns)
        x, y = _GAP + index % columns * wide, _GAP + index // columns * high
        for i in range(spec.images):
            picture = PillowImage.fromarray(np.asarray(row[f"image_{i + 1}"]))
            page.paste(picture.resize((side, side), PillowImage.Resampling.NEAREST), (x, y))
            x += side
        answer = f"{LETTERS[row['gold']]}: {row['choices'][row['gold']]}"
        pen.text((x - spec.images * side, y + side), answer, fill="black")
    return page
