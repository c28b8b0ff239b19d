"""What cuts and patches do to answers, on closed-form models of which it is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vlmbench.diagnostics import Evidence, Finding
from vlmbench.diagnostics.analyses import analyse
from vlmbench.diagnostics.analyses.interventions import (
    ACCURACY,
    ALIKE,
    BEYOND,
    FLIPPED,
    GOLD,
    KNOCKOUT,
    PATCHING,
    TARGET,
)
from vlmbench.metrics import credit
from vlmbench.spec import Condition
from vlmbench.types import ChoiceScores


def found(
    cells: dict[str, ChoiceScores], targets: dict[str, np.ndarray] | None = None
) -> dict[str, Finding]:
    """Return the findings on prompted cells by label; targets are unknown where none are given."""
    scores = {("prompted", Condition.parse(label)): held for label, held in cells.items()}
    known = {
        (readout, condition): (targets or {}).get(condition.label, np.full(len(held), -1))
        for (readout, condition), held in scores.items()
    }
    evidence = Evidence(model="m", task="t", scores=scores, image_targets=known)
    return {finding.analysis.name: finding for finding in analyse(evidence)}


def test_a_run_without_interventions_says_nothing(fake):
    assert found({"own": fake().read(), "blank": fake().read("blank")}) == {}


def test_a_cut_that_takes_the_image_away_leaves_what_a_blind_model_answers(fake):
    """A model of sight 1 that loses the image: p(gold) falls to 1/4 and accuracy to chance."""
    model = fake(n=400)
    own, blind = model.read(), model.read("blank")
    cut = found({"own": own, "own+knockout-all-1-1": blind, "own+knockout-last-2-4": own})
    finding = cut[KNOCKOUT.name]
    at = {"to": "all", "window": 1, "of": 1}
    p_gold = np.where(model.symbol == model.gold, 0.7, 0.1)
    assert finding.find(GOLD, **at).value == pytest.approx(float((0.25 - p_gold).mean()))
    assert finding.find(GOLD, **at).high < -0.2
    assert finding.find(ACCURACY, **at).value == pytest.approx(0.25 - credit(own).mean())
    assert finding.find(FLIPPED, **at).value == pytest.approx(0.75)  # a tie of four
    idle = {"to": "last", "window": 2, "of": 4}
    for quantity in (GOLD, ACCURACY, FLIPPED):
        assert finding.find(quantity, **idle).value == 0
    assert "all text" in finding.says
    assert PATCHING.name not in cut


def other_image(model) -> tuple[ChoiceScores, np.ndarray]:
    """Return what the model answers to the next document's image, and that one's gold."""
    return model.read("swapped"), np.roll(model.gold, 1)


def test_answers_that_follow_the_other_image_are_counted_and_random_ones_are_not(fake):
    model = fake(n=400, clear=1 - 1e-6)
    own, (other, target) = model.read(), other_image(model)
    differs = target != model.gold
    half = replace(own, scores=np.where((np.arange(400) < 300)[:, None], other.scores, own.scores))
    cells = {
        "own": own, "own+patch-other-0": other, "own+patch-other-0.5": half,
        "own+patch-other-1": own, "own+patch-random-0.5": own, "own+patch-self-0.5": own,
        "own+patchlast-other-1": other,
    }  # fmt: skip
    known = np.where(differs, target, -1)
    finding = found(cells, dict.fromkeys(cells, known))[PATCHING.name]

    def at(depth: float, source: str = "other", position: str = "image") -> dict[str, object]:
        return {"position": position, "source": source, "depth": depth}

    assert finding.find(TARGET, **at(0.0)).value == 1
    assert finding.find(TARGET, **at(0.0)).n == differs.sum()
    assert finding.find(TARGET, **at(1.0)).value == 0
    expected = differs[:300].sum() / differs.sum()
    assert finding.find(TARGET, **at(0.5)).value == pytest.approx(expected)
    assert finding.find(ALIKE, **at(0.5)).value == pytest.approx(expected)
    assert finding.find(ALIKE, **at(0.0)).value == 1
    assert finding.find(ALIKE, **at(1.0)).value == 0
    assert finding.find(ALIKE, **at(1.0, position="last")).value == 1
    moved = finding.find(FLIPPED, **at(0.5)).value
    assert moved == pytest.approx(differs[:300].sum() / 400)
    beyond = finding.find(BEYOND, **at(0.5))
    assert beyond.value == pytest.approx(moved)
    assert beyond.low > 0
    assert finding.find(FLIPPED, **at(0.5, "self")).value == 0
    assert finding.find(TARGET, **at(0.5, "random")) is None
    assert "from depth 1 on, fewer than half" in finding.says


def test_a_change_no_larger_than_random_directions_make_is_not_beyond_them(fake, noisy):
    model = fake(n=300, sight=0.0)
    own = noisy(model.read(), 1.0, seed=1)
    cells = {
        "own": own, "own+patch-other-0": noisy(own, 1.0, seed=2),
        "own+patch-random-0": noisy(own, 1.0, seed=3),
    }  # fmt: skip
    beyond = found(cells)[PATCHING.name].find(BEYOND, position="image", source="other", depth=0.0)
    assert beyond.low < 0 < beyond.high


def test_targets_that_are_not_known_are_no_answers(fake):
    model = fake()
    cells = {"own": model.read(), "own+patch-other-0": model.read("swapped")}
    finding = found(cells)[PATCHING.name]
    assert not finding.every(TARGET)
    assert finding.every(ALIKE)


def test_cells_of_the_first_documents_and_failed_ones_are_paired(fake, without):
    model = fake(n=60)
    cells = {
        "own": model.read(), "own+knockout-all-1-1": without(model.read("blank", first=40), 3),
    }  # fmt: skip
    stat = found(cells)[KNOCKOUT.name].find(GOLD, to="all", window=1, of=1)
    assert (stat.n, stat.coverage) == (39, pytest.approx(39 / 40))


def test_generated_answers_have_no_probability(fake):
    model = fake()
    votes = replace(model.read(), scale="vote", scores=np.exp(model.read().scores))
    finding = found({"own": votes, "own+knockout-all-1-1": votes})[KNOCKOUT.name]
    assert "Could not be made" in finding.says
