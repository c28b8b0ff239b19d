"""Which of the tests' measurements the criteria look at."""

from __future__ import annotations

import handmade
import numpy as np
import pytest

from vlmbench.diagnostics import (
    Accuracies,
    Evidence,
    Outcome,
    accuracies,
    budget,
    consistency,
    contribution,
    dependency,
    indicators,
    late_layers,
    load_thresholds,
    verdict,
)
from vlmbench.spec import Condition
from vlmbench.types import ChoiceScores, Internals, Stat


def stat(value: float, half: float = 0.05) -> Stat:
    return Stat(value=value, low=value - half, high=value + half, n=100)


OUTCOMES = (
    Outcome(
        test=dependency.TEST,
        holds=True,
        reason="",
        measurements=(
            dependency.NUMERIC_FLOOR.measured(stat(0.03, 0.0)),
            dependency.TOTAL_VARIATION.measured(stat(0.9), against="blank"),
            dependency.TOTAL_VARIATION.measured(stat(0.4), against="swapped"),
        ),
    ),
    Outcome(
        test=consistency.TEST,
        holds=False,
        reason="",
        measurements=(
            consistency.P_OVER_LAYERS.measured(stat(0.3, 0.0)),
            *(
                late_layers.READOUT.measured(stat(0.1 * layer), layer=layer, of="last")
                for layer in range(9)
            ),
            late_layers.READOUT.measured(stat(0.99), layer=6, of="image"),
            late_layers.READOUT.measured(stat(0.25), layer=6, of="blank"),
            late_layers.READOUT.measured(stat(0.9), layer=8, of="blank"),
            late_layers.MAJORITY.measured(Stat(value=0.3, n=100)),
            late_layers.HEAD.measured(stat(0.2)),
        ),
    ),
    Outcome(
        test=budget.TEST,
        holds=False,
        reason="",
        measurements=(
            budget.LOST.measured(stat(0.2), place="before"),
            budget.LOST.measured(stat(0.7), place="after"),
        ),
    ),
    Outcome(
        test=contribution.TEST,
        holds=True,
        reason="",
        measurements=(contribution.USABLE.measured(stat(0.5), against="blank"),),
    ),
)


def test_each_indicator_is_the_measurement_that_its_criteria_name() -> None:
    read = Accuracies(chance=0.25, encoder=Stat(value=0.625, n=100))
    found = indicators(OUTCOMES, read)
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
    late = indicators(OUTCOMES, Accuracies(blank=blind)).stats["late"]
    assert late.value == pytest.approx(0.0)
    assert (late.low, late.high) == pytest.approx((-(0.005**0.5), 0.005**0.5))


N = 240


def with_states(*, seen: float, read: float, seed: int, control: bool = True) -> Evidence:
    """Return a model that always says A, and whose text tells something of the answer.

    The states of the last position are the direction of the right choice, `read` strong if it is
    told by the text, which the pass with a blank image has as well, and `seen` by the image, plus
    noise.
    """
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, 4, N)
    always = handmade.scored(np.tile([0.0, -1.0, -1.0, -1.0], (N, 1)), gold)
    axes = np.eye(12, dtype=np.float32)[:4][gold][:, None]

    def inside(strength: float) -> Internals:
        noise, image, text = rng.standard_normal((3, N, 9, 12)).astype(np.float32)
        return Internals(
            doc_ids=always.doc_ids, h_image=image, h_text=text,
            h_last=noise + np.float32(strength) * axes,
            mass=np.full((N, 8, 4), 0.25), tokens=np.full((N, 4), 4),
        )  # fmt: skip

    blank = Condition.parse("blank")
    internals = {Condition(): inside(seen + read)} | ({blank: inside(read)} if control else {})
    kinds = [("prompted", Condition()), ("prompted", blank)]
    kinds += [("internals", condition) for condition in internals]
    return Evidence(
        model="m", task="t", scores=dict.fromkeys(kinds, always), internals=internals, answers={}
    )


def judged(held: Evidence) -> tuple[Stat | None, str]:
    """Return `late`, and the verdict."""
    read = accuracies(held.get("prompted"), held.get("prompted", "blank"), None)
    found = indicators((consistency.TEST.run(held, 0),), read)
    return found.stats.get("late"), verdict(found, load_thresholds()).name


@pytest.mark.parametrize("seed", range(3))
def test_text_that_knows_the_answer_is_not_a_readout_bottleneck(seed: int) -> None:
    late, name = judged(with_states(seen=0.0, read=6.0, seed=seed))
    assert late is not None
    assert late.low < 0.05
    assert name != "readout bottleneck"


@pytest.mark.parametrize("seed", range(3))
def test_what_the_image_puts_into_late_layers_still_is(seed: int) -> None:
    late, name = judged(with_states(seen=6.0, read=0.0, seed=seed))
    assert late is not None
    assert late.low > 0.2
    assert name == "readout bottleneck"


def test_without_a_readout_of_a_blank_pass_late_is_not_measured() -> None:
    late, name = judged(with_states(seen=6.0, read=0.0, seed=0, control=False))
    assert late is None
    assert name != "readout bottleneck"


def scores(right: np.ndarray, scale: str = "logprob") -> ChoiceScores:
    n = len(right)
    values = np.zeros((n, 2))
    values[np.arange(n), np.where(right, 0, 1)] = 1.0
    return handmade.scored(values, [0] * n, scale=scale)


def test_accuracies_are_those_of_the_readings() -> None:
    own, blank = scores(np.arange(40) < 30), scores(np.arange(40) < 20)
    read = accuracies(own, blank, None)
    assert read.prompted is not None
    assert read.gain is not None
    assert (read.prompted.value, read.gain.value, read.chance) == (0.75, 0.25, 0.5)
    assert read.gain.low < 0.25 < read.gain.high
    assert read.encoder is None
    assert indicators((), read).stats.keys() == {"gain"}


def test_a_capped_blank_reading_is_compared_on_its_own_documents() -> None:
    own, blank = scores(np.arange(40) < 10), scores(np.arange(40) < 5).take(np.arange(10))
    gain = accuracies(own, blank, None).gain
    assert gain is not None
    assert (gain.value, gain.n) == (0.5, 10)


def test_what_failed_throughout_was_not_read() -> None:
    gone = scores(np.ones(5, bool))
    gone.failed[:] = True
    read = accuracies(scores(np.ones(5, bool)), gone, gone)
    assert read.blank is None
    assert read.gain is None
    assert read.encoder is None
