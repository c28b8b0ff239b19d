"""Which of the tests' figures the rules look at."""

from __future__ import annotations

import numpy as np
import pytest

from vlmbench.diagnostics import Accuracies, Finding, Outcome, accuracies, figures
from vlmbench.types import ChoiceScores, Stat


def finding(test, name, value, half=0.05, **at) -> Finding:
    stat = Stat(value=value, low=value - half, high=value + half, n=100)
    return Finding(test=test, figure=name, at=at, stat=stat, unit="")


OUTCOMES = (
    Outcome(
        test="dependency",
        holds=True,
        reason="",
        findings=(
            finding("dependency", "numeric floor", 0.03, 0.0),
            finding("dependency", "total variation", 0.9, against="blank"),
            finding("dependency", "total variation", 0.4, against="swapped"),
        ),
    ),
    Outcome(
        test="consistency",
        holds=False,
        reason="",
        findings=(
            finding("consistency", "p over layers", 0.3, 0.0),
            *(
                finding("consistency", "linear readout of the answer", 0.1 * k, layer=k, of="last")
                for k in range(9)
            ),
            finding("consistency", "linear readout of the answer", 0.99, layer=6, of="image"),
            finding("consistency", "accuracy of the language-model head", 0.2),
        ),
    ),
    Outcome(
        test="budget",
        holds=False,
        reason="",
        findings=(
            finding("budget", "share of influence lost", 0.2, place="before"),
            finding("budget", "share of influence lost", 0.7, place="after"),
        ),
    ),
    Outcome(
        test="contribution",
        holds=True,
        reason="",
        findings=(finding("contribution", "usable information", 0.5, against="blank"),),
    ),
)


def test_each_figure_is_the_one_that_its_rule_names() -> None:
    read = Accuracies(chance=0.25, majority=0.3, encoder=Stat(value=0.625, n=100))
    found = figures(OUTCOMES, read)
    values = {name: stat.value for name, stat in found.stats.items()}
    assert values == pytest.approx(
        {
            "encoder": 0.5,  # (.625 - .25) / .75
            "late": 0.3,  # layer 6 of 8, less the majority, which is above the head
            "shift": 0.4,
            "consistency": 0.3,
            "information": 0.5,  # no text alone was run
            "fall": 0.7,
        }
    )
    assert found.floor == 0.03


def test_a_late_layer_that_says_no_more_than_blind_is_not_above_it() -> None:
    blind = Stat(value=0.6, low=0.55, high=0.65, n=300)
    late = figures(OUTCOMES, Accuracies(blank=blind)).stats["late"]
    assert late.value == pytest.approx(0.0)
    assert (late.low, late.high) == pytest.approx((-(0.005**0.5), 0.005**0.5))


def scores(right: np.ndarray, scale: str = "logprob") -> ChoiceScores:
    n = len(right)
    values = np.zeros((n, 2))
    values[np.arange(n), np.where(right, 0, 1)] = 1.0
    return ChoiceScores(
        doc_ids=tuple(map(str, range(n))),
        gold=np.zeros(n, np.int64),
        n_choices=np.full(n, 2),
        scores=values,
        scale=scale,
        abstained=np.zeros(n, bool),
        failed=np.zeros(n, bool),
    )


def test_accuracies_are_those_of_the_readings() -> None:
    own, blank = scores(np.arange(40) < 30), scores(np.arange(40) < 20)
    read = accuracies(own, blank, None, seed=0)
    assert read.prompted is not None
    assert read.gain is not None
    assert (read.prompted.value, read.gain.value, read.chance) == (0.75, 0.25, 0.5)
    assert read.gain.low < 0.25 < read.gain.high
    assert read.encoder is None
    assert figures((), read).stats.keys() == {"gain"}


def test_a_capped_blank_reading_is_compared_on_its_own_documents() -> None:
    own, blank = scores(np.arange(40) < 10), scores(np.arange(40) < 5).take(np.arange(10))
    gain = accuracies(own, blank, None, seed=0).gain
    assert gain is not None
    assert (gain.value, gain.n) == (0.5, 10)


def test_what_failed_throughout_was_not_read() -> None:
    gone = scores(np.ones(5, bool))
    gone.failed[:] = True
    read = accuracies(scores(np.ones(5, bool)), gone, gone, seed=0)
    assert read.blank is None
    assert read.gain is None
    assert read.encoder is None
