"""Likelihoods of answers longer than one token: from a prompt's cache, or by running it whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

Tokens = Sequence[Sequence[int]]


def can_continue(cache: Any, batch: Any) -> bool:
    """Tell whether a right-padded prompt's cache can be cut to one row and continued.

    Caches of sliding windows, recurrent states and cross-attention (empty where no image was
    shown) cannot be cut at the end of a row's own tokens.
    """
    from transformers.cache_utils import DynamicLayer

    layers = getattr(cache, "layers", ())
    plain = bool(layers) and all(
        type(layer) is DynamicLayer and layer.keys is not None for layer in layers
    )
    return plain and "cross_attention_mask" not in batch


def padded(row: Tokens, device: torch.device) -> tuple[Int[Tensor, "n t"], Bool[Tensor, "n t"]]:
    """Return token ids padded on the right with 0, and which of them are real."""
    longest = max(len(ids) for ids in row)
    ids = torch.tensor([[*one, *[0] * (longest - len(one))] for one in row], device=device)
    lengths = torch.tensor([[len(one)] for one in row], device=device)
    return ids, torch.arange(longest, device=device)[None] < lengths


def from_cache(model: Any, cache: Any, batch: Any, index: int, row: Tokens) -> Tensor:
    """Return `_summed` over each answer's tokens after the first.

    Args:
        model: The model.
        cache: Keys and values of a right-padded batch of prompts.
        batch: That batch.
        index: Which prompt of it.
        row: Its answers.
    """
    from transformers import DynamicCache

    length = int(batch["attention_mask"][index].sum())
    ids, real = padded(row, model.device)
    own = DynamicCache()
    for number, layer in enumerate(cache.layers):
        keys, values = (
            part[index : index + 1, :, :length].expand(len(row), -1, -1, -1)
            for part in (layer.keys, layer.values)
        )
        own.update(keys, values, number)
    steps = ids.shape[1] - 1
    positions = _rotary_positions(model, batch, index, length, ids[:, :-1])
    output = model(
        input_ids=ids[:, :-1],
        attention_mask=torch.ones(len(row), length + steps, dtype=torch.long, device=ids.device),
        past_key_values=own,
        **positions,
    )
    return _summed(output.logits, ids[:, 1:], real[:, 1:])


def _rotary_positions(
    model: Any, batch: Any, index: int, length: int, ids: Tensor
) -> dict[str, Tensor]:
    """Return the positions of tokens that follow a prompt, where the model cannot tell itself.

    Models that place an image's tokens in two dimensions (M-RoPE) continue the text at the
    prompt's length plus an offset that they keep for the last batch.
    """
    inner: Any = getattr(model, "model", None)
    if not hasattr(inner, "rope_deltas"):
        return {}
    offset = int(inner.rope_deltas[index]) if "image_grid_thw" in batch else 0
    positions = torch.arange(ids.shape[1], device=ids.device) + length + offset
    return {"position_ids": positions.expand(3, ids.shape[0], -1)}


def run_whole(model: Any, batch: Any, row: Tokens, *, answer_type: int) -> Tensor:
    """Return `_summed` over whole answers, prompt and answer run together.

    Args:
        model: The model.
        batch: The prompt, once an answer, unpadded.
        row: The answers.
        answer_type: `token_type_ids` of an answer's tokens.
    """
    prompt = batch["input_ids"].shape[1]
    ids, real = padded(row, model.device)
    logits = model(**appended(batch, row, answer_type=answer_type)).logits[:, prompt - 1 : -1]
    return _summed(logits, ids, real)


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
