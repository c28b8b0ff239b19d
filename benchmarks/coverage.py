"""How often the 95% intervals hold the truth, and the tests fire, where the truth is known.

    python benchmarks/coverage.py [--trials 500] [--quick]

Prints markdown tables for every interval on a leaderboard and for those of model cards that stand
for a mean: with independent documents and with documents in clusters (beta-binomial, so that an
intra-class correlation of .6 is one), near chance and near the ceiling. `--quick` takes a tenth of
the trials. Corrected accuracies and gaps, and abstention, have the intervals of accuracies and
gaps on another scale, and are not repeated.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from vlmbench.metrics import (
    Clusters,
    accuracy,
    bounded_stat,
    difference_stat,
    expected_calibration_error,
    flip_p,
    gap,
    mcnemar,
    mean_stat,
    smallest_gap,
    tv_between,
    tv_to_truth,
)
from vlmbench.types import ChoiceScores, Scale, Stat

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
CHOICES = 4
DRAWS = 400
SIZES = (30, 100, 300)
DISCORDANT = 0.4
MOCHI = (228, 122, 122, 119, 117, 117, 115, 111, 109, 101, 90, 76, 74, 63, 54, 53, 50, 48, 48, 38,
         35, 35, 35, 35, 24)  # fmt: skip
"""Trials of each of MOCHI's 25 conditions."""


@dataclass(frozen=True, slots=True)
class Design:
    """Clusters of documents.

    Attributes:
        name: Of the design.
        sizes: Documents of each cluster.
    """

    name: str
    sizes: tuple[int, ...]

    @property
    def index(self) -> NDArray[np.int64]:
        """The cluster of each document."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    @property
    def firsts(self) -> NDArray[np.int64]:
        """The first document of each document's cluster."""
        return (np.cumsum(self.sizes) - self.sizes)[self.index]

    def right(self, rate: float, alike: float, rng: np.random.Generator) -> Bools:
        """Return which documents are answered right, at an intra-class correlation of `alike`."""
        rates = np.full(len(self.sizes), rate)
        if alike:
            a = (1 - alike) / alike
            rates = rng.beta(rate * a, (1 - rate) * a, len(self.sizes))
        drawn: Bools = rng.random(sum(self.sizes)) < rates[self.index]
        return drawn


