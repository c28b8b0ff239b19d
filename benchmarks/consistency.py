"""How well the consistency test reads information that is known.

    python benchmarks/consistency.py [--trials 100] [--nulls 500]

Prints two markdown tables. The first: bias, spread and coverage of the estimate of I(a; b | y) on
Gaussian states whose conditional mutual information follows from their covariance, at several
numbers of documents and of classes of y. The second: how often states that share nothing are
taken to share something at p < .01, on one layer and over all layers of a model.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from vlmbench.diagnostics import Shuffles, conditional_information, consistency
from vlmbench.metrics import Clusters

SIGNAL, WIDTH, NOISE = 4, 48, 0.05
PERMUTATIONS = 200
LAYERS = 4


@dataclass(frozen=True, slots=True)
class Channel:
    """Two states that are linear in correlated latents, plus noise of their own.

    Attributes:
        out: (2, SIGNAL, WIDTH) float64, how each side shows its latents.
        correlation: Correlation of each pair of latents.
    """

    out: NDArray[np.float64]
    correlation: float

    @property
    def bits(self) -> float:
        """I(a; b) in bits, from the log-determinants of the exact covariance."""
        latent = np.eye(SIGNAL)
        parts = [[latent, self.correlation * latent], [self.correlation * latent, latent]]
        joint = np.block(
            [[self.out[i].T @ parts[i][j] @ self.out[j] for j in range(2)] for i in range(2)]
        ) + NOISE**2 * np.eye(2 * WIDTH)
        sides = [np.linalg.slogdet(joint[s, s])[1] for s in (np.s_[:WIDTH], np.s_[WIDTH:])]
        return float((sum(sides) - np.linalg.slogdet(joint)[1]) / 2 / np.log(2))

    def draw(
        self, y: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return both states of each document; class means differ, which must not count."""
        n = len(y)
        first = rng.standard_normal((n, SIGNAL))
        other = rng.standard_normal((n, SIGNAL))
        second = self.correlation * first + np.sqrt(1 - self.correlation**2) * other
        moved = 3.0 * y[:, None]
        sides = [
            (latent + moved) @ self.out[i] + NOISE * rng.standard_normal((n, WIDTH))
            for i, latent in enumerate((first, second))
        ]
        return sides[0], sides[1]


def channel(correlation: float, rng: np.random.Generator) -> Channel:
    """Return a channel with random directions for its latents."""
    axes = np.stack([np.linalg.qr(rng.standard_normal((WIDTH, SIGNAL)))[0].T for _ in range(2)])
    return Channel(axes, correlation)


def line(n: int, classes: int, correlation: float, trials: int) -> list[str]:
    """Return one line of the first table."""
    truths, estimates, held, low_p = [], [], [], []
    for trial in range(trials):
        rng = np.random.default_rng([n, classes, round(100 * correlation), trial])
        made = channel(correlation, rng)
        y = rng.integers(0, classes, n)
        shuffles = Shuffles.draw(y, Clusters.none(n), permutations=PERMUTATIONS, rng=rng)
        assert shuffles is not None
        shared = conditional_information(*made.draw(y, rng), shuffles)
        truths.append(made.bits)
        estimates.append(shared.bits)
        low, high = shared.interval
        held.append(low <= made.bits <= high)
        low_p.append(shared.p < 0.01)
    error = np.array(estimates) - np.array(truths)
    return [
        str(n),
        str(classes),
        f"{np.mean(truths):.3f}",
        f"{np.mean(estimates):.3f}",
        f"{error.mean():+.3f}",
        f"{error.std():.3f}",
        f"{np.mean(held):.2f}",
        f"{np.mean(low_p):.2f}",
    ]


def false_positives(n: int, classes: int, draws: int) -> list[str]:
    """Return one line of the second table."""
    single, family = [], []
    for draw in range(draws):
        rng = np.random.default_rng([n, classes, draw])
        y = rng.integers(0, classes, n)
        shuffles = Shuffles.draw(y, Clusters.none(n), permutations=PERMUTATIONS, rng=rng)
        assert shuffles is not None
        made = channel(0.0, rng)
        layers = [conditional_information(*made.draw(y, rng), shuffles) for _ in range(LAYERS)]
        single.append(layers[0].p < 0.01)
        family.append(consistency.family_p(layers) < 0.01)
    return [str(n), str(classes), f"{np.mean(single):.3f}", f"{np.mean(family):.3f}"]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--nulls", type=int, default=500)
    arguments = parser.parse_args()
    lines = [
        line(n, classes, correlation, arguments.trials)
        for n, classes in ((150, 4), (200, 1), (200, 4), (400, 4))
        for correlation in (0.0, 0.3, 0.6, 0.8)
    ]
    head = ["n", "classes", "true bits", "mean", "bias", "spread", "held by interval", "p < .01"]
    print(tabulate(lines, head, tablefmt="pipe", disable_numparse=True), end="\n\n")
    lines = [false_positives(n, 4, arguments.nulls) for n in (150, 200)]
    head = ["n", "classes", "p < .01, one layer", f"p < .01, over {LAYERS} layers"]
    print(tabulate(lines, head, tablefmt="pipe", disable_numparse=True))


if __name__ == "__main__":
    main()
