"""Intervals in closed form: rates, differences of rates, and means of bounded numbers."""

from __future__ import annotations

import math

import numpy as np

from vlmbench.metrics._clusters import Clusters, Floats, student
from vlmbench.types import Stat

Z = 1.959963984540054
"""Standard normal quantile at 0.975."""

_HALVINGS = 60  # of an interval of length 2: far below the last digit of a float near 1


def wilson(successes: float, n: float) -> tuple[float, float]:
    """Return Wilson's 95% score interval of a rate, without continuity correction.

    `successes` may be fractional: a credit in [0, 1] of mean p has variance at most p(1 - p)
    (Bhatia and Davis 2000), so under shared ties the interval is too wide rather than too
    narrow. `n` may be an effective number, 0 if nothing is known of the rate. Formula: Wilson
    1927, https://doi.org/10.1080/01621459.1927.10502953.

    Raises:
        ValueError: If `n` is below 0 or `successes` lies outside [0, n].
    """
    # Sums of thirds may pass n by a rounding error; more than that is a mistake.
    if n < 0 or not -1e-9 <= successes <= n + 1e-9:
        raise ValueError(f"a rate needs 0 <= successes <= n, got {successes} of {n}")
    if n == 0:
        return 0.0, 1.0
    rate = min(max(successes / n, 0.0), 1.0)
    centre = (rate + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z * math.sqrt(rate * (1 - rate) / n + Z**2 / (4 * n**2)) / (1 + Z**2 / n)
    # At the ends the two terms cancel exactly on paper; in floating point they nearly do.
    low = 0.0 if rate == 0.0 else centre - half
    high = 1.0 if rate == 1.0 else centre + half
    return low, high


def rate_stat(values: Floats, clusters: Clusters, *, coverage: float) -> Stat:
    """Return the mean of (n,) numbers in [0, 1] with Wilson's interval at the effective n."""
    share = clusters.effective_n(values) / len(values)
    low, high = wilson(float(values.sum()) * share, len(values) * share)
    return Stat(value=float(values.mean()), low=low, high=high, n=len(values), coverage=coverage)


def tango(plus: float, minus: float, n: float) -> tuple[float, float]:
    """Return Tango's 95% score interval of the difference of two paired rates.

    It holds every difference that the score test with restricted maximum likelihood does not
    refuse, is in step with McNemar's test at 0, and keeps its width where no document is
    discordant. Tango 1998,
    https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B.

    Args:
        plus: Documents that only the first got right; may be fractional.
        minus: Documents that only the second got right; may be fractional.
        n: All documents, or an effective number; 0 if nothing is known.
    """
    if n == 0:
        return -1.0, 1.0
    value = (plus - minus) / n

    def kept(difference: float) -> bool:
        b = (2 * n - plus + minus) * difference - plus - minus
        c = -minus * difference * (1 - difference)
        least = (math.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)
        variance = n * (2 * least + difference * (1 - difference))
        return (plus - minus - n * difference) ** 2 <= Z**2 * variance

    def end(outside: float) -> float:
        inside = value
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if kept(middle) else (inside, middle)
        return inside

    return end(-1.0), end(1.0)


def discordance(differences: Floats) -> float:
    """Return the mean square of differences of credit: for credits 0 and 1, the discordant share.

    At least the absolute mean, which it is where no credit is shared, so that the variance that
    follows from it vanishes only where every difference is 1.
    """
    return max(float((differences**2).mean()), abs(float(differences.mean())))


def difference_stat(differences: Floats, clusters: Clusters, *, coverage: float) -> Stat:
    """Return the mean of (n,) differences of credit, in [-1, 1], with Tango's interval.

    Under shared ties its two counts are those that give the sample's own variance; see
    `discordance`. With clusters both are taken of the effective n. On whole credits of documents
    that share nothing it is Tango's interval as published.
    """
    n, value = len(differences), float(differences.mean())
    share = clusters.effective_n(differences) / n
    both, net = discordance(differences) * n * share, float(differences.sum()) * share
    low, high = tango((both + net) / 2, (both - net) / 2, n * share)
    return Stat(value=value, low=low, high=high, n=n, coverage=coverage)


def bounded_stat(values: Floats, bound: float, clusters: Clusters, *, coverage: float) -> Stat:
    """Return the mean of (n,) numbers in [-bound, bound], with an interval for rare extremes.

    Student's interval, each end after one more document, or cluster of the usual size, that lies
    at the bound on that side. What one document in a hundred does is not seen among thirty, and
    no interval from those thirty alone can allow for it.
    """

    def end(side: float) -> float:
        more = round(len(values) / clusters.evened)
        added = Clusters.of(np.append(clusters.index, np.full(more, len(clusters))))
        held = np.append(values, np.full(more, side * bound))
        reach = student(added.evened - 1) * math.sqrt(added.variance(held))
        return side * min(side * float(held.mean()) + reach, bound)

    value = float(values.mean())
    return Stat(value=value, low=end(-1.0), high=end(1.0), n=len(values), coverage=coverage)
