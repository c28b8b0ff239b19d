"""One document under every condition that changes its images, on one page to be looked at."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from vlmbench.spec import IMAGE_CHANGES, Condition, Located, Perturbation, TaskSpec
from vlmbench.tasks._conditions import apply_conditions
from vlmbench.types import Document

_STRENGTHS = ("0.125", "0.25", "0.5", "0.75")
_COLUMNS = len(_STRENGTHS)
_GAP = 6
_CAPTION = 14


def condition_sheet(
    documents: Sequence[Document], task: Located[TaskSpec], *, side: int = 128
) -> Image.Image:
    """Draw the first image of the first document under each condition, with its label.

    Args:
        documents: At least two, of which the others only lend their images to `swapped`.
        task: Their task, whose markers vlmbench drew.
        side: Size of each picture in pixels.
    """
    wide, high = side + _GAP, side + _CAPTION + _GAP
    rows = _rows()
    page = Image.new("RGB", (_COLUMNS * wide + _GAP, len(rows) * high + _GAP), "white")
    pen = ImageDraw.Draw(page)
    for row, labels in enumerate(rows):
        for column, label in enumerate(labels):
            shown = apply_conditions(documents, Condition.parse(label), task=task, first=1)
            x, y = _GAP + column * wide, _GAP + row * high
            page.paste(shown[0].images[0].decode().resize((side, side)), (x, y))
            pen.text((x, y + side + 1), label, fill="black")
    return page


def _rows() -> list[tuple[str, ...]]:
    """Return the labels to show: samples of every change, and one row for each perturbation."""
    graded = [change for change in IMAGE_CHANGES if issubclass(change, Perturbation)]
    others = [
        label
        for change in IMAGE_CHANGES
        if change.keeps_images and not change.redraws and change not in graded
        for label in change.samples
    ]
    rows = [tuple(others[i : i + _COLUMNS]) for i in range(0, len(others), _COLUMNS)]
    return rows + [
        tuple(f"{change.kind_of()}-{strength}" for strength in _STRENGTHS) for change in graded
    ]
