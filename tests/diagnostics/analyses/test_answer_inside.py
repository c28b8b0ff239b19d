"""Known, not said: a readout that finds what is there, and nothing where there is nothing."""

from __future__ import annotations

import handmade
import numpy as np
import pytest

from vlmbench.diagnostics import Evidence
from vlmbench.diagnostics.analyses import answer_inside
from vlmbench.metrics import Clusters
from vlmbench.spec import Condition
from vlmbench.types import ChoiceScores, Internals

N, WIDTH, CHOICES = 240, 12, 4


def states(strength: float, gold: np.ndarray, seed: int = 0) -> np.ndarray:
    """Noise, to which the direction of the right choice is added."""
    rng = np.random.default_rng(seed)
    directions = np.eye(WIDTH)[:CHOICES]
    return rng.normal(size=(N, WIDTH)) + strength * directions[gold]


def gold_of(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, CHOICES, N)


def test_what_is_there_is_read_and_what_is_not_is_chance():
    gold = gold_of()
    alone = Clusters.none(N)
    assert answer_inside.nested(states(8.0, gold), gold, alone, seed=0).mean() == 1.0
    assert abs(answer_inside.nested(states(0.0, gold), gold, alone, seed=0).mean() - 0.25) < 0.1


def test_documents_of_a_cluster_never_teach_each_other():
    """Copies of a document, with the same answer: only a fit that sees a copy could know it."""
    gold = np.repeat(gold_of(2)[: N // 4], 4)
    copies = np.repeat(np.random.default_rng(3).normal(size=(N // 4, 200)), 4, axis=0)
    apart = answer_inside.nested(copies, gold, Clusters.none(N), seed=0).mean()
    together = answer_inside.nested(copies, gold, Clusters.of(np.arange(N) // 4), seed=0).mean()
    assert apart > 0.9
    assert together < 0.45


def saying(choice: np.ndarray | int, gold: np.ndarray) -> ChoiceScores:
    """Scores of a model that says the choice (of each document, or always the same)."""
    said = np.full((N, CHOICES), -9.0)
    said[np.arange(N), choice] = -0.1
    return handmade.scored(said, gold)


def stacked(strength: float, gold: np.ndarray, seed: int) -> np.ndarray:
    """Embeddings that know nothing and four layers that know as much as `strength` says."""
    layers = [states(strength, gold, 10 * seed + k) for k in range(1, 5)]
    return np.stack([states(0.0, gold, 10 * seed), *layers], axis=1).astype(np.float32)


def test_a_model_that_knows_and_does_not_say_is_found_and_one_that_says_is_not():
    gold = gold_of()
    layers, blank = stacked(6.0, gold, 0), stacked(0.0, gold, 1)
    silent = handmade.scored(np.log(np.full((N, CHOICES), 1 / CHOICES)), gold)
    for scores, knows in ((silent, True), (saying(gold, gold), False)):
        found = answer_inside.outcome(scores, layers, {}, blank=blank, seed=0)
        lead = found.find(answer_inside.LEAD, layer=3)
        assert (lead.low > 0) == knows
        assert ("knows more" in found.says) == (knows)
        shuffled = found.curve(answer_inside.SHUFFLED, "layer")
        assert all(stat.value < 0.4 for _, stat in shuffled)
        inside = dict(found.curve(answer_inside.INSIDE, "layer"))
        assert inside[0].value < 0.4
        assert inside[4].value > 0.95


@pytest.mark.parametrize("seed", range(8))
def test_noise_does_not_know_more_than_an_unlucky_constant_answer(seed):
    """A is right on 60% and the model always says B: a readout of noise says A, and is better."""
    gold = np.random.default_rng(seed).choice(CHOICES, N, p=[0.6, 0.15, 0.15, 0.1])
    own, blank = (stacked(0.0, gold, 2 * seed + k) for k in range(2))
    for control in (None, blank):
        found = answer_inside.outcome(saying(1, gold), own, {}, blank=control, seed=0)
        inside = found.find(answer_inside.INSIDE, layer=3)
        assert inside.low > found.find(answer_inside.SAID).high
        assert found.find(answer_inside.LEAD, layer=3).low <= 0
        assert "is not clearly ahead of" in found.says


@pytest.mark.parametrize("seed", range(6))
def test_what_the_text_knows_is_not_known_of_the_image(seed):
    """A blind model, whose states show what the text says of gold, with an image and without."""
    gold = gold_of(seed)
    own, blank = (stacked(3.0, gold, 2 * seed + k) for k in range(2))
    scores = saying((gold + 1) % CHOICES, gold)
    controlled = answer_inside.outcome(scores, own, {}, blank=blank, seed=0)
    assert controlled.find(answer_inside.BLANK, layer=3).value > 0.7
    assert "is not clearly ahead of the same readout with a blank image" in controlled.says
    alone = answer_inside.outcome(scores, own, {}, seed=0)
    assert alone.find(answer_inside.LEAD, layer=3).low > 0
    assert "knows more" not in alone.says
    assert "the text alone may know that much" in alone.says


def test_the_control_of_a_run_is_its_pass_with_blank_images():
    """The blank cell holds the first 180 documents, and the readouts are of those."""
    gold = gold_of()
    scores, first = saying(0, gold), np.arange(180)

    def inside(h_last: np.ndarray) -> Internals:
        n = len(h_last)
        return Internals(
            doc_ids=scores.doc_ids[:n], h_image=h_last, h_text=h_last, h_last=h_last,
            mass=np.full((n, 4, 4), 0.25), tokens=np.full((n, 4), 4),
        )  # fmt: skip

    blank = Condition.parse("blank")
    held = Evidence(
        model="m", task="t", answers={},
        scores={("internals", Condition()): scores, ("internals", blank): scores.take(first)},
        internals={
            Condition(): inside(stacked(6.0, gold, 0)),
            blank: inside(stacked(0.0, gold, 1)[first]),
        },
    )  # fmt: skip
    found = answer_inside.ANALYSIS.run(held, 0)
    assert "knows more of the answer than is said" in found.says
    assert found.find(answer_inside.LEAD, layer=3).n == 180
