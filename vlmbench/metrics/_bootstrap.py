"""The bootstrap over documents, or over clusters of them, for numbers without a closed form."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vlmbench.metrics._clusters import Clusters, Floats
from vlmbench.metrics._intervals import wilson
from vlmbench.types import Stat

DRAWS = 2000
"""Bootstrap resamples; the ends of a 95% interval then move by about 1/20 of its width."""

TAILS = (0.025, 0.975)
"""Both ends of a 95% interval, as quantiles."""

_AT_ONCE = 2_000_000  # counts that are held at once: 16 MB


def resampled_means(values: Floats, clusters: Clusters, *, seed: int, draws: int) -> Floats:
    """Return column means of `draws` resamples of the clusters with replacement.

    Clusters of equal sums and size are drawn together: resampling m of them is a multinomial draw
    over the distinct ones, which is exact, takes far less memory, and makes the result
    independent of the order of the documents.

    Args:
        values: (n, columns) float64.
        clusters: Which documents are drawn together.
        seed: Seed of the draws. The same seed draws the same from any values of which as many are
            equal.
        draws: Number of resamples.

    Returns:
        (draws, columns) float64.
    """
    every = np.concatenate([clusters.sums(values), clusters.sizes[:, None]], axis=1)
    rows, counts = np.unique(every, axis=0, return_counts=True)
    # einsum and not @: BLAS may add in an order that depends on the number of threads.
    parts = [np.einsum("rd,rc->cd", picked, rows).T for picked in _picked(seed, draws, counts)]
    sums: Floats = np.concatenate(parts)
    return sums[:, :-1] / sums[:, -1:]


def _picked(seed: int, draws: int, counts: NDArray[np.int64]) -> Iterator[Floats]:
    """Yield how often each row is drawn, (rows, draws), a part of the draws at a time."""
    step = max(1, _AT_ONCE // len(counts))
    if step >= draws:
        yield _kept(seed, draws, counts.tobytes())
        return
    rng = np.random.default_rng(seed)
    for start in range(0, draws, step):
        yield _drawn(rng, min(step, draws - start), counts)


@lru_cache(maxsize=8)
def _kept(seed: int, draws: int, counts: bytes) -> Floats:
    """Draw, or return what was drawn: a test asks hundreds of times for the same."""
    return _drawn(np.random.default_rng(seed), draws, np.frombuffer(counts, dtype=np.int64))


def _drawn(rng: np.random.Generator, draws: int, counts: NDArray[np.int64]) -> Floats:
    n = counts.sum()
    return np.ascontiguousarray(rng.multinomial(n, counts / n, size=draws).T, dtype=np.float64)


def mean_stat(
    values: Floats,
    clusters: Clusters | None = None,
    *,
    seed: int,
    draws: int = DRAWS,
    coverage: float = 1.0,
) -> Stat:
    """Return the mean of one number per document, with its percentile bootstrap interval.

    With clusters the ends are moved outwards by `Clusters.stretch`, but not past the values
    themselves; of a single cluster nothing can be resampled, and they are the interval.

    Args:
        values: (n,) float64, finite.
        clusters: Which documents belong together; None if they share nothing.
        seed: Seed of the resampling.
        draws: Number of resamples.
        coverage: Share of the documents that were answered.

    Raises:
        ValueError: If `values` is empty, not one-dimensional, or holds NaN or infinity.
    """
    if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all():
        raise ValueError("values must be one finite number per document")
    clusters = Clusters.none(len(values)) if clusters is None else clusters
    mean, low, high = float(values.mean()), float(values.min()), float(values.max())
    if len(clusters) > 1 or clusters.alone:
        means = resampled_means(values[:, None], clusters, seed=seed, draws=draws)[:, 0]
        ends = np.quantile(means, TAILS)
        if not clusters.alone:
            ends = np.clip(mean + clusters.stretch * (ends - mean), low, high)
        low, high = map(float, ends)
    return Stat(value=mean, low=low, high=high, n=len(values), coverage=coverage)


def distance_stat(
    differences: Floats,
    clusters: Clusters,
    *,
    coverage: float,
    seed: int,
    draws: int,
    noise: Floats | None = None,
    least: float = 0.0,
) -> Stat:
    """Return the absolute column means of `differences`, summed, with its 95% interval.

    The interval is the estimate plus and minus the 95% quantile of the distance between a
    bootstrap resample's column means and the sample's, clipped to [0, 1]. By the triangle
    inequality it covers wherever the column means do, at any true distance and at 0 too, where
    the percentile and basic bootstraps of a distance fail; elsewhere it is wider than need be. It
    reaches at least as far as Wilson's interval of a share of which no instance was seen.

    Args:
        differences: (n, bins) float64, one row per document.
        clusters: Which documents are drawn together.
        coverage: Share of documents that were answered.
        seed: Seed of the resampling.
        draws: Number of resamples.
        noise: Rows to resample in place of `differences`, where part of them is fixed by design.
        least: What the interval reaches to each side at the least.
    """
    value = min(float(np.abs(differences.mean(axis=0)).sum()), 1.0)  # fractions may pass 1
    reach = 1.0
    if len(clusters) > 1 or clusters.alone:
        rows = differences if noise is None else noise
        drawn = resampled_means(rows, clusters, seed=seed, draws=draws)
        moved = np.abs(drawn - rows.mean(axis=0)).sum(axis=1)
        unseen = wilson(0.0, clusters.evened)[1]
        reach = max(clusters.stretch * float(np.quantile(moved, 0.95)), least, unseen)
    return Stat(
        value=value,
        low=max(value - reach, 0.0),
        high=min(value + reach, 1.0),
        n=len(differences),
        coverage=coverage,
    )
