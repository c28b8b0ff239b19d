"""Lessons as tensors: several questions share their images in one sequence, unseen by each other.

Each question attends to the shared start and to itself, at the positions it would have alone, so
its answer is trained exactly as it will be asked, and the images are run through the language
model once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from vlmbench.organisms._lessons import Lesson
from vlmbench.organisms._tokenizer import EOS_ID, IMAGE_ID, PAD_ID

IGNORED = -100
"""Target of a position whose prediction is not trained."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Packed:
    """A batch of lessons.

    Attributes:
        ids: (B, T) token ids, `IMAGE_ID` at every patch token.
        positions: (B, T) position of each token within its own prompt.
        mask: (B, 1, T, T) float, 0 where row may look at column, else the lowest float.
        targets: (B, T) the token that follows, where it belongs to an answer.
        first: (B, T) bool, whether that token is the first of its answer.
        images: (n,) index of each image, in the order of the patch tokens.
    """

    ids: Tensor
    positions: Tensor
    mask: Tensor
    targets: Tensor
    first: Tensor
    images: Tensor


@dataclass(frozen=True, slots=True)
class _Row:
    """One lesson: tokens, position, branch (0 is shared) and target of each token."""

    ids: list[int]
    positions: list[int]
    branches: list[int]
    targets: list[int]
    first: list[bool]


def pack(
    lessons: Sequence[Lesson], tokenizer: PreTrainedTokenizerFast, patches: int
) -> list[Packed]:
    """Turn lessons into batches of similar length, in an order that depends on length alone.

    Args:
        lessons: What is taught in one step.
        tokenizer: Of the language model.
        patches: Patch tokens per image.
    """
    rows = _rows(lessons, tokenizer, patches)
    order = sorted(range(len(rows)), key=lambda i: (len(rows[i].ids), i))
    batches: list[list[int]] = [[]]
    for i in order:
        grown = len(batches[-1]) + 1
        if batches[-1] and grown * len(rows[i].ids) ** 1.5 > 16 * 200**1.5:
            batches.append([])
        batches[-1].append(i)
    return [_stack([rows[i] for i in part], [lessons[i] for i in part]) for part in batches]


def _rows(
    lessons: Sequence[Lesson], tokenizer: PreTrainedTokenizerFast, patches: int
) -> list[_Row]:
    """Encode every lesson: what its prompts share up to the last image, then its questions."""
    texts = [text for lesson in lessons for pair in lesson.texts() for text in pair]
    encoded = iter(tokenizer(texts)["input_ids"])
    rows = []
    for lesson in lessons:
        row = _Row([], [], [], [], [])
        for branch, _ in enumerate(lesson.questions, start=1):
            prompt, answer = _expand(next(encoded), patches), [*next(encoded), EOS_ID]
            shared = max((i + 1 for i, t in enumerate(prompt) if t == IMAGE_ID), default=0)
            if branch == 1:
                _extend(row, prompt[:shared], 0, 0, answers=0)
            _extend(row, prompt[shared:] + answer, shared, branch, answers=len(answer))
        rows.append(row)
    return rows


def _expand(ids: Sequence[int], patches: int) -> list[int]:
    """Repeat every image token once per patch."""
    return [token for t in ids for token in ([t] * patches if t == IMAGE_ID else [t])]


def _extend(row: _Row, ids: list[int], start: int, branch: int, *, answers: int) -> None:
    """Append tokens whose last `answers` are to be predicted."""
    asked = len(ids) - answers
    row.ids.extend(ids)
    row.positions.extend(range(start, start + len(ids)))
    row.branches.extend([branch] * len(ids))
    following = [t if i >= asked and answers else IGNORED for i, t in enumerate(ids)][1:]
    row.targets.extend([*following, IGNORED] if ids else [])
    row.first.extend([i + 1 == asked and answers > 0 for i in range(len(ids))])


def _stack(rows: Sequence[_Row], lessons: Sequence[Lesson]) -> Packed:
    """Pad rows on the right and build the mask."""
    width = max(len(row.ids) for row in rows)

    def padded(values: list[list[int]], fill: int) -> Tensor:
        return torch.tensor([v + [fill] * (width - len(v)) for v in values])

    branch = padded([row.branches for row in rows], -1)
    order = torch.arange(width)
    earlier = order[None, :, None] >= order[None, None, :]
    known = (branch[:, None, :] == 0) | (branch[:, None, :] == branch[:, :, None])
    seen = earlier & known
    mask = torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)
    return Packed(
        ids=padded([row.ids for row in rows], PAD_ID),
        positions=padded([row.positions for row in rows], 0),
        mask=mask[:, None],
        targets=padded([row.targets for row in rows], IGNORED),
        first=padded([[int(f) for f in row.first] for row in rows], 0).bool(),
        images=torch.from_numpy(
            np.array([i for lesson in lessons for i in lesson.images], np.int64)
        ),
    )
