"""Who follows an image that is drawn with another answer."""

from __future__ import annotations

from dataclasses import replace

import handmade
import numpy as np
import pytest

from vlmbench.diagnostics import Evidence
from vlmbench.diagnostics.analyses import analyse
from vlmbench.diagnostics.analyses.counterfactual import BOTH, FOLLOWS, LEAD, SAME
from vlmbench.spec import Condition
from vlmbench.types import ChoiceScores

N = 200
OWN, CHANGED = Condition(), Condition.parse("counterfactual")
GOLD = np.arange(N) % 2
RNG = np.random.default_rng(0)


def says(choices: np.ndarray, scale: str = "logprob") -> ChoiceScores:
    """Return scores of a reader who gives these answers."""
    return handmade.scored(np.eye(2)[choices] - 2, GOLD, scale=scale)


def finding(own: ChoiceScores, changed: ChoiceScores, encoder=None, targets=1 - GOLD):
    cells = {("prompted", OWN): own, ("prompted", CHANGED): changed}
    if encoder is not None:
        cells |= {("encoder", OWN): encoder[0], ("encoder", CHANGED): encoder[1]}
    known = {key: targets[: len(held)] for key, held in cells.items() if key[1] == CHANGED}
    evidence = Evidence(model="m", task="t", scores=cells, image_targets=known)
    found = [one for one in analyse(evidence) if one.analysis.name == "counterfactual"]
    return found[0]


def test_a_reader_of_the_image_is_right_with_both():
    found = finding(says(GOLD), says(1 - GOLD))
    assert found.find(BOTH, readout="prompted").value == 1
    assert found.find(SAME, readout="prompted").value == 0
    assert found.find(FOLLOWS, readout="prompted").value == 1


@pytest.mark.parametrize("letter", [0, 1])
def test_a_reader_of_the_text_is_right_with_neither_however_often_with_either(letter):
    always = np.full(N, letter)
    found = finding(says(always), says(always))
    assert found.find(BOTH, readout="prompted").value == 0
    assert found.find(SAME, readout="prompted").value == 1
    follows = found.find(FOLLOWS, readout="prompted")
    assert (follows.value, follows.n, follows.coverage) == (0, N // 2, 0.5)


def test_a_guess_is_right_with_both_on_a_quarter_and_a_tie_exactly():
    tie = handmade.scored(np.zeros((N, 2)), GOLD)
    assert finding(tie, tie).find(BOTH, readout="prompted").value == pytest.approx(0.25)
    drawn = finding(says(RNG.integers(0, 2, N)), says(RNG.integers(0, 2, N)))
    stat = drawn.find(BOTH, readout="prompted")
    assert stat.low < 0.25 < stat.high


def test_the_encoder_leads_where_it_follows_and_the_model_does_not():
    encoder = (says(GOLD, "similarity"), says(1 - GOLD, "similarity"))
    blind = np.zeros(N, dtype=int)
    ahead = finding(says(blind), says(blind), encoder)
    assert ahead.find(LEAD).value == 1
    even = finding(says(GOLD), says(1 - GOLD), encoder)
    assert even.find(LEAD).value == 0
    assert "the encoder" in ahead.says


def test_documents_without_a_counterfactual_and_failed_ones_are_left_out(without):
    some = says(1 - GOLD).take(np.arange(0, N, 2))
    targets = (1 - GOLD)[::2]
    cells = {("prompted", OWN): says(GOLD), ("prompted", CHANGED): without(some, 0)}
    evidence = Evidence(
        model="m", task="t", scores=cells, image_targets={("prompted", CHANGED): targets}
    )
    (found,) = [one for one in analyse(evidence) if one.analysis.name == "counterfactual"]
    stat = found.find(BOTH, readout="prompted")
    assert (stat.value, stat.n, stat.coverage) == (1, N // 2 - 1, pytest.approx(0.99))


def test_unknown_targets_and_another_gold_are_refused():
    own, changed = says(GOLD), says(1 - GOLD)
    assert "not known" in finding(own, changed, targets=np.full(N, -1)).says
    assert "no pair" in finding(own, replace(changed, gold=1 - GOLD)).says
