"""Prompts that begin alike: the same images in the same places are read once for all of them."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from vlmbench.models._backend import Prompt
from vlmbench.models._inputs import Inputs
from vlmbench.models._past import Past, can_continue, positions_seen
from vlmbench.models._text import PromptText

# Prompts that begin alike are read together only where no more of them differ than this share.
_DIFFERENT = 0.75
COPIED: Final = 8_000
"""Tokens whose keys and values are copied at once."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Beginnings:
    """How prompts begin, and how they go on.

    Attributes:
        first: Numbers of prompts that begin differently.
        which: For each prompt, which of `first` begins as it does.
        tails: For each prompt, its tokens after the last image.
    """

    first: list[int]
    which: list[int]
    tails: list[list[int]]

    @property
    def longest(self) -> int:
        """Most tokens by which a prompt is longer than the one that stands for its beginning."""
        firsts = [len(self.tails[self.first[at]]) for at in self.which]
        return max(len(tail) - own for tail, own in zip(self.tails, firsts, strict=True))


def beginnings(
    text: PromptText, texts: Sequence[str], prompts: Sequence[Prompt]
) -> Beginnings | None:
    """Return which prompts begin alike; None if too few do, or some have no image.

    Prompts begin alike if their images are equal, pixel for pixel, and so is all text before the
    last of them. Where all tokens of a prompt see each other, none is a beginning of others.

    Args:
        text: Tokenises prompts.
        texts: The rendered prompts.
        prompts: The prompts themselves.
    """
    image = text.image_id
    if image is None or text.family.prefix_lm or not all(prompt.images for prompt in prompts):
        return None
    known: dict[Any, int] = {}
    which: list[int] = []
    tails: list[list[int]] = []
    first: list[int] = []
    for number, (rendered, prompt) in enumerate(zip(texts, prompts, strict=True)):
        ids = text.prompt_tokens(rendered)
        end = len(ids) - ids[::-1].index(image) if image in ids else 0
        key = tuple(ids[:end]), tuple(map(_identity, prompt.images))
        if key not in known:
            known[key] = len(first)
            first.append(number)
        which.append(known[key])
        tails.append(ids[end:])
    alike = len(first) <= _DIFFERENT * len(prompts) and all(tails)
    return Beginnings(first=first, which=which, tails=tails) if alike else None


def _identity(image: Any) -> str:
    """Return what is equal for equal images, and for no others."""
    digest = hashlib.sha256(repr((image.mode, image.size)).encode())
    digest.update(image.tobytes())
    return digest.hexdigest()


def read_together(
    model: Any, inputs: Inputs, batch: Any, begun: Beginnings
) -> Iterator[tuple[list[int], Tensor, Past]] | None:
    """Let a model read each beginning once, and then all prompts on from there.

    Args:
        model: The model.
        inputs: How it takes prompts.
        batch: The prompts of `begun.first`, encoded and right-padded.
        begun: How the prompts begin and go on.

    Returns:
        Some prompts after the other, as many as fit: their numbers, (prompts, vocabulary) logits
        after each, and what has been read. None if the model cannot read on from a beginning.
    """
    if "logits_to_keep" not in inspect.signature(model.forward).parameters:
        return None
    tails, ends = list(begun.tails), []
    images = inputs.image_positions(batch)
    for row, number in enumerate(begun.first):
        whole = batch["input_ids"][row][batch["attention_mask"][row].bool()].tolist()
        end = len(whole) - len(begun.tails[number])
        if whole[end:] != begun.tails[number] or bool(images[row, end:].any()):
            return None  # its processor writes something else than the tokenizer
        group = [k for k, at in enumerate(begun.which) if at == row]
        # What all have in common is read with the beginning; one token at least is left for each.
        shared = min(_alike([tails[k] for k in group]), min(len(tails[k]) for k in group) - 1)
        ends.append(end + shared)
        for k in group:
            tails[k] = tails[k][shared:]
    cut = _cut(batch, torch.tensor(ends, device=images.device))
    with positions_seen(model.get_decoder()) as positions:
        cache = model(**cut, use_cache=True, logits_to_keep=1).past_key_values
    if not can_continue(model, cache, cut):
        return None
    return _read_on(model, Past.of(cut, cache, positions[0]), begun.which, tails)


def _alike(rows: Sequence[Sequence[int]]) -> int:
    """Return with how many equal tokens all rows begin."""
    columns = zip(*rows, strict=False)
    return next((n for n, column in enumerate(columns) if len({*column}) > 1), min(map(len, rows)))


def _read_on(
    model: Any, past: Past, which: Sequence[int], tails: Sequence[Sequence[int]]
) -> Iterator[tuple[list[int], Tensor, Past]]:
    """Yield what `read_together` returns; each row is copied for all that go on from it."""
    numbers = sorted(range(len(tails)), key=lambda number: len(tails[number]))
    most = max(1, COPIED // (past.mask.shape[1] + len(tails[numbers[-1]])))
    for start in range(0, len(numbers), most):
        part = numbers[start : start + most]
        rows = past.rows([which[number] for number in part])
        yield part, *rows.read(model, [tails[number] for number in part], last=True)


def _cut(batch: Any, ends: Tensor) -> dict[str, Any]:
    """Return a right-padded batch of which each row ends earlier."""
    most = int(ends.max())
    cut = {
        name: value[:, :most]
        if name in ("input_ids", "attention_mask") or name.endswith("token_type_ids")
        else value
        for name, value in batch.items()
    }
    columns = torch.arange(most, device=ends.device)
    cut["attention_mask"] = (columns[None] < ends[:, None]).to(batch["attention_mask"].dtype)
    return cut
