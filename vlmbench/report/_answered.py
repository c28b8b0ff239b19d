"""Numbers without unread answers, and where they tell another story."""

from __future__ import annotations

from collections.abc import Iterable

from vlmbench.metrics import PROMPTED, StatRow, number, rate
from vlmbench.report._format import Tests, adjusted_gap_p, significant

UNREAD = "¶"
"""On a gap: it is another one among the answered documents."""


def is_written(row: StatRow) -> bool:
    """Tell whether a row says that a model's answers were read from text, or some were not read."""
    return (row.readout, row.metric) == (PROMPTED, "accuracy_answered")


def turned(rows: Iterable[StatRow], adjusted: Tests | None = None) -> list[tuple[StatRow, StatRow]]:
    """Return gaps that turn when unread answers are left out: as they count, and without these.

    The two differ in sign, or one is significant and the other is not; which also holds where
    nothing was answered, so that there is no second one.

    Args:
        rows: Rows among which gaps are looked for.
        adjusted: Holm's p-values of the whole page; those of the rows themselves if absent.
    """
    found = {row.key: row for row in rows}
    tests = adjusted_gap_p(found.values()) if adjusted is None else adjusted
    pairs = []
    for key, gap in found.items():
        answered = found.get((*key[:-1], "gap_answered"))
        if key[-1] != "gap" or answered is None:
            continue
        p, p_answered = (tests.get((*key[:2], ending)) for ending in ("", "_answered"))
        differ = significant(gap, p) != significant(answered, p_answered)
        if differ or _sign(gap) * _sign(answered) < 0:
            pairs.append((gap, answered))
    return pairs


def told(gap: StatRow, answered: StatRow) -> str:
    """Return in words what a pair of `turned` is."""
    counted = f"the gap is {number(gap, sign=True)} with unread answers counted as wrong"
    if answered.coverage == 0.0:
        return f"{counted}, and none of {gap.n} answers could be read"
    return (
        f"{counted}, and {number(answered, sign=True)} among the {answered.n} of {gap.n} documents "
        "that were answered"
    )


def _sign(gap: StatRow) -> int:
    """Return the sign of a gap as it is written: 0 for what is written as .000, or not at all."""
    return 0 if rate(gap.value) in (".000", rate(None)) else 1 if gap.value > 0 else -1
