"""Attention of each prompt's last position, while the fused kernel computes all the others.

The fused kernel (`sdpa`) returns no weights, and the formula that does (`eager`) holds tokens x
tokens of them a head. Of these only the last row of a prompt is summed up, so it alone is computed
by the formula, from the very queries, keys and mask that the kernel is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

_NAME = "sdpa_with_last_row"
# Sums rounded to bfloat16 miss the kernel's by less than this share of the largest value.
_ROUNDING = 0.05


class LastRow:
    """Attention by the fused kernel that also gives the weights of one row per prompt.

    Returns the kernel's output unchanged to the bit, and weights of shape (prompts, heads, 1,
    tokens): None while `ends` is None, and where they do not reproduce the kernel's output.

    Attributes:
        ends: (prompts,) the position of each prompt whose weights to give; None for none.
    """

    def __init__(self) -> None:
        self.ends: Int[Tensor, " prompts"] | None = None

    def __call__(
        self,
        module: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        scaling: float | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """Stand in for transformers' `sdpa_attention_forward`, whose arguments these are."""
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        output, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **kwargs
        )
        if self.ends is None:
            return output, None
        weights = last_row(query, key, attention_mask, self.ends, scaling)
        found = output[torch.arange(len(output), device=output.device), self.ends]
        missed = (_apply(weights, value) - found.float()).abs().max()
        # Whatever else the kernel was told, a bias for one, would show here.
        return output, weights[:, :, None] if missed <= _ROUNDING * value.abs().max() else None


@contextmanager
def with_last_row(decoder: Any) -> Iterator[LastRow]:
    """Let a decoder that runs under `sdpa` give weights of attention too, for a while.

    A decoder under another implementation is left alone: the formula, which transformers takes
    where there is no kernel, gives the weights of all rows itself.

    Args:
        decoder: A language model of transformers.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    attention = LastRow()
    if decoder.config._attn_implementation != "sdpa":
        yield attention
        return
    AttentionInterface.register(_NAME, attention)
    AttentionMaskInterface.register(_NAME, sdpa_mask)
    decoder.set_attn_implementation(_NAME)
    try:
        yield attention
    finally:
        decoder.set_attn_implementation("sdpa")


def last_row(
    query: Float[Tensor, "prompts heads tokens dim"],
    key: Float[Tensor, "prompts key_heads tokens dim"],
    mask: Tensor | None,
    ends: Int[Tensor, " prompts"],
    scaling: float | None,
) -> Float[Tensor, "prompts heads tokens"]:
    """Return what each prompt's position `ends` pays to all positions, in float32.

    Args:
        query: Queries, rotated.
        key: Keys, rotated; each serves `heads / key_heads` neighbouring heads.
        mask: (prompts, 1, tokens, tokens) bool, True where attention is allowed, or numbers to
            add; None where the last position of every prompt sees all tokens.
        ends: The last position of each prompt.
        scaling: Factor of the products; None for `dim ** -0.5`.
    """
    prompts = torch.arange(len(query), device=query.device)
    asked = _by_key_head(query[prompts, :, ends].float(), key.shape[1])
    logits = (asked @ key.float().transpose(2, 3)).flatten(1, 2)
    logits = logits * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if mask is not None:
        row = mask.expand(len(query), -1, -1, -1)[prompts, :, ends]
        logits = logits.masked_fill(~row, -torch.inf) if row.dtype == torch.bool else logits + row
    return torch.softmax(logits, dim=-1)


def _apply(
    weights: Float[Tensor, "prompts heads tokens"],
    value: Float[Tensor, "prompts key_heads tokens dim"],
) -> Float[Tensor, "prompts heads dim"]:
    """Return the sums of values under weights."""
    return torch.flatten(_by_key_head(weights, value.shape[1]) @ value.float(), 1, 2)


def _by_key_head(
    rows: Float[Tensor, "prompts heads size"], key_heads: int
) -> Float[Tensor, "prompts key_heads sharing size"]:
    """Group the heads that share a key."""
    return rows.reshape(len(rows), key_heads, -1, rows.shape[-1])
