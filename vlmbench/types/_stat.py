"""A number with its uncertainty: the only thing a leaderboard consumes."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat:
    """A value, its 95% interval and the number of documents behind it.

    Attributes:
        value: Point estimate.
        low: Lower end of the 95% interval; NaN where no interval is defined (a p-value).
        high: Upper end; NaN where no interval is defined.
        n: Documents the value was computed from.
        coverage: Share of those documents that were answered rather than abstained on, in [0, 1].
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    n: int
    coverage: float = 1.0

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"a Stat needs at least one document, got n={self.n}")
        if not 0.0 <= self.coverage <= 1.0:
            raise ValueError(f"coverage must lie in [0, 1], got {self.coverage}")
        if self.low > self.high:
            raise ValueError(f"interval is upside down: low={self.low} > high={self.high}")
