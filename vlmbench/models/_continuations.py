"""Likelihoods of answers longer than one token: from a prompt's cache, or by running it whole."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vlmbench.models._past import Past, Tokens, padded

Read = tuple[NDArray[np.float64], NDArray[np.bool_]]
"""Summed log-likelihoods of a prompt's continuations, and whether each would be written."""


def from_cache(model: Any, past: Past, index: Sequence[int], answers: Tokens) -> Tensor:
    """Return `_summed` over each answer's tokens after the first.

    Args:
        model: The model.
        past: Prompts that it has read.
        index: Which of them each answer follows.
        answers: The answers' tokens, two or more.
    """
    before = [ids[:-1] for ids in answers]
    logits, _ = past.rows(index).read(model, before)
    ids, real = padded([ids[1:] for ids in answers], logits.device)
    return _summed(logits, ids, real)


def run_whole(model: Any, batch: Any, answers: Tokens, *, answer_type: int) -> Tensor:
    """Return `_summed` over each answer's tokens after the first, prompt and answer run together.

    Args:
        model: The model.
        batch: Right-padded prompts, one an answer.
        answers: The answers' tokens, two or more.
        answer_type: `token_type_ids` of an answer's tokens.
    """
    starts = batch["attention_mask"].sum(dim=1)
    ids, real = padded([one[1:] for one in answers], starts.device)
    whole = appended(batch, answers, answer_type=answer_type)
    places = starts[:, None] + torch.arange(ids.shape[1], device=ids.device)
    # Behind shorter answers, which are not `real`, there may be nothing.
    places = places.clamp(max=whole["input_ids"].shape[1] - 1)
    rows = torch.arange(len(ids), device=ids.device)[:, None].expand_as(places)
    return _summed(logits_at(model, whole, rows, places)[0], ids, real)


def logits_at(
    model: Any, batch: Any, rows: Tensor, columns: Tensor, *, use_cache: bool = False
) -> tuple[Tensor, Any]:
    """Return logits of a batch at places of (row, token), of any shape, and the cache."""
    more = {}
    if "logits_to_keep" in inspect.signature(model.forward).parameters:
        # Of all positions, only those: vocabularies are large.
        more["logits_to_keep"], columns = torch.unique(columns, return_inverse=True)
    output = model(**batch, use_cache=use_cache, **more)
    return output.logits[rows, columns], output.past_key_values


def appended(batch: Any, row: Tokens, *, answer_type: int) -> dict[str, Any]:
    """Return a right-padded batch of prompts with an answer directly behind each of them.

    Args:
        batch: The prompts, as the model takes them.
        row: An answer's tokens for each; may be none.
        answer_type: `token_type_ids` of an answer's tokens.
    """
    starts = batch["attention_mask"].sum(dim=1).tolist()
    inputs = dict(batch)
    room = max(0, *(start + len(ids) for start, ids in zip(starts, row, strict=True)))
    more = max(0, room - batch["input_ids"].shape[1])
    values = {"attention_mask": 1, "token_type_ids": answer_type, "mm_token_type_ids": 0}
    for name in ("input_ids", *values, "cross_attention_mask"):
        if name not in inputs:
            continue
        old = inputs[name]
        wide = torch.cat([old, old.new_zeros(len(old), more, *old.shape[2:])], dim=1)
        for index, (start, ids) in enumerate(zip(starts, row, strict=True)):
            place = wide[index, start : start + len(ids)]
            if name == "input_ids":
                place.copy_(torch.tensor(ids, dtype=old.dtype, device=old.device))
            elif name in values:
                place.fill_(values[name])
            else:  # answers see the images that the prompt's last token sees
                place.copy_(old[index, start - 1].expand_as(place))
        inputs[name] = wide
    return inputs


def _summed(logits: Tensor, ids: Tensor, real: Tensor) -> Tensor:
    """Return (2, n) float64: log-likelihoods summed where `real`, of `ids` and of the likeliest.

    The two are equal exactly where `ids` are what greedy decoding would write.
    """
    logprobs = logits.float().log_softmax(dim=-1)
    taken = logprobs.gather(2, ids[:, :, None]).squeeze(2).double()
    best = logprobs.max(dim=2).values.double()
    return torch.stack([(taken * real).sum(dim=1), (best * real).sum(dim=1)])


def read_answers(
    last: Tensor,
    tokens: Sequence[Tokens],
    rest: Callable[[Sequence[int], Tokens], Tensor],
    most: int,
) -> list[Read]:
    """Return each answer's summed log-likelihood, and whether greedy decoding would write it.

    Args:
        last: (prompts, vocabulary) float32, log-probabilities after each prompt.
        tokens: The answers' tokens, by prompt.
        rest: Given prompts' numbers and an answer of several tokens for each, gives `_summed` over
            their tokens after the first.
        most: How many answers it is given at once.
    """
    pairs = [(index, ids) for index, row in enumerate(tokens) for ids in row]
    rows, first = torch.tensor([(i, ids[0]) for i, ids in pairs], device=last.device).T
    totals = torch.stack([last[rows, first], last.max(dim=1).values[rows]]).double()
    long = [k for k, (_, ids) in enumerate(pairs) if len(ids) > 1]
    for start in range(0, len(long), most):
        chunk = long[start : start + most]
        totals[:, chunk] += rest([pairs[k][0] for k in chunk], [pairs[k][1] for k in chunk])
    sums, likeliest = totals.cpu().numpy()
    ends = np.cumsum([len(row) for row in tokens])[:-1]
    return list(zip(np.split(sums, ends), np.split(sums == likeliest, ends), strict=True))
