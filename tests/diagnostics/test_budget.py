"""The budget test on models whose influence goes with length as told."""

from __future__ import annotations

import handmade
import numpy as np
import pytest

from vlmbench.diagnostics import budget
from vlmbench.types import ComparisonError, Internals

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
        change = found.find(budget.CHANGE, place=place)
        assert change.value == pytest.approx(influence[-1] - influence[0])


def test_a_steady_model_holds(fake):
    found = outcome(fake(), starved=False)
    assert found.holds is True
    assert found.find(budget.LOST, place="after").value == pytest.approx(0.0)


def fading(last):
    """Return the outcome where influence is 0.071 without filler and `last` under the longest."""
    lengths = (0, 64, 256, 1024, 4096)
    n = len(last)

    def context(filler, influence):
        p = 0.5 + influence
        own, other = (np.log(np.stack([x, 1 - x], axis=1)) for x in (p, np.full(n, 0.5)))
        tokens = np.tile(np.array([16, 4, 4, 12 + filler]), (n, 1))
        inside = Internals(
            doc_ids=tuple(f"doc-{i}" for i in range(n)),
            h_image=np.zeros((n, 2, 1), np.float32),
            h_text=np.zeros((n, 2, 1), np.float32),
            h_last=np.zeros((n, 2, 1), np.float32),
            mass=np.full((n, 1, 4), 0.25),
            tokens=tokens,
        )
        gold = np.zeros(n, np.int64)
        return budget.Context(
            scores=handmade.scored(own, gold), internals=inside, other=handmade.scored(other, gold)
        )

    steps = {tokens: 0.071 + (last - 0.071) * i / 4 for i, tokens in enumerate(lengths)}
    filled = {("after", tokens): context(tokens, steps[tokens]) for tokens in lengths[1:]}
    return budget.outcome(context(0, steps[0]), filled, floor=0.02, seed=0)


def test_a_slow_loss_of_all_influence_fails_though_no_doubling_loses_the_floor():
    found = fading(np.zeros(40))
    assert found.find(budget.LOST, place="after").value == pytest.approx(1.0)
    assert found.find(budget.per_doubling(budget.INFLUENCE), place="after").value > -0.02
    assert found.find(budget.CHANGE, place="after").value == pytest.approx(-0.071)
    assert found.holds is False


@pytest.mark.parametrize(
    ("last", "holds"), [(0.071, True), (0.06, True), (0.051, True), (0.04, False)]
)
def test_a_loss_counts_from_the_numeric_floor_on(last, holds):
    assert fading(np.full(40, last)).holds is holds


def test_it_is_open_where_the_change_reaches_across_the_floor():
    last = np.where(np.arange(40) % 2, 0.051 - 0.04, 0.051 + 0.04)
    assert fading(last).holds is None


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