DESIGNS = (
    Design("100 of 3", (3,) * 100),
    Design("50 of 6", (6,) * 50),
    Design("18 of 17", (17,) * 18),
    Design("10 of 30", (30,) * 10),
    Design("5 of 6", (6,) * 5),
    Design("MOCHI's 25 / 5", tuple(size // 5 for size in MOCHI)),
)


def scored(values: Floats, gold: NDArray[np.int64], scale: Scale) -> ChoiceScores:
    """Return scores of documents that share nothing."""
    n = len(gold)
    return ChoiceScores(
        doc_ids=tuple(map(str, range(n))),
        gold=gold,
        n_choices=np.full(n, values.shape[1]),
        scores=values,
        scale=scale,
        abstained=np.zeros(n, bool),
        failed=np.zeros(n, bool),
    )


def voting(answer: NDArray[np.int64], gold: NDArray[np.int64]) -> ChoiceScores:
    """Return scores that put all weight on `answer`."""
    return scored(np.eye(CHOICES)[answer], gold, "vote")


def answering(right: Bools) -> ChoiceScores:
    """Return scores of which these documents are right."""
    gold = np.zeros(len(right), np.int64)
    return voting(np.where(right, gold, 1), gold)


def holds(stat: Stat, truth: float) -> bool:
    """Return whether the interval holds `truth`."""
    return stat.low - 1e-9 <= truth <= stat.high + 1e-9


def shares(trials: int, trial: Callable[[np.random.Generator, int], Sequence[float]]) -> list[str]:
    """Return the mean of each of a trial's numbers."""
    found = [trial(np.random.default_rng(seed), seed) for seed in range(trials)]
    return [f"{share:.3f}" for share in np.mean(found, axis=0)]


def show(title: str, head: Sequence[str], lines: Sequence[Sequence[object]]) -> None:
    """Print a table."""
    print(f"**{title}**\n")
    print(tabulate(lines, head, tablefmt="pipe", disable_numparse=True), end="\n\n", flush=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two readouts of the same documents.

    Attributes:
        one: Accuracy of the first, where it has no tie.
        other: Accuracy of the second.
        common: Share of documents that are as hard for both.
        tied: Share of documents on which the first shares its credit.
        ties: Among how many choices.
    """

    one: float
    other: float
    common: float = 0.0
    tied: float = 0.0
    ties: int = 2

    @property
    def gap(self) -> float:
        """The true gap."""
        return self.tied / self.ties + (1 - self.tied) * self.one - self.other

    def differences(self, n: int, rng: np.random.Generator) -> Floats:
        """Return the difference of credit on each of n documents."""
        first, second = rng.random((2, n))
        second = np.where(rng.random(n) < self.common, first, second)
        credit = np.where(rng.random(n) < self.tied, 1 / self.ties, first < self.one)
        return credit - (second < self.other)


PAIRS = {
    "as hard as can be": Pair(one=0.5, other=0.5),
    ".8 and .5, half in common": Pair(one=0.8, other=0.5, common=0.5),
    ".95 and .9, most in common": Pair(one=0.95, other=0.9, common=0.8),
    ".99 and .97": Pair(one=0.99, other=0.97),
    ".995 and .995": Pair(one=0.995, other=0.995),
    ".98 and .5": Pair(one=0.98, other=0.5),
    "a quarter shared throughout": Pair(one=0.0, other=0.25, tied=1.0, ties=4),
    ".9 and .9, half shared": Pair(one=0.9, other=0.9, tied=0.5),
    ".99 and .97, a tenth shared": Pair(one=0.99, other=0.97, tied=0.1),
}


def of_gap(pair: Pair, n: int, rng: np.random.Generator, seed: int) -> Sequence[float]:
    """Return whether the percentile interval and Tango's hold a gap, and how wide they are."""
    differences = pair.differences(n, rng)
    old = mean_stat(differences, seed=seed, draws=DRAWS)
    new = difference_stat(differences, Clusters.none(n), coverage=1.0)
    return holds(old, pair.gap), old.high == old.low, holds(new, pair.gap), new.high - new.low


def gaps(trials: int) -> None:
    """Gaps of whole credits and of shared ones: Tango's interval beside the percentile one."""
    lines = [
        [n, name, *shares(trials, partial(of_gap, pair, n))]
        for n, (name, pair) in product(SIZES, PAIRS.items())
    ]
    head = ["n", "accuracies", "percentile", "of no width", "Tango", "its width"]
    show("Gaps: share of intervals that hold the truth", head, lines)


def of_cluster(
    design: Design, alike: float, rate: float, rng: np.random.Generator, seed: int
) -> Sequence[float]:
    """Return what holds and fires for two readouts of equal accuracy."""
    one, other = (answering(design.right(rate, alike, rng)) for _ in range(2))
    told = [replace(cell, clusters=design.firsts) for cell in (one, other)]
    letters = []
    for _ in range(2):  # letters that documents of a cluster share, as often as they are alike
        lead = rng.integers(0, CHOICES, len(design.sizes))[design.index]
        own = rng.integers(0, CHOICES, len(lead))
        answer = np.where(rng.random(len(lead)) < alike**0.5, lead, own)
        letters.append(voting(answer, one.gold))
    far = [replace(cell, clusters=design.firsts) for cell in letters]
    return (
        holds(accuracy(one), rate),
        holds(accuracy(told[0]), rate),
        holds(gap(one, other), 0.0),
        holds(gap(*told), 0.0),
        mcnemar(one, other).p < 0.05,
        flip_p(*told, seed=seed) < 0.05,
        tv_between(*letters, seed=seed, draws=DRAWS).low > 0,
        tv_between(*far, seed=seed, draws=DRAWS).low > 0,
    )


def clustered(trials: int) -> None:
    """Accuracy, gap, tests and distances of documents in clusters, told of them and not."""
    lines = [
        [design.name, alike, rate, *shares(trials, partial(of_cluster, design, alike, rate))]
        for design, alike, rate in product(DESIGNS, (0.0, 0.3, 0.6), (0.5, 0.9))
    ]
    head = ["clusters", "alike", "accuracy", "accuracy, not told", "told", "gap, not told", "told",
            "McNemar p < .05", "flipped signs", "distance 0 taken for more, not told",
            "told"]  # fmt: skip
    show("Clusters: intervals that hold, tests that fire, not told of them and told", head, lines)


Bulk = tuple[float, float, float]
BULKS: tuple[Bulk, ...] = (
    (0.01, 0.5, 0.5), (0.01, 0.3, 0.2), (0.01, 0.05, 0.01), (0.05, 0.5, 0.5), (0.0, 0.02, 0.3),
)  # fmt: skip


def bits_of(bulk: Bulk, n: int, rng: np.random.Generator) -> Floats:
    """Return n documents' bits: a rare share at -20, the others normal."""
    rare, mean, spread = bulk
    return np.where(rng.random(n) < rare, -20.0, rng.normal(mean, spread, n))


def of_bits(
    bulk: Bulk, n: int, raw: float, capped: float, rng: np.random.Generator, seed: int
) -> Sequence[float]:
    """Return whether intervals hold the mean of all bits and of capped ones."""
    values = bits_of(bulk, n, rng)
    held = np.clip(values, -2, 2)
    stat = bounded_stat(held, 2.0, Clusters.none(n), coverage=1.0)
    return (
        holds(mean_stat(values, seed=seed, draws=DRAWS), raw),
        holds(mean_stat(held, seed=seed, draws=DRAWS), capped),
        holds(stat, capped),
        stat.high - stat.low,
    )


def information(trials: int) -> None:
    """Usable information with rare documents at -20 bits."""
    lines = []
    for n, bulk in product(SIZES, BULKS):
        known = bits_of(bulk, 2_000_000, np.random.default_rng(0))
        trial = partial(of_bits, bulk, n, known.mean(), np.clip(known, -2, 2).mean())
        what = f"{bulk[0]:.0%} at -20, others N({bulk[1]}, {bulk[2]})"
        lines.append([n, what, *shares(trials, trial)])
    head = ["n", "bits", "uncapped, bootstrap", "capped, bootstrap", "capped, as printed", "width"]
    show("Usable information of four choices, capped at 2 bits", head, lines)


def of_distance(n: int, rng: np.random.Generator, seed: int) -> Sequence[float]:
    """Return whether equal readings are told apart, and whether true distances are held."""
    gold = rng.permutation(np.arange(n) % CHOICES)
    even = [voting(rng.integers(0, CHOICES, n), gold) for _ in range(2)]
    far, near = (
        voting(rng.choice(CHOICES, n, p=[0.25 + more, *[0.25 - more / 3] * 3]), gold)
        for more in (0.3, 0.1)
    )
    known = np.abs(np.bincount(gold, minlength=CHOICES) / n - [0.35, *[0.65 / 3] * 3]).sum() / 2
    truth = tv_to_truth(near, seed=seed, draws=DRAWS)
    return (
        tv_between(*even, seed=seed, draws=DRAWS).low > 0,
        holds(tv_between(even[0], far, seed=seed, draws=DRAWS), 0.3),
        tv_to_truth(even[1], seed=seed, draws=DRAWS).low > 0,
        holds(truth, float(known)),
        truth.low > 0,
    )


def distances(trials: int) -> None:
    """Total variation: two readings that are equal or .3 apart, and answers beside a fixed gold."""
    lines = [[n, *shares(trials, partial(of_distance, n))] for n in SIZES]
    head = ["n", "0 taken for more", ".3 held", "to truth: 0 taken for more", ".1 held", ".1 found"]
    show("Total variation distances", head, lines)


def of_calibration(
    shape: tuple[float, float], over: float, n: int, rng: np.random.Generator, seed: int
) -> Sequence[float]:
    """Return whether the error lies above 0 and is held; too sure by `over`, it is that."""
    sure = 0.5 + 0.5 * rng.beta(*shape, n)
    right = rng.random(n) < sure - over
    values = np.stack([sure, 1 - sure], axis=1)
    scores = scored(values, np.where(right, 0, 1), "probability")
    stat = expected_calibration_error(scores, seed=seed, draws=DRAWS)
    return stat.low > 0, holds(stat, over), stat.value


def calibration(trials: int) -> None:
    """Expected calibration error of calibrated and of overconfident models."""
    lines = [
        [n, f".5 + .5 Beta{shape}", over, *shares(trials, partial(of_calibration, shape, over, n))]
        for n, shape, over in product(SIZES, ((2, 2), (8, 1), (0.5, 0.5)), (0.0, 0.1))
    ]
    head = ["n", "confidence", "true error", "interval above 0", "error held", "mean estimate"]
    show("Expected calibration error", head, lines)


KINDS: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "Beta(2, 2)": lambda rng, n: rng.beta(2, 2, n),
    "Beta(.3, 3)": lambda rng, n: rng.beta(0.3, 3, n),
    "10% Beta(5, 1), else 0": lambda rng, n: rng.beta(5, 1, n) * (rng.random(n) < 0.1),
    "2% at 1, else .01": lambda rng, n: np.where(rng.random(n) < 0.02, 1.0, 0.01),
}


def of_mean(
    kind: str, truth: float, n: int, rng: np.random.Generator, seed: int
) -> Sequence[float]:
    """Return whether the bootstrap interval holds a mean."""
    return (holds(mean_stat(KINDS[kind](rng, n), seed=seed, draws=DRAWS), truth),)


def means(trials: int) -> None:
    """Plain means of cards: how far the distribution of each document moves, between 0 and 1."""
    truths = {
        kind: float(draw(np.random.default_rng(0), 10**6).mean()) for kind, draw in KINDS.items()
    }
    lines = [
        [n, kind, *shares(trials, partial(of_mean, kind, truth, n))]
        for n, (kind, truth) in product(SIZES, truths.items())
    ]
    show("Means of one number per document, by bootstrap", ["n", "numbers", "held"], lines)


def of_accuracy(n: int, rng: np.random.Generator, _: int) -> Sequence[float]:
    """Return whether accuracies and a mean of six are held, and the smallest gap is found."""
    rates = (0.25, 0.4, 0.5, 0.6, 0.8, 0.95)
    stats = [accuracy(answering(rng.random(n) < rate)) for rate in rates]
    half = np.sqrt(np.sum([((stat.high - stat.low) / 2) ** 2 for stat in stats])) / len(stats)
    middle = float(np.mean([stat.value for stat in stats]))
    ranked = Stat(value=middle, low=middle - half, high=middle + half, n=n)
    cut = (DISCORDANT + smallest_gap(n, DISCORDANT)) / 2
    place = rng.random(n)
    found = mcnemar(answering(place < cut), answering((place >= cut) & (place < DISCORDANT)))
    return (
        holds(stats[2], 0.5),
        holds(stats[5], 0.95),
        holds(ranked, float(np.mean(rates))),
        found.p < 0.05,
    )


def accuracies(trials: int) -> None:
    """Wilson's interval, the mean over six tasks by which models are ranked, and power."""
    lines = [
        [n, *shares(trials, partial(of_accuracy, n)), f"{smallest_gap(n, DISCORDANT):.3f}"]
        for n in SIZES
    ]
    head = ["n", "accuracy .5", "accuracy .95", "mean of six tasks", "gap found", "that gap"]
    show("Accuracies, ranks, and the smallest gap, to be found in .8 of runs", head, lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    trials = arguments.trials // 10 if arguments.quick else arguments.trials
    for part in (accuracies, gaps, clustered, information, distances, calibration, means):
        part(trials)


if __name__ == "__main__":
    main()
