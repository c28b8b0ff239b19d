"""The gap taken apart: its parts sum to it, on the same documents."""

from __future__ import annotations

from dataclasses import replace

import handmade
import numpy as np
import pytest

from vlmbench.metrics import gap, losses, summarise
from vlmbench.spec import Condition, Hidden, Prompted
from vlmbench.types import ChoiceScores

N = 200
STAGES = ("hidden-same", "hidden-language-0", "hidden-language-1", "hidden-language-2")


def right_on(count: int, scale: str = "similarity") -> ChoiceScores:
    """Scores that are right on the first so many documents."""
    gold = np.zeros(N, dtype=np.int64)
    scores = np.zeros((N, 2))
    scores[:count, 0] = 1
    scores[count:, 1] = 1
    return replace(handmade.scored(scores, gold), scale=scale)


def test_the_parts_are_what_each_stage_loses_and_sum_to_the_gap():
    own = dict(zip(STAGES, map(right_on, (180, 150, 7, 120)), strict=True))
    own |= {"encoder": right_on(190), "prompted": right_on(60, "logprob")}
    found = {part.name: part.stat.value for part in losses(own)}
    assert found == pytest.approx(
        {"view": 0.05, "projector": 0.15, "layers": 0.15, "language head": 0.3}
    )
    assert sum(found.values()) == pytest.approx(gap(own["encoder"], own["prompted"]).value)


def test_depth_has_a_part_for_its_head():
    own = dict(zip(STAGES, map(right_on, (180, 150, 7, 120)), strict=True))
    own |= {
        "encoder": right_on(190), "encoder-linear": right_on(170),
        "prompted": right_on(60, "logprob"),
    }  # fmt: skip
    found = {part.name: part.stat.value for part in losses(own)}
    assert list(found) == ["head", "view", "projector", "layers", "language head"]
    assert (found["head"], found["view"]) == pytest.approx((0.1, -0.05))


def test_a_document_that_failed_anywhere_counts_nowhere():
    own = dict(zip(STAGES, map(right_on, (180, 150, 7, 120)), strict=True))
    failed = np.arange(N) < 50
    lost = replace(right_on(190), failed=failed)
    own |= {"encoder": lost, "prompted": right_on(60, "logprob")}
    found = losses(own)
    assert {part.stat.n for part in found} == {150}
    whole = gap(lost, replace(own["prompted"], failed=failed)).value
    assert sum(part.stat.value for part in found) == pytest.approx(whole)


@pytest.mark.parametrize("without", ["encoder", "prompted", "hidden-same", "hidden-language-1"])
def test_without_one_of_its_ends_there_is_nothing_to_take_apart(without):
    own = dict.fromkeys(STAGES, right_on(100))
    own |= {"encoder": right_on(190), "prompted": right_on(60, "logprob")}
    del own[without]
    assert losses(own) == []


def test_a_stage_has_rows_of_its_own_and_no_gap():
    cells = {
        (Condition(), Hidden().at("same")): right_on(150),
        (Condition(), Prompted()): right_on(60, "logprob"),
    }
    rows = summarise(cells, model="m", task="t", seed=0)
    assert {(r.readout, r.metric) for r in rows if r.readout != "prompted"} == {
        ("hidden-same", "accuracy"), ("hidden-same", "failed"),
    }  # fmt: skip
