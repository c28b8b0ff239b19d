"""Training a part, and a prefix: gains worked out by hand, and what is said of their order."""

from __future__ import annotations

import handmade
import numpy as np
import pytest

from vlmbench.diagnostics import Evidence, analyse
from vlmbench.diagnostics.analyses import prefix, tuning
from vlmbench.spec import Condition
from vlmbench.types import ChoiceScores, ComparisonError

N = 200


def cell(right: int, *, start: int = 0, n: int = N) -> ChoiceScores:
    """Scores that answer `right` documents in a row as they should; A and B are right in turn."""
    gold = np.arange(n) % 2
    hit = np.zeros(n, bool)
    hit[np.arange(start, start + right) % n] = True
    scores = np.where(np.eye(2, dtype=bool)[np.where(hit, gold, 1 - gold)], -0.1, -2.0)
    return handmade.scored(scores, gold)


def arms(tower: int, projector: int, language: int) -> dict[str, dict[int, ChoiceScores]]:
    counts = {"tower": tower, "projector": projector, "language": language}
    return {part: {0: cell(k), 1: cell(k + 10), 2: cell(k - 10)} for part, k in counts.items()}


def found(base: int, tower: int, projector: int, language: int) -> tuning.Finding:
    levels = {"encoder": cell(180), "blank": cell(100)}
    return tuning.outcome(cell(base), arms(tower, projector, language), levels, seed=0)


def test_accuracies_gains_and_spreads_are_those_worked_out_by_hand():
    finding = found(100, 110, 104, 160)
    value = lambda quantity, **at: finding.find(quantity, **at).value
    assert value(tuning.ACCURACY, arm="untrained") == 0.5
    assert value(tuning.ACCURACY, arm="language") == pytest.approx(0.8)
    assert value(tuning.ACCURACY, arm="language", seed=1) == pytest.approx(0.85)
    assert value(tuning.SPREAD, arm="language") == pytest.approx(0.05)
    assert finding.find(tuning.SPREAD, arm="untrained") is None
    assert value(tuning.ACCURACY, arm="encoder") == 0.9
    assert value(tuning.ACCURACY, arm="chance") == 0.5
    assert value(tuning.GAIN, arm="tower") == pytest.approx(0.05)
    assert value(tuning.GAIN, arm="language") == pytest.approx(0.3)
    assert value(tuning.LEAD, over="projector") == pytest.approx(0.28)
    gain = finding.find(tuning.GAIN, arm="language")
    assert 0.2 < gain.low < 0.3 < gain.high < 0.4
    assert gain.n == N


def test_the_papers_order_is_said_where_it_is_there():
    assert "The language model gains most, as in the paper." in found(100, 110, 104, 160).says


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ((100, 160, 104, 110), "The language model gains less than the vision tower."),
        ((100, 160, 150, 110), "less than the vision tower and the projector."),
        ((100, 120, 119, 121), "gains most, as in the paper, cannot be told."),
        ((100, 100, 100, 100), "gains most, as in the paper, cannot be told."),
        ((160, 100, 110, 160), "gains most, as in the paper, cannot be told."),
        ((180, 60, 70, 150), "gains most, as in the paper, cannot be told."),
    ],
)
def test_and_is_not_where_it_is_not(counts, says):
    """In the last two the language model leads only because the other parts lose."""
    finding = found(*counts)
    assert says in finding.says
    assert "for one seed" not in finding.says


@pytest.mark.parametrize(
    ("language", "says"),
    [
        (160, "The language model gains most, as in the paper, for one seed."),
        (110, "gains most, as in the paper, cannot be told, for one seed."),
        (40, "gains less than the vision tower and the projector, for one seed."),
    ],
)
def test_a_part_with_a_single_seed_is_told_with_the_claim(language, says):
    three = arms(110, 104, 0)
    single = {**three, "language": {0: cell(language)}}
    assert says in tuning.outcome(cell(100), single, {}, seed=0).says


