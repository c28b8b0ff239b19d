"""Attention of each prompt's last position, while the fused kernel computes all the others.

The fused kernel (`sdpa`) returns no weights, and the formula that does (`eager`) holds tokens x
tokens of them a head. Of these only the last row of a prompt is summed up, and in narrow models a
few more, so they alone are computed by the formula, from the very queries, keys and mask that the
kernel is given.
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
    """Attention by the fused kernel that also gives the weights of some rows per prompt.

    Returns the kernel's output unchanged to the bit, and weights of shape (prompts, heads, rows,
    tokens): None while `rows` is None, and where they do not reproduce the kernel's output.

    Attributes:
        rows: (prompts, rows) positions of each prompt whose weights to give; None for none.
    """

    def __init__(self) -> None:
        self.rows: Int[Tensor, "prompts rows"] | None = None

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
        if self.rows is None:
            return output, None
        rows = self.rows.to(query.device)
        weights = rows_of(query, key, attention_mask, rows, scaling)
        found = output[_each(output), rows].transpose(1, 2)
        missed = (_apply(weights, value) - found.float()).abs().max()
        # Whatever else the kernel was told, a bias for one, would show here.
        return output, weights if missed <= _ROUNDING * value.abs().max() else None


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


def rows_of(
    query: Float[Tensor, "prompts heads tokens dim"],
    key: Float[Tensor, "prompts key_heads tokens dim"],
    mask: Tensor | None,
    rows: Int[Tensor, "prompts rows"],
    scaling: float | None,
) -> Float[Tensor, "prompts heads rows tokens"]:
    """Return what some positions of each prompt pay to all positions, in float32.

    Args:
        query: Queries, rotated.
        key: Keys, rotated; each serves `heads / key_heads` neighbouring heads.
        mask: (prompts, 1, tokens, tokens) bool, True where attention is allowed, or numbers to
            add; None where every position sees all before it.
        rows: The positions.
        scaling: Factor of the products; None for `dim ** -0.5`.
    """
    each = _each(query)
    asked = query[each, :, rows].transpose(1, 2).float()
    logits = (_by_key_head(asked, key.shape[1]) @ key.float().transpose(2, 3)).view(
        *asked.shape[:3], -1
    )
    logits = logits * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if mask is None:
        places = torch.arange(key.shape[2], device=key.device)
        allowed = (places <= rows[:, :, None])[:, None]
    else:
        allowed = mask.expand(len(query), -1, -1, -1)[each, :, rows].transpose(1, 2)
    if allowed.dtype == torch.bool:
        logits = logits.masked_fill(~allowed, -torch.inf)
    else:
        logits = logits + allowed
    return torch.softmax(logits, dim=-1)


def _each(tensor: Tensor) -> Tensor:
    """Return (prompts, 1) numbers of the prompts."""
    return torch.arange(len(tensor), device=tensor.device)[:, None]


def _apply(
    weights: Float[Tensor, "prompts heads rows tokens"],
    value: Float[Tensor, "prompts key_heads tokens dim"],
) -> Float[Tensor, "prompts heads rows dim"]:
    """Return the sums of values under weights."""
    sums = _by_key_head(weights, value.shape[1]) @ value.float()
    return sums.view(*weights.shape[:3], -1)


def _by_key_head(
    rows: Float[Tensor, "prompts heads rows size"], key_heads: int
) -> Float[Tensor, "prompts key_heads sharing size"]:
    """Group the rows of heads that share a key."""
    return rows.reshape(len(rows), key_heads, -1, rows.shape[-1])
