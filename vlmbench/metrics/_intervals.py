"""Intervals: Wilson's for rates, the bootstrap over documents for everything else."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vlmbench.types import Stat

DRAWS = 2000
"""Bootstrap resamples; the ends of a 95% interval then move by about 1/20 of its width."""

TAILS = (0.025, 0.975)
"""Both ends of a 95% interval, as quantiles."""

_Z = 1.959963984540054  # standard normal quantile at 0.975


def wilson(successes: float, n: int) -> tuple[float, float]:
    """Return Wilson's 95% score interval of a rate, without continuity correction.

    `successes` may be fractional: a credit in [0, 1] of mean p has variance at most p(1 - p)
    (Bhatia and Davis 2000), so under shared ties the interval is too wide rather than too
    narrow. Formula: Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953.

    Raises:
        ValueError: If `n` is below 1 or `successes` lies outside [0, n].
    """
    # Sums of thirds may pass n by a rounding error; more than that is a mistake.
    if n < 1 or not -1e-9 <= successes <= n + 1e-9:
        raise ValueError(f"a rate needs 0 <= successes <= n and n >= 1, got {successes} of {n}")
    rate = min(max(successes / n, 0.0), 1.0)
    centre = (rate + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z * math.sqrt(rate * (1 - rate) / n + _Z**2 / (4 * n**2)) / (1 + _Z**2 / n)
    # At the ends the two terms cancel exactly on paper; in floating point they nearly do.
    low = 0.0 if rate == 0.0 else centre - half
    high = 1.0 if rate == 1.0 else centre + half
    return low, high


def resampled_means(
    values: NDArray[np.float64], rng: np.random.Generator, draws: int
) -> NDArray[np.float64]:
    """Return column means of `draws` resamples of the documents with replacement.

    Rows that are equal are drawn together: resampling n documents is a multinomial draw over the
    distinct rows, which is exact, takes far less memory, and makes the result independent of the
    order of the documents.

    Args:
        values: (n, columns) float64.
        rng: Source of randomness.
        draws: Number of resamples.

    Returns:
        (draws, columns) float64.
    """
    n = len(values)
    rows, counts = np.unique(values, axis=0, return_counts=True)
    picked = rng.multinomial(n, counts / n, size=draws)  # (draws, distinct rows)
    # einsum and not @: BLAS may add in an order that depends on the number of threads.
    means: NDArray[np.float64] = np.einsum("dr,rc->dc", picked, rows) / n
    return means


def mean_interval(
    values: NDArray[np.float64], *, seed: int, draws: int = DRAWS
) -> tuple[float, float]:
    """Return the 95% percentile bootstrap interval of the mean of (n,) `values`."""
    rng = np.random.default_rng(seed)
    low, high = np.quantile(resampled_means(values[:, None], rng, draws)[:, 0], TAILS)
    return float(low), float(high)


def mean_stat(values: NDArray[np.float64], *, seed: int, draws: int = DRAWS) -> Stat:
    """Return the mean of one number per document, with its percentile bootstrap interval.

    For numbers that came from elsewhere (mean human accuracy per document).

    Args:
        values: (n,) float64, finite.
        seed: Seed of the resampling.
        draws: Number of resamples.

    Raises:
        ValueError: If `values` is empty, not one-dimensional, or holds NaN or infinity.
    """
    if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all():
        raise ValueError("values must be one finite number per document")
    low, high = mean_interval(values, seed=seed, draws=draws)
    return Stat(value=float(values.mean()), low=low, high=high, n=len(values))
