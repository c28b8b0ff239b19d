"""Criteria of the verdict: each signature, each threshold, each claim of what would change it."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vlmbench.diagnostics._criteria import CRITERIA, INDICATORS, IndicatorName, ThresholdName
from vlmbench.diagnostics._thresholds import SHIPPED, Thresholds, load_thresholds
from vlmbench.diagnostics._verdict import Indicators, Verdict, verdict
from vlmbench.types import Stat, VlmbenchError

THRESHOLDS = load_thresholds()


def stat(value: float, half: float = 0.01) -> Stat:
    return Stat(value=value, low=value - half, high=value + half, n=300)


SEEING = {
    "encoder": stat(0.9),
    "gain": stat(0.6),
    "late": stat(0.6),
    "shift": stat(0.4),
    "consistency": Stat(value=0.001, n=300),
    "information": stat(1.2),
    "override": stat(0.8),
    "fall": stat(0.1),
}
USELESS = {"gain": stat(0.0), "late": stat(0.0)}

SIGNATURES = {
    "encoder-limited": {**USELESS, "encoder": stat(0.02)},
    "readout bottleneck": {**USELESS, "late": stat(0.5)},
    "visual neglect": {**USELESS, "shift": stat(0.004, 0.003), "information": stat(0.0)},
    "fusion bottleneck": {**USELESS, "consistency": Stat(value=0.4, n=300)},
    "negative exchange rate": {**USELESS, "information": stat(-0.5)},
    "text dominance": {"override": stat(0.1)},
    "budget collapse": {"fall": stat(0.9)},
    "uses its vision": {},
}


def judged(**changed: Stat | None) -> Verdict:
    indicators = {**SEEING, **changed}
    return verdict(
        Indicators(stats={name: stat for name, stat in indicators.items() if stat is not None}),
        THRESHOLDS,
    )


@pytest.mark.parametrize("name", SIGNATURES)
def test_each_signature_is_named(name: str) -> None:
    said = judged(**SIGNATURES[name])
    assert said.name == name
    assert len(said.seen) == len(SEEING)
    assert said.would_change


# indicator, threshold, signature it stands in, verdict below it, verdict above it
CROSSINGS = [
    ("encoder", "near_chance", "encoder-limited", "encoder-limited", "visual neglect"),
    ("gain", "gain", "encoder-limited", "encoder-limited", "uses its vision"),
    ("late", "late", "readout bottleneck", "visual neglect", "readout bottleneck"),
    ("shift", "shift", "uses its vision", "visual neglect", "uses its vision"),
    ("encoder", "high_encoder", "fusion bottleneck", "visual neglect", "fusion bottleneck"),
    ("consistency", "consistency", "fusion bottleneck", "visual neglect", "fusion bottleneck"),
    ("information", "harm", "uses its vision", "negative exchange rate", "uses its vision"),
    ("override", "override", "uses its vision", "text dominance", "uses its vision"),
    ("fall", "fall", "uses its vision", "uses its vision", "budget collapse"),
]


@pytest.mark.parametrize(("indicator", "threshold", "start", "below", "above"), CROSSINGS)
def test_one_indicator_across_its_threshold_changes_the_verdict(
    indicator: str, threshold: str, start: str, below: str, above: str
) -> None:
    cut = THRESHOLDS.value(threshold)
    base = SIGNATURES[start]
    assert judged(**{**base, indicator: stat(cut - 0.004, 0.003)}).name == below
    assert judged(**{**base, indicator: stat(cut + 0.004, 0.003)}).name == above


@pytest.mark.parametrize(
    ("indicator", "threshold"),
    [("information", "harm"), ("override", "override"), ("fall", "fall"), ("shift", "shift")],
)
def test_an_interval_over_a_threshold_is_inconclusive(indicator: str, threshold: str) -> None:
    said = judged(**{indicator: stat(THRESHOLDS.value(threshold) + 0.001, 0.01)})
    assert said.name == "inconclusive"
    assert INDICATORS[indicator] in said.reason
    assert {change.verdict for change in said.changes} >= {"uses its vision"}


def test_an_encoder_that_may_be_near_chance_leaves_its_criterion_and_neglect_open() -> None:
    said = judged(**USELESS, encoder=stat(0.15, 0.05))
    assert said.name == "inconclusive"
    assert said.between == ("encoder-limited", "visual neglect")
    assert said.alternatives == "encoder-limited or visual neglect"


def test_what_is_settled_is_between_nothing() -> None:
    assert (judged().between, judged().alternatives) == ((), "")


def test_an_open_finer_name_does_not_hide_that_the_image_is_of_no_use() -> None:
    said = judged(**USELESS, information=stat(-0.05, 0.1))
    assert said.name == "visual neglect"
    assert "negative exchange rate" in {change.verdict for change in said.changes}


@pytest.mark.parametrize(("indicator", "value"), [("override", 0.3), ("fall", 0.9)])
def test_what_is_of_no_use_can_be_neither_overridden_nor_crowded_out(
    indicator: str, value: float
) -> None:
    said = judged(**USELESS, **{indicator: stat(value, 0.05)})
    assert said.name == "visual neglect"
    named = {"text dominance", "budget collapse"}
    assert {change.indicator for change in said.changes if change.verdict in named} == {"gain"}


def test_a_weak_readout_does_not_blame_an_encoder_that_the_model_sees_through() -> None:
    assert judged(encoder=stat(0.02)).name == "uses its vision"


def test_without_an_encoder_its_criteria_are_left_out_and_it_says_so() -> None:
    said = judged(**USELESS, encoder=None)
    assert said.name == "visual neglect"
    assert any("not measured" in line and "encoder" in line for line in said.seen)
    (left_out,) = [line for line in said.seen if line.startswith("left out")]
    assert "encoder-limited" in left_out
    assert (
        "fusion bottleneck" not in left_out
    )  # ruled out by the consistency test, with or without an encoder


def test_nothing_measured_is_inconclusive_rather_than_seeing() -> None:
    assert verdict(Indicators(stats={}), THRESHOLDS).name == "inconclusive"
    assert judged(gain=None).name == "inconclusive"


def test_exactly_no_effect_is_neglect_and_not_harm() -> None:
    nothing = Stat(value=0.0, low=0.0, high=0.0, n=300)
    assert judged(gain=nothing, late=nothing, shift=nothing, information=nothing).name == (
        "visual neglect"
    )


def test_an_indicator_that_need_only_be_known_better_is_named_as_such() -> None:
    straddling = {"gain": stat(-0.1, 0.3), "late": stat(0.0, 0.3), "shift": stat(-0.18, 0.001)}
    said = verdict(Indicators(stats=straddling), THRESHOLDS)
    assert said.name == "inconclusive"
    assert any(
        "if accuracy with the image minus accuracy with a blank one were known more exactly" in line
        for line in said.would_change
    )


def test_a_larger_measured_floor_takes_the_place_of_the_threshold() -> None:
    indicators = {**SEEING, "shift": stat(0.05)}
    assert verdict(Indicators(stats=indicators), THRESHOLDS).name == "uses its vision"
    assert verdict(Indicators(stats=indicators, floor=0.1), THRESHOLDS).name == "visual neglect"
    assert verdict(Indicators(stats=indicators, floor=0.001), THRESHOLDS).name == "uses its vision"


@st.composite
def some_indicators(draw: st.DrawFn) -> dict[IndicatorName, Stat]:
    found: dict[IndicatorName, Stat] = {}
    for name in get_args(IndicatorName):
        cuts = sorted(
            {
                THRESHOLDS.value(c.threshold)
                for criterion in CRITERIA
                for c in criterion.clauses
                if c.indicator == name
            }
        )
        middles = [(a + b) / 2 for a, b in pairwise(cuts)]
        value = draw(st.sampled_from([None, cuts[0] - 0.2, *cuts, *middles, cuts[-1] + 0.2]))
        if value is not None:
            found[name] = stat(value, draw(st.sampled_from([0.001, 0.3])))
    return found


@settings(deadline=None, max_examples=60)
@given(indicators=some_indicators(), floor=st.sampled_from([0.0, 0.3]), share=st.floats(0.05, 1.0))
def test_what_is_said_to_change_the_verdict_does(
    indicators: dict[IndicatorName, Stat], floor: float, share: float
) -> None:
    said = verdict(Indicators(stats=indicators, floor=floor), THRESHOLDS)
    assert len(said.changes) == len(said.would_change)
    for change in said.changes:
        assert change.verdict != said.name
        low, high = max(change.low, -2.0), min(change.high, 2.0)  # every threshold lies within
        inside = min(low + share * (high - low), high)  # which rounding may pass
        moved = {**indicators, change.indicator: Stat(value=inside, n=300)}
        assert verdict(Indicators(stats=moved, floor=floor), THRESHOLDS).name == change.verdict


@settings(deadline=None, max_examples=40)
@given(indicators=some_indicators())
def test_what_is_not_said_to_change_the_verdict_does_not(
    indicators: dict[IndicatorName, Stat],
) -> None:
    said = verdict(Indicators(stats=indicators), THRESHOLDS)
    for name in get_args(IndicatorName):
        for value in (-0.3, 0.005, 0.1, 0.12, 0.15, 0.25, 0.5, 0.9):
            told = any(
                change.indicator == name and change.low < value <= change.high
                for change in said.changes
            )
            moved = {**indicators, name: Stat(value=value, n=300)}
            assert told == (verdict(Indicators(stats=moved), THRESHOLDS).name != said.name)


@settings(deadline=None, max_examples=60)
@given(indicators=some_indicators(), places=st.lists(st.floats(0.0, 1.0), min_size=8, max_size=8))
def test_wherever_in_its_interval_each_figure_lies_the_verdict_is_one_of_those_named(
    indicators: dict[IndicatorName, Stat], places: list[float]
) -> None:
    said = verdict(Indicators(stats=indicators), THRESHOLDS)
    assume(said.between)
    assert len(said.between) > 1
    settled = {
        name: Stat(value=found.low + place * (found.high - found.low), n=300)
        for (name, found), place in zip(indicators.items(), places, strict=False)
    }
    assert said.name == "inconclusive"
    assert verdict(Indicators(stats=settled), THRESHOLDS).name in said.between


def test_every_wrong_key_of_the_thresholds_is_reported(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    text = SHIPPED.read_text().replace("late:", "lately:").replace("value: 0.02", "value: much")
    path.write_text(text)
    with pytest.raises(VlmbenchError) as refused:
        load_thresholds(path)
    fields = {problem.field for problem in refused.value.problems}
    assert fields == {"late", "lately", "shift.value"}


def test_every_threshold_has_one_name_and_every_clause_uses_one() -> None:
    assert get_args(ThresholdName) == tuple(Thresholds.model_fields)
    used = {clause.threshold for criterion in CRITERIA for clause in criterion.clauses}
    assert used == set(get_args(ThresholdName))
    assert {c.indicator for criterion in CRITERIA for c in criterion.clauses} == set(INDICATORS)
    assert tuple(INDICATORS) == get_args(IndicatorName)
