"""Which tokens of a prompt are image, which show its regions, which list its choices."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlmbench.types import Region

Positions = NDArray[np.int64]
Grid = tuple[int, int]
"""(rows, columns) of the tokens of one image, row by row."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TokenGroups:
    """Positions of one prompt's tokens, padding left out.

    Attributes:
        image: Positions that hold projected image tokens.
        regions: Those of `image` that show the regions; None where that is not known.
        choices: Positions of the listing of choices; see `choice_spans`.
        text: All others.
        question: Positions after the last image to the end; all if there is no image.
        last: The last position.
        reference: Those of `regions` that show the reference; None where that is not known.
        candidates: Those that show the choices' regions; None where that is not known.
        grids: How the image tokens lie on each image; None where that is not known.
    """

    image: Positions
    regions: Positions | None
    choices: Positions
    text: Positions
    question: Positions
    last: int
    reference: Positions | None = None
    candidates: Positions | None = None
    grids: Sequence[Grid] | None = None

    @property
    def counts(self) -> NDArray[np.int64]:
        """(4,) int64, tokens in each group."""
        regions = 0 if self.regions is None else len(self.regions)
        return np.array([len(self.image), regions, len(self.choices), len(self.text)])


def token_groups(
    is_image: NDArray[np.bool_],
    cells: Positions | None,
    listed: NDArray[np.bool_],
    *,
    reference: Positions | None = None,
    candidates: Positions | None = None,
    grids: Sequence[Grid] | None = None,
) -> TokenGroups:
    """Return the groups of a prompt of n tokens.

    Args:
        is_image: (n,) bool, True for projected image tokens.
        cells: Which of the image tokens, counted from 0, show the regions; None if unknown.
        listed: (n,) bool, True where a token belongs to the listing of choices.
        reference: As `cells`, of the reference alone.
        candidates: As `cells`, of the choices' regions alone.
        grids: How the image tokens lie on each image; None if unknown.
    """
    image = np.flatnonzero(is_image)
    start = int(image[-1]) + 1 if len(image) else 0
    question = np.arange(start, len(is_image))
    chosen = listed & (np.arange(len(is_image)) >= start)
    return TokenGroups(
        image=image,
        regions=None if cells is None else image[cells],
        choices=np.flatnonzero(chosen),
        text=np.flatnonzero(~is_image & ~chosen),
        question=question,
        last=len(is_image) - 1,
        reference=None if reference is None else image[reference],
        candidates=None if candidates is None else image[candidates],
        grids=grids,
    )


# -- choices ------------------------------------------------------------------------------


def choice_spans(text: str, choices: Sequence[str]) -> list[tuple[int, int]]:
    """Return where a text lists its choices, as (start, end) characters.

    A choice's line is one that starts with its letter as `(A)`, `A)`, `A.` or `A:`, and counts
    whole, letter and wording. A choice without such a line counts where it occurs last as a word of
    its own ("red or blue?"), and not at all if it does not occur.

    Args:
        text: What follows the last image.
        choices: Letters or wordings, as the answer would be; brackets do not matter.
    """
    spans = []
    for choice in choices:
        label = re.escape(choice.strip().strip("()[].:").strip())
        if not label:
            continue
        lines = re.finditer(rf"^[ \t]*\(?{label}[).:][^\n]*", text, re.MULTILINE)
        found = [line.span() for line in lines]
        if not found:
            words = re.finditer(rf"(?<!\w){label}(?!\w)", text)
            found = [word.span() for word in words][-1:]
        spans += found
    return spans


def listed_tokens(
    tokenizer: Any, ids: Sequence[int], tail: str, choices: Sequence[str]
) -> NDArray[np.bool_]:
    """Tell which tokens of a prompt belong to the listing of its choices.

    The tail is tokenised by itself, for its offsets, and laid on the end of the prompt; the two
    differ at most where the tail begins.

    Args:
        tokenizer: A fast tokenizer.
        ids: (n,) the prompt's tokens.
        tail: The prompt's text after its last image.
        choices: As `choice_spans` takes them.

    Returns:
        (n,) bool; a token counts if it shares a character with a choice.
    """
    spans = choice_spans(tail, choices)
    alone = tokenizer(tail, add_special_tokens=False, return_offsets_mapping=True)
    listed = np.zeros(len(ids), dtype=bool)
    pairs = zip(reversed(alone["input_ids"]), reversed(alone["offset_mapping"]), strict=True)
    for back, (token, (start, end)) in enumerate(pairs, start=1):
        if back > len(ids) or ids[-back] != token:
            break
        listed[-back] = any(start < stop and end > begin for begin, stop in spans)
    return listed


# -- regions ------------------------------------------------------------------------------


def known_grids(
    images: Sequence[Image.Image],
    n_tokens: int,
    packed: Sequence[Sequence[int]] | None,
    *,
    merge: int,
    whole: bool,
) -> list[Grid] | None:
    """Return how the image tokens of one prompt lie on its images, or None if that is unknown.

    It is known where the processor says it (`image_grid_thw`), and where every image is one and
    the same square, is seen whole and in one view, and gives a square number of tokens.

    Args:
        images: The prompt's images, as the processor is given them.
        n_tokens: Image tokens of the whole prompt.
        packed: Rows (t, h, w) of `image_grid_thw`, in patches; None where there is none.
        merge: Patches along a side of a token, where `packed` is given.
        whole: Whether the processor makes one view of an image and cuts nothing off.
    """
    if not images:
        return None
    if packed is not None:
        grids = [(int(h) // merge, int(w) // merge) for _, h, w in packed]
        agree = sum(rows * columns for rows, columns in grids) == n_tokens
        return grids if agree and all(int(t) == 1 for t, _, _ in packed) else None
    each, rest = divmod(n_tokens, len(images))
    side = math.isqrt(each)
    alike = len({image.size for image in images}) == 1 and images[0].width == images[0].height
    if not (whole and alike and rest == 0 and side * side == each):
        return None
    return [(side, side)] * len(images)


def region_cells(
    regions: Sequence[Region], images: Sequence[Image.Image], grids: Sequence[Grid]
) -> Positions:
    """Return which image tokens of a prompt, counted from 0, show its regions.

    A token shows a box if their areas meet. A point counts as a square of the size of one token's
    area around the centre of its pixel, so that it has one to four tokens.

    Args:
        regions: In pixels of `images`.
        images: The prompt's images, as the processor is given them.
        grids: One per image.
    """
    starts = np.cumsum([0, *(rows * columns for rows, columns in grids)])
    shown: set[int] = set()
    for region in regions:
        rows, columns = grids[region.image]
        image = images[region.image]
        step = np.array([image.width / columns, image.height / rows])
        match region.kind:
            case "image":
                low, high = np.zeros(2), np.array([columns, rows], dtype=np.float64)
            case "box":
                low, high = np.reshape(region.xy, (2, 2)) / step
            case "point":
                centre = (np.array(region.xy) + 0.5) / step
                low, high = centre - 0.5, centre + 0.5
        # A billionth of a cell is rounding, not overlap.
        first = np.clip(np.floor(low + 1e-9), 0, [columns, rows]).astype(int)
        end = np.clip(np.ceil(high - 1e-9), 0, [columns, rows]).astype(int)
        shown |= {
            int(starts[region.image]) + row * columns + column
            for row in range(first[1], end[1])
            for column in range(first[0], end[0])
        }
    return np.array(sorted(shown), dtype=np.int64)
