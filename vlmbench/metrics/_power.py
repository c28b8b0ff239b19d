"""Power: the smallest gap that a comparison could have seen."""

from __future__ import annotations

import math

from vlmbench.metrics._clusters import Clusters
from vlmbench.metrics._credit import credit
from vlmbench.metrics._intervals import Z, discordance
from vlmbench.metrics._paired import aligned
from vlmbench.types import ChoiceScores, Stat

ASSUMED_DISCORDANCE = 0.5
"""Share of documents that one of two readouts alone gets right, before there are data: the most
that independent readouts come to, when each is right half of the time."""

_POWER = 0.8416212335729143  # standard normal quantile at 0.8


_FEWEST = 6


def smallest_gap(n: float, discordance: float = ASSUMED_DISCORDANCE) -> float:
    """Return the gap that McNemar's test finds in four runs of five (two-sided, at .05).

    The difference d that solves n d^2 = (z_.975 sqrt(s) + z_.8 sqrt(s - d^2))^2, where s is the
    discordant share (Connor 1987, https://doi.org/10.2307/2531961), or d itself if that is more:
    a gap of d needs that many discordant documents. NaN below six documents, of which even six
    out of six are needed for p < .05.

    Args:
        n: Documents, or as many independent ones as they are worth.
        discordance: Share of documents that one of the two readouts alone gets right.
    """
    if n < _FEWEST:
        return math.nan

    def missed(gap: float) -> bool:
        share = max(discordance, gap)
        needed = Z * math.sqrt(share) + _POWER * math.sqrt(max(share - gap**2, 0.0))
        return n * gap**2 < needed**2

    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if missed(middle) else (low, middle)
    return high


def gap_power(encoder: ChoiceScores, prompted: ChoiceScores) -> tuple[Stat, float]:
    """Return the smallest gap that the two could have shown, and the effective n behind it.

    The discordant share is that of the data, whatever the gap turned out to be.

    Raises:
        ComparisonError: If the two do not cover identical documents in identical order.
    """
    encoder, prompted = aligned(encoder, prompted)
    differences = credit(encoder) - credit(prompted)
    effective = Clusters.among(encoder).effective_n(differences)
    value = smallest_gap(effective, discordance(differences))
    return Stat(value=value, n=len(differences)), effective