def test_distance_from_the_truth_falls_as_answers_become_right():
    """The untrained model answers A to all; the trained one is right on all."""
    gold = np.arange(N) % 2
    always = handmade.scored(np.tile([0.0, -3.0], (N, 1)), gold)
    finding = tuning.outcome(always, {"language": {0: cell(N)}}, {}, seed=0)
    assert finding.find(tuning.DISTANCE, arm="untrained").value == 0.5
    assert finding.find(tuning.DISTANCE, arm="language").value == 0.0


def test_gains_are_paired_so_that_luck_with_documents_cancels():
    """As many right before and after, on the same documents and on others."""
    same = tuning.outcome(cell(100), {"tower": {0: cell(100)}}, {}, seed=0)
    other = tuning.outcome(cell(100), {"tower": {0: cell(100, start=100)}}, {}, seed=0)
    narrow, wide = (f.find(tuning.GAIN, arm="tower") for f in (same, other))
    assert narrow.value == wide.value == 0
    assert narrow.high - narrow.low < 0.05
    assert wide.high - wide.low > 0.2


def test_a_failed_document_is_left_out_everywhere():
    failed = np.zeros(N, bool)
    failed[:10] = True
    broken = handmade.scored(cell(100).scores, cell(100).gold, failed=failed)
    finding = tuning.outcome(cell(100), {"tower": {0: broken}}, {}, seed=0)
    assert finding.find(tuning.ACCURACY, arm="untrained").value == pytest.approx(90 / 190)
    assert finding.find(tuning.GAIN, arm="tower").n == 190


def test_cells_of_other_documents_are_refused():
    stranger = handmade.scored(cell(100).scores, cell(100).gold, ids="other-{}")
    with pytest.raises(ComparisonError, match="are not in a cell"):
        tuning.outcome(cell(100), {"tower": {0: stranger}}, {}, seed=0)


def test_a_prefix_curve_starts_at_the_untouched_model():
    prefixes = {10: {0: cell(130), 1: cell(110)}, 1: {0: cell(110)}, 5: {0: cell(121)}}
    finding = prefix.outcome(cell(100), prefixes, cell(180), seed=0)
    points = finding.curve(prefix.ACCURACY, "tokens")
    assert [(x, round(stat.value, 3)) for x, stat in points] == [
        (0, 0.5), (1, 0.55), (5, 0.605), (10, 0.6),
    ]  # fmt: skip
    assert finding.find(prefix.GAIN, tokens=10).value == pytest.approx(0.1)
    assert finding.find(prefix.SPREAD, tokens=10).value == pytest.approx(0.1 / 2**0.5)
    assert finding.find(prefix.LEVEL, of="encoder").value == 0.9
    assert (
        "Accuracy is .500; learned embeddings before the prompt change it by 0.05 [" in finding.says
    )


def evidence(**cells: ChoiceScores) -> Evidence:
    keyed = {("prompted", Condition.parse(label)): scores for label, scores in cells.items()}
    return Evidence(model="m", task="t", scores=keyed)


def test_an_analysis_is_made_of_the_cells_that_change_nothing_but_the_weights():
    held = evidence(**{
        "own": cell(100), "own+lora-language": cell(150), "own+lora-language-1": cell(140),
        "blank+lora-language": cell(100), "swapped+lora-tower": cell(0), "own+prefix-5": cell(120),
    })  # fmt: skip
    prefixed, tuned = analyse(held)
    assert tuned.analysis.name == "tuning"
    assert tuned.find(tuning.ACCURACY, arm="language").value == pytest.approx(0.725)
    assert tuned.find(tuning.ACCURACY, arm="blank, language").value == 0.5
    assert tuned.find(tuning.ACCURACY, arm="tower") is None
    assert prefixed.find(prefix.GAIN, tokens=5).value == pytest.approx(0.1)
    assert analyse(evidence(own=cell(100))) == ()


def test_without_the_untrained_model_it_is_said_what_is_missing():
    (finding,) = analyse(evidence(**{"own+lora-tower": cell(100)}))
    assert finding.says == (
        "Could not be made: the run has no prompted scores under the condition own."
    )
