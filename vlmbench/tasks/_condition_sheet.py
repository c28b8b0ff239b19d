"""One document under every condition that changes its images, on one page to be looked at."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from vlmbench.spec import Condition
from vlmbench.tasks._conditions import apply_conditions
from vlmbench.types import Document

_ROWS = (
    ("own", "blank", "blank-mean", "blank-noise"),
    ("swapped", "scrambled-8", "evidence", "evidence-random"),
    *(
        tuple(f"{by}-{strength}" for strength in ("0.125", "0.25", "0.5", "0.75"))
        for by in ("mask", "crop", "colour", "blur", "noise")
    ),
)
_GAP = 6
_CAPTION = 14


def condition_sheet(documents: Sequence[Document], *, side: int = 128) -> Image.Image:
    """Draw the first image of the first document under each condition, with its label.

    Args:
        documents: At least two, of which the others only lend their images to `swapped`.
        side: Size of each picture in pixels.
    """
    wide, high = side + _GAP, side + _CAPTION + _GAP
    page = Image.new("RGB", (len(_ROWS[0]) * wide + _GAP, len(_ROWS) * high + _GAP), "white")
    pen = ImageDraw.Draw(page)
    for row, labels in enumerate(_ROWS):
        for column, label in enumerate(labels):
            shown = apply_conditions(documents, Condition.parse(label), first=1)
            x, y = _GAP + column * wide, _GAP + row * high
            page.paste(shown[0].images[0].decode().resize((side, side)), (x, y))
            pen.text((x, y + side + 1), label, fill="black")
    return page
