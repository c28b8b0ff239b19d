"""Attention sinks by both rules, and a prompt's attention by head with them apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vlmbench.models._head_attention import head_attention
from vlmbench.models._sinks import (
    MASSIVE,
    QUERIES,
    TIMES,
    attended,
    massive,
    queries,
    rule,
    tells_by_states,
)
from vlmbench.models._token_groups import TokenGroups, token_groups
from vlmbench.types import PARTS, WHOLE, WINDOWS

WIDTH = 1024


def states() -> torch.Tensor:
    """Six states of a wide model: 0 and 3 massive in dimension 7, 4 in another one alone."""
    held = torch.randn((6, WIDTH), generator=torch.Generator().manual_seed(0))
    held[[0, 3], 7] = 100.0
    held[4, 9] = 100.0
    return held


def test_massive_states_are_sinks_where_the_first_tokens_are():
    assert massive(states()).tolist() == [True, False, False, True, False, False]
    assert massive(10 * states()).tolist() == massive(states()).tolist()  # scale does not matter
    assert not massive(states()[1:3]).any()


def test_nothing_is_massive_below_the_threshold():
    held = torch.ones((2, WIDTH))
    held[:, 0] = 10
    assert not massive(held).any()
    one = torch.zeros((1, WIDTH))
    one[0, 0] = 1.0  # all in one dimension: the root of the width
    assert WIDTH**0.5 > MASSIVE
    assert massive(one).all()


def test_a_token_that_most_queries_attend_to_is_a_sink():
    tokens = 50
    rows = np.full((2, 5, tokens), 1 / tokens, dtype=np.float32)
    assert not attended(rows).any()
    rows[:, :, 3] = (TIMES + 0.1) / tokens
    assert attended(rows).tolist() == [place == 3 for place in range(tokens)]


def test_a_token_that_one_query_alone_attends_to_is_none():
    rows = np.full((2, 5, 50), 0.001, dtype=np.float32)
    rows[:, -1, 8] = 0.95  # only the last position
    rows[0, :, 9] = 0.3  # one of two heads, for all of them
    assert attended(rows).nonzero()[0].tolist() == []
    rows[0, :, 9] = 0.5
    assert attended(rows).nonzero()[0].tolist() == [9]


def test_the_width_says_which_rule_and_how_many_queries():
    assert not tells_by_states(400)
    assert tells_by_states(401)
    question = np.arange(20, 60)
    assert queries(question, 4096).tolist() == [59]
    few = queries(question, 128)
    assert len(few) == QUERIES
    assert (few[0], few[-1]) == (20, 59)
    assert queries(question[:3], 128)[-1] == 22
    assert "states" in rule(4096)
    assert "median question position" in rule(128)


# -- by head ----------------------------------------------------------------------------------


def prompt() -> TokenGroups:
    """Two words, four image tokens, three words of which the first lists a choice."""
    is_image = np.array([False] * 2 + [True] * 4 + [False] * 3)
    listed = np.array([False] * 6 + [True, False, False])
    return token_groups(
        is_image, np.array([0, 3]), listed,
        reference=np.array([0]), candidates=np.array([3]), grids=[(2, 2)],
    )  # fmt: skip


def test_parts_are_sums_over_their_tokens_with_sinks_apart():
    row = np.array([[0.3, 0.1, 0.05, 0.1, 0.15, 0.2, 0.04, 0.03, 0.03]], dtype=np.float32)
    none = np.zeros(9, dtype=bool)
    sinks = none.copy()
    sinks[[0, 5]] = True
    found = head_attention([row, row], [none, sinks], prompt())
    first, second = (dict(zip(PARTS, heads[0].tolist(), strict=True)) for heads in found.heads)
    assert first == pytest.approx(
        {"image": 0.5, "reference": 0.05, "candidates": 0.2, "choices": 0.04, "text": 0.46,
         "image_sinks": 0, "text_sinks": 0}
    )  # fmt: skip
    assert second == pytest.approx(
        {"image": 0.3, "reference": 0.05, "candidates": 0, "choices": 0.04, "text": 0.16,
         "image_sinks": 0.2, "text_sinks": 0.3}
    )  # fmt: skip
    np.testing.assert_allclose(found.heads[..., WHOLE].sum(-1), 1, atol=1e-6)
    assert found.sinks.tolist() == [[0, 0], [1, 1]]
    assert found.grid.tolist() == [1, 2, 2]


def test_maps_are_means_over_windows_of_layers_in_which_a_token_is_no_sink():
    rng = np.random.default_rng(0)
    rows = [rng.dirichlet(np.ones(9), 3).astype(np.float32) for _ in range(8)]
    sinks = [np.zeros(9, dtype=bool) for _ in range(8)]
    sinks[2][4] = True
    found = head_attention(rows, sinks, prompt())
    for window in range(WINDOWS):
        pair = [rows[2 * window], rows[2 * window + 1]]
        expected = np.mean([row.mean(0)[2:6] for row in pair], axis=0)
        if window == 1:
            expected[2] = rows[3].mean(0)[4] / 2
        np.testing.assert_allclose(found.maps[window], expected, rtol=1e-5)
    image = PARTS.index("image")
    assert found.maps.sum(1).mean() == pytest.approx(found.heads[..., image].mean(), rel=1e-5)


def test_a_window_without_layers_has_no_map():
    row = np.full((1, 9), 1 / 9, dtype=np.float32)
    found = head_attention([row] * 2, [np.zeros(9, dtype=bool)] * 2, prompt())
    assert np.isnan(found.maps).all(axis=1).tolist() == [True, False, True, False]
