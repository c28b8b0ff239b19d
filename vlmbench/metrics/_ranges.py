"""Which numbers a metric can have at all: others were written by no run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from vlmbench.metrics._lost import LOSSES

_MOST = 1e9  # documents; and what is divided by 1 - chance stays below so much, too
_RATE, _DIFFERENCE, _COUNT = (0.0, 1.0), (-1.0, 1.0), (0.0, _MOST)
_BELOW_ONE, _ANY = (-_MOST, 1.0), (-_MOST, _MOST)
# Sums of rates in another order differ by less.
_ROUNDING = 1e-9

_TESTS = ("mcnemar_p", "flip_p", "mcnemar_p_answered", "flip_p_answered")

RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "accuracy": _RATE,
    "accuracy_answered": _RATE,
    "accuracy_corrected": _BELOW_ONE,
    "abstention": _RATE,
    "chance": _RATE,
    "choice_mass": _RATE,
    "choice_mass_p05": _RATE,
    "effective_n": _COUNT,
    "failed": _COUNT,
    "gap": _DIFFERENCE,
    "gap_answered": _DIFFERENCE,
    "gap_corrected": _ANY,
    "majority": _RATE,
    "smallest_gap": _RATE,
    "tv": _RATE,
    **dict.fromkeys(_TESTS, _RATE),
    **{f"lost_{name.replace(' ', '_')}": _DIFFERENCE for name in LOSSES.values()},
}
"""Between what values of each metric lie."""

# Not defined for some documents: all are tied, none was answered, or every choice is right.
_UNDEFINED = {
    *_TESTS, "accuracy_answered", "accuracy_corrected", "choice_mass", "choice_mass_p05",
    "gap_answered", "gap_corrected", "smallest_gap",
}  # fmt: skip


def impossible(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each key of a row of statistics that holds what no documents could give, and why.

    Args:
        row: Its keys are those of `StatRow`; what is not defined is None.
    """
    metric, value, low, high = (row[key] for key in ("metric", "value", "low", "high"))
    n, coverage = row["n"], row["coverage"]
    if metric not in RANGES:
        yield "metric", f"{metric!r} is not a metric of this version"
        return
    least, most = RANGES[metric]
    for key, found in (("value", value), ("low", low), ("high", high)):
        if found is not None and not _between(least, found, most):
            yield key, f"{found} lies outside [{least:g}, {most:g}]"
    if value is None and metric not in _UNDEFINED:
        yield "value", "there is no value"
    if (low is None) != (high is None):
        yield "low" if low is None else "high", "an interval has two ends"
    elif None not in (value, low) and not _between(low, value, high):
        yield "value", f"{value} lies outside its interval [{low}, {high}]"
    if n is not None and not 1 <= n <= _MOST:
        yield "n", f"{n} is not a number of documents"
    if coverage is None or not _between(0.0, coverage, 1.0):
        yield "coverage", f"{coverage} is not a share"
    if metric == "failed" and value is not None and (value % 1 or n is None or value > n):
        yield "value", f"{value} is not a number of failed documents among {n}"


def _between(low: float, value: float, high: float) -> bool:
    return low - _ROUNDING <= value <= high + _ROUNDING
