"""A number with its uncertainty: the only thing a leaderboard consumes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat:
    """A value, its 95% interval and the number of documents behind it.

    Attributes:
        value: Point estimate.
        low: Lower end of the 95% interval; NaN if no interval is defined (a p-value).
        high: Upper end; NaN if no interval is defined.
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

    def mapped(self, function: Callable[[float], float]) -> Self:
        """Return the stat with an increasing function applied to its value and both ends."""
        return replace(
            self, value=function(self.value), low=function(self.low), high=function(self.high)
        )

    def shifted(self, by: float) -> Self:
        """Return the stat of the number plus a constant."""
        return self.mapped(lambda number: number + by)

    def scaled(self, by: float) -> Self:
        """Return the stat of the number times a constant; a negative one swaps the ends."""
        ends = (self.low * by, self.high * by)
        low, high = ends if by >= 0 else ends[::-1]
        return replace(self, value=self.value * by, low=low, high=high)

    def reversed(self) -> Self:
        """Return the stat of the negated number: the interval's ends change places."""
        return self.scaled(-1.0)
