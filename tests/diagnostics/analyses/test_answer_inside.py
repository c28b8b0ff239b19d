"""Known, not said: a readout that finds what is there, and nothing where there is nothing."""

from __future__ import annotations

import handmade
import numpy as np

from vlmbench.diagnostics.analyses import answer_inside
from vlmbench.metrics import Clusters

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


def test_a_model_that_knows_and_does_not_say_is_found_and_one_that_says_is_not():
    gold = gold_of()
    layers = np.stack([states(0.0, gold), *(states(6.0, gold, k) for k in range(4))], axis=1)
    silent = handmade.scored(np.log(np.full((N, CHOICES), 1 / CHOICES)), gold)
    said = np.full((N, CHOICES), -9.0)
    said[np.arange(N), gold] = -0.1
    frank = handmade.scored(said, gold)
    for scores, knows in ((silent, True), (frank, False)):
        found = answer_inside.outcome(scores, layers.astype(np.float32), {}, seed=0)
        lead = found.find(answer_inside.LEAD, layer=3)
        assert (lead.low > 0) == knows
        assert ("knows more" in found.says) == (knows)
        shuffled = found.curve(answer_inside.SHUFFLED, "layer")
        assert all(stat.value < 0.4 for _, stat in shuffled)
        inside = dict(found.curve(answer_inside.INSIDE, "layer"))
        assert inside[0].value < 0.4
        assert inside[4].value > 0.95
