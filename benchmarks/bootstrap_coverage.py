"""How often the 95% intervals hold the truth, on readouts whose truth is known.

    python benchmarks/bootstrap_coverage.py [--trials 1000]

Prints a markdown table: for each number of documents, the share of trials in which the interval of
an accuracy (Wilson), a gap (paired percentile bootstrap) and a total variation distance (see
`vlmbench.metrics`) held the true value, and how often the interval of a distance that is truly 0
started above 0.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from vlmbench.metrics import accuracy, gap, tv_between
from vlmbench.types import ChoiceScores, Stat

CHOICES = 4
ENCODER, PROMPTED = 0.8, 0.4
SKEWED = np.array([0.55, 0.15, 0.15, 0.15])  # total variation of .3 from uniform


def voting(answer: NDArray[np.int64], gold: NDArray[np.int64]) -> ChoiceScores:
    """Return scores that put all weight on `answer`."""
    n = len(gold)
    scores = np.zeros((n, CHOICES))
    scores[np.arange(n), answer] = 1.0
    return ChoiceScores(
        doc_ids=tuple(map(str, range(n))),
        gold=gold,
        n_choices=np.full(n, CHOICES),
        scores=scores,
        scale="vote",
        abstained=np.zeros(n, bool),
        failed=np.zeros(n, bool),
    )


def holds(stat: Stat, truth: float) -> bool:
    """Return whether the interval holds `truth`."""
    return stat.low <= truth <= stat.high


def trial(n: int, seed: int) -> tuple[bool, bool, bool, bool]:
    """Return whether the three intervals held the truth, and whether noise passed for distance."""
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, CHOICES, n)
    wrong = (gold + 1) % CHOICES
    # Half of the documents are easy for both readouts, which makes the two correlated.
    easy = rng.random(n) < 0.5
    encoder = voting(np.where(easy | (rng.random(n) < 0.6), gold, wrong), gold)
    prompted = voting(np.where(easy & (rng.random(n) < 0.8), gold, wrong), gold)
    flat = [voting(rng.integers(0, CHOICES, n), gold) for _ in range(2)]
    skewed = voting(rng.choice(CHOICES, n, p=SKEWED), gold)
    return (
        holds(accuracy(encoder), ENCODER),
        holds(gap(encoder, prompted, seed=seed), ENCODER - PROMPTED),
        holds(tv_between(flat[0], skewed, seed=seed), 0.3),
        tv_between(flat[0], flat[1], seed=seed).low > 0,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    trials = parser.parse_args().trials
    lines = []
    for n in (20, 50, 100, 300, 1000):
        shares = np.mean([trial(n, seed) for seed in range(trials)], axis=0)
        lines.append([n, *(f"{share:.3f}" for share in shares)])
    head = ["n", "accuracy", "gap", "distance .3", "distance 0 taken for more"]
    print(tabulate(lines, head, tablefmt="pipe", disable_numparse=True))


if __name__ == "__main__":
    main()
