"""The budget test on models whose influence goes with length as told."""

from __future__ import annotations

import numpy as np
import pytest

from vlmbench.diagnostics import budget
from vlmbench.types import ComparisonError

FILLERS = (32, 96, 224)  # prompts of 64, 128 and 256 tokens after one of 32


def outcome(model, *, starved, other="blank", fillers=FILLERS, floor=1e-6):
    def context(filler, first):
        length = (32 + filler) / 32 if starved else 1.0
        return budget.Context(
            scores=model.read(length=length, first=first),
            internals=model.inside(filler=filler, first=first),
            other=None if other is None else model.read(other, length=length, first=first),
        )

    filled = {
        (place, filler): context(filler, 24) for place in ("before", "after") for filler in fillers
    }
    return budget.outcome(context(0, 150), filled, floor=floor, seed=0)


def test_uniform_attention_gives_the_share_of_tokens_exactly(fake):
    found = outcome(fake(), starved=False)
    for group, share in {"image": 16 / 32, "regions": 4 / 32, "choices": 4 / 32}.items():
        assert found.find(budget.UNIFORM, group=group).value == share
        for layer in (1, 2):
            assert found.find(budget.ATTENTION, group=group, layer=layer).value == share
    by_length = [
        found.find(budget.IMAGE_ATTENTION, place="before", tokens=tokens).value
        for tokens in (0, *FILLERS)
    ]
    assert by_length == [16 / 32, 16 / 64, 16 / 128, 16 / 256]


def test_a_starved_model_fails_with_the_slope_of_its_formula(fake):
    model = fake(clear=0.7)
    found = outcome(model, starved=True)
    assert found.holds is False
    left = 7.0 ** (1 / np.array([1, 2, 4, 8]))
    influence = left / (left + 3) - 0.25
    slope = np.polyfit([5, 6, 7, 8], influence, 1)[0]
    for place in ("before", "after"):
        stat = found.find(budget.per_doubling(budget.INFLUENCE), place=place)
        assert stat.value == pytest.approx(slope)
        lost = found.find(budget.LOST, place=place)
        assert lost.value == pytest.approx(1 - influence[-1] / influence[0])


def test_a_steady_model_holds(fake):
    found = outcome(fake(), starved=False)
    assert found.holds is True
    assert found.find(budget.LOST, place="after").value == pytest.approx(0.0)


def test_a_model_without_influence_has_none_to_lose(fake):
    found = outcome(fake(sight=0.0), starved=False)
    assert found.holds is None
    assert "no influence to lose" in found.reason


@pytest.mark.parametrize("starved", [False, True])
def test_without_a_measured_floor_the_test_is_open(fake, starved):
    found = outcome(fake(), starved=starved, floor=None)
    assert found.holds is None
    assert "floor was not measured" in found.reason


def test_without_another_image_influence_is_not_guessed_from_attention(fake):
    found = outcome(fake(), starved=True, other=None)
    assert found.holds is None
    assert found.find(budget.per_doubling(budget.IMAGE_ATTENTION), place="before").high < 0


def test_without_filler_only_attention_is_given(fake):
    found = outcome(fake(), starved=False, fillers=())
    assert found.holds is None
    assert {measured.quantity for measured in found.measurements} == {
        budget.UNIFORM,
        budget.ATTENTION,
    }


def test_filler_that_adds_no_tokens_is_refused(fake):
    model = fake(n=30)
    plain = budget.Context(scores=model.read(), internals=model.inside())
    with pytest.raises(ComparisonError, match="some documents longer"):
        budget.outcome(plain, {("before", 64): plain}, floor=None, seed=0)


def test_unknown_regions_are_left_out(fake):
    model = fake(n=30)
    inside = model.inside()
    inside.mass[:10, :, 1] = np.nan
    found = budget.outcome(
        budget.Context(scores=model.read(), internals=inside), {}, floor=None, seed=0
    )
    stat = found.find(budget.ATTENTION, group="regions", layer=1)
    assert (stat.n, stat.coverage) == (20, pytest.approx(2 / 3))
