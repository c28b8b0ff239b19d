"""Plots: nothing cut, nothing too small to read, nothing told by colour alone."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from vlmbench.diagnostics import (
    CRITERIA,
    Verdict,
    budget,
    consistency,
    contribution,
    override,
    sensitivity,
)
from vlmbench.diagnostics.analyses import prefix, tuning
from vlmbench.report.cards._plots._answers import (
    Answers,
    Confidence,
    answer_distributions,
    confidence_shift,
)
from vlmbench.report.cards._plots._curves import dose_curve, information_bars, sensitivity_curves
from vlmbench.report.cards._plots._layers import (
    attention_by_filler,
    attention_by_layer,
    budget_by_length,
    consistency_by_layer,
    readout_by_layer,
)
from vlmbench.report.cards._plots._strip import Line, strip
from vlmbench.report.cards._plots._style import LOOKS, save
from vlmbench.report.cards._plots._tuning import arms, prefix_curve
from vlmbench.types import Stat

DRAWN = {
    "override": dose_curve,
    "consistency": consistency_by_layer,
    "readout": readout_by_layer,
    "sensitivity": sensitivity_curves,
    "information": information_bars,
    "attention": attention_by_layer,
    "filler": attention_by_filler,
    "budget": budget_by_length,
}
TESTS = {
    "override": override, "consistency": consistency, "readout": consistency,
    "sensitivity": sensitivity, "information": contribution, "attention": budget,
    "filler": budget, "budget": budget,
}  # fmt: skip


def of_test(outcomes, test):
    return {
        task: next(outcome for outcome in found if outcome.test == test.TEST)
        for task, found in outcomes.items()
    }


def said(name: str, *between: str) -> Verdict:
    return Verdict(name=name, reason="", seen=(), would_change=(), changes=(), between=between)


def draw(name: str, outcomes) -> Figure:
    rng = np.random.default_rng(0)
    match name:
        case "summary":
            verdicts = (
                said("visual neglect"),
                said("inconclusive", *dict.fromkeys(criterion.verdict for criterion in CRITERIA)),
                said("negative exchange rate"),
            )
            figure = strip(
                "a-model-of-some-length",
                [
                    Line(task=task, outcomes=found, verdict=verdict)
                    for (task, found), verdict in zip(outcomes.items(), verdicts, strict=True)
                ],
            )
        case "answers":
            even = np.array([0.25, 0.25, 0.25, 0.25, 0.0])
            none = np.array([0.1, 0.2, 0.3, 0.2, 0.2])
            figure = answer_distributions(
                {
                    "naming": Answers(truth=even, vision=none, blind=even),
                    "semantic_correspondence": Answers(truth=even, vision=even, blind=None),
                }
            )
        case "confidence":
            text, both = rng.uniform(0.3, 1, (2, 60))
            found = Confidence(text=text, both=both, right=both > text, without="text alone")
            figure = confidence_shift({"naming": found})
        case "tuning":
            figure = arms({"semantic_correspondence": trained(0.1), "naming": trained(0.35)})
        case "prefix":
            figure = prefix_curve({"depth": prefixed(0.02), "naming": prefixed(0.1)})
        case _:
            figure = DRAWN[name](of_test(outcomes, TESTS[name]))
    assert figure is not None
    return figure


def read(value: float, half: float = 0.05) -> Stat:
    return Stat(value=value, low=value - half, high=value + half, n=300)


def trained(gain: float) -> tuning.Finding:
    """Arms that gain a tenth, none and all of it, with seeds beside them."""
    found = [tuning.ACCURACY.measured(read(0.51), arm="untrained")]
    for part, share in (("tower", 0.1), ("projector", 0.0), ("language", 1.0)):
        value = 0.51 + share * gain
        found.append(tuning.ACCURACY.measured(read(value), arm=part))
        found += [
            tuning.ACCURACY.measured(read(value + 0.02 * seed), arm=part, seed=seed)
            for seed in (-1, 0, 1)
        ]
    levels = {"encoder": 0.9, "blank": 0.505, "chance": 0.5}
    found += [tuning.ACCURACY.measured(read(value), arm=arm) for arm, value in levels.items()]
    return tuning.Finding(analysis=tuning.ANALYSIS, says="So.", measurements=tuple(found))


def prefixed(gain: float) -> prefix.Finding:
    found = [
        prefix.ACCURACY.measured(read(0.5 + gain * (tokens > 0)), tokens=tokens)
        for tokens in (0, 1, 5, 10)
    ]
    found += [
        prefix.LEVEL.measured(read(v), of=of) for of, v in (("encoder", 0.8), ("chance", 0.5))
    ]
    return prefix.Finding(analysis=prefix.ANALYSIS, says="So.", measurements=tuple(found))


NAMES = [*DRAWN, "summary", "answers", "confidence", "tuning", "prefix"]


def never_drawn(figure: Figure) -> set[int]:
    """Labels of ticks that matplotlib keeps past the ends of an axis."""
    found = set()
    for panel in figure.axes:
        for axis in (panel.xaxis, panel.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low - 1e-9 <= tick.get_loc() <= high + 1e-9:
                    found |= {id(tick.label1), id(tick.label2)}
    return found


@pytest.mark.parametrize("name", NAMES)
def test_no_label_is_cut_small_or_covered(name, outcomes) -> None:
    figure = draw(name, outcomes)
    figure.canvas.draw()
    whole, hidden = figure.bbox, never_drawn(figure)
    boxes = []
    for text in figure.findobj(Text):
        if not text.get_text().strip() or not text.get_visible() or id(text) in hidden:
            continue
        box = text.get_window_extent()
        assert text.get_fontsize() >= 8, text
        assert whole.x0 - 1 <= box.x0, text
        assert box.x1 <= whole.x1 + 1, text
        assert whole.y0 - 1 <= box.y0, text
        assert box.y1 <= whole.y1 + 1, text
        boxes.append((text, box))
    assert len(boxes) > 4
    for (one, a), (other, b) in combinations(boxes, 2):
        wide = min(a.x1, b.x1) - max(a.x0, b.x0)
        high = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert wide < 2 or high < 0.35 * min(a.height, b.height), (one, other)


def test_series_differ_in_shape_and_not_only_in_colour() -> None:
    assert len({look.marker for look in LOOKS}) == len(LOOKS)
    assert len({str(look.line) for look in LOOKS}) == len(LOOKS)


def test_marks_of_the_strip_are_what_the_tests_say(outcomes) -> None:
    blind = {outcome.test.name: outcome.word for outcome in outcomes["depth"]}
    assert blind["dependency"] == "fails"
    assert blind["budget"] == "not run"
    middling = {outcome.test.name: outcome.word for outcome in outcomes["object_3d"]}
    assert middling["sensitivity"] == "inconclusive"
    assert middling["dependency"] == "holds"


def test_a_curve_shows_the_measurements_it_was_given(outcomes) -> None:
    figure = dose_curve(of_test({"naming": outcomes["naming"]}, override))
    assert figure is not None
    (panel,) = figure.axes
    (found,) = [outcome for outcome in outcomes["naming"] if outcome.test == override.TEST]
    expected = [
        found.find(override.FOLLOWING, strength=strength, of="all").value
        for strength in ("none", "weak", "medium", "strong")
    ]
    drawn = [list(line.get_ydata()) for line in panel.get_lines()]
    assert expected in drawn


def test_nothing_recorded_draws_nothing(outcomes, tmp_path) -> None:
    (missing,) = [o for o in outcomes["depth"] if o.test == budget.TEST]
    assert attention_by_layer({"depth": missing}) is None
    assert save({"attention": None}, tmp_path) == ()
    assert not list(tmp_path.iterdir())


def test_bytes_do_not_change_and_hold_no_date(outcomes, tmp_path) -> None:
    for folder in ("a", "b"):
        save({"information": draw("information", outcomes)}, tmp_path / folder)
    for suffix in ("svg", "png"):
        first, second = (
            (tmp_path / folder / f"information.{suffix}").read_bytes() for folder in ("a", "b")
        )
        assert first == second
        assert b"dc:date" not in first
