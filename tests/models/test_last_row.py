"""Attention of the last row beside the fused kernel, against torch's own written-out form."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace

import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from vlmbench.models._last_row import LastRow, rows_of, with_last_row

PROMPTS, HEADS, KEY_HEADS, TOKENS, DIM = 3, 4, 2, 6, 8
ENDS = torch.tensor([5, 3, 4])
MODULE = SimpleNamespace(num_key_value_groups=HEADS // KEY_HEADS, is_causal=True, training=False)


def attended() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(PROMPTS, heads, TOKENS, DIM) for heads in (HEADS, KEY_HEADS, KEY_HEADS)]
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


def causal_and_padded() -> torch.Tensor:
    """Return (prompts, 1, tokens, tokens) bool; padding sees itself, so that no row is empty."""
    real = torch.arange(TOKENS) <= ENDS[:, None]
    seen = torch.ones(TOKENS, TOKENS).tril().bool() & real[:, None]
    return (seen | torch.eye(TOKENS).bool())[:, None]


def written_out(mask: torch.Tensor | None, scaling: float = DIM**-0.5) -> torch.Tensor:
    """Return all weights (prompts, heads, tokens, tokens): the kernel applied to unit values."""
    query, key, _ = attended()
    units = torch.eye(TOKENS).expand(PROMPTS, HEADS, -1, -1)
    return torch.nn.functional.scaled_dot_product_attention(
        query, key.repeat_interleave(2, 1), units, attn_mask=mask, scale=scaling
    )


def at_ends(weights: torch.Tensor) -> torch.Tensor:
    return torch.stack([row[:, end] for row, end in zip(weights, ENDS, strict=True)])


@pytest.mark.parametrize("scaling", [None, 0.25])
def test_rows_are_those_of_the_whole_map(scaling):
    query, key, _ = attended()
    mask = causal_and_padded()
    expected = at_ends(written_out(mask, scaling or DIM**-0.5))

    def last_row(mask: torch.Tensor | None) -> torch.Tensor:
        return rows_of(query, key, mask, ENDS[:, None], scaling)[:, :, 0]

    torch.testing.assert_close(last_row(mask), expected)
    added = torch.where(mask, 0.0, torch.finfo(torch.float32).min)
    torch.testing.assert_close(last_row(added), expected)
    causal = torch.ones(TOKENS, TOKENS).tril().bool()[None, None]
    told_causal = at_ends(written_out(causal, scaling or DIM**-0.5))
    torch.testing.assert_close(last_row(None), told_causal)
    assert (expected[1, :, 4:] == 0).all()
    several = torch.tensor([[0, 5], [2, 3], [1, 4]])
    found = rows_of(query, key, mask, several, scaling)
    whole = written_out(mask, scaling or DIM**-0.5)
    for prompt, places in enumerate(several):
        torch.testing.assert_close(found[prompt], whole[prompt][:, places])


def test_weights_come_beside_the_kernels_output_while_asked_for():
    attention, mask = LastRow(), causal_and_padded()
    output, nothing = attention(MODULE, *attended(), mask)
    assert nothing is None
    attention.rows = ENDS[:, None]
    again, weights = attention(MODULE, *attended(), mask)
    assert torch.equal(output, again)
    torch.testing.assert_close(weights[:, :, 0], at_ends(written_out(mask)))


def test_weights_that_do_not_explain_the_output_are_not_given():
    """The kernel told of a bias, first of zeros, then of one that the formula does not know."""
    attention = LastRow()
    attention.rows = ENDS[:, None]
    bias = torch.zeros(1, HEADS, TOKENS, TOKENS)
    _, weights = attention(MODULE, *attended(), causal_and_padded(), position_bias=bias)
    assert weights is not None
    bias[..., 0] = 5
    _, weights = attention(MODULE, *attended(), causal_and_padded(), position_bias=bias)
    assert weights is None


def test_a_decoder_is_switched_for_a_while_and_then_let_go():
    config = LlamaConfig(
        vocab_size=9, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1,
    )  # fmt: skip
    decoder = LlamaModel(config).eval()
    with with_last_row(decoder):
        assert decoder.config._attn_implementation != "sdpa"
    assert decoder.config._attn_implementation == "sdpa"
    decoder.set_attn_implementation("eager")
    with with_last_row(decoder):
        assert decoder.config._attn_implementation == "eager"
    gone = weakref.ref(decoder)
    del decoder
    gc.collect()
    assert gone() is None
