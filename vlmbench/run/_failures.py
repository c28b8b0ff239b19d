"""Ending a run in which too many documents failed: what is left would be no result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from vlmbench.plan import Cell
from vlmbench.readouts import NOT_KNOWN, Reading
from vlmbench.run._settings import Settings
from vlmbench.types import Problem, VlmbenchError

# Reasons that a message gives.
_MOST_REASONS = 3


def refuse_failures(cell: Cell, reading: Reading, settings: Settings) -> None:
    """Refuse a cell of which all documents failed, or more than may.

    Documents whose task lets them fail do not count, unless nothing else is left.

    Raises:
        VlmbenchError: If so, with the commonest reasons.
    """
    broken = reading.broken
    n = sum(answer.error != NOT_KNOWN for answer in reading.answers) or len(reading.answers)
    again = f"`vlmbench retry {settings.output}` runs failed documents again"
    if reading.scores.failed.all():
        reasons = _reasons(answer.error for answer in reading.answers)
        message = f"all {n} documents of {cell.name} failed: {reasons}"
        remedy = f"{again}." if broken else ""
    elif not settings.max_failed.allows(len(broken), n):
        message = (
            f"{len(broken)} of {n} documents of {cell.name} failed, which is more than "
            f"--max-failed {settings.max_failed}: {_reasons(broken.values())}"
        )
        remedy = f"{again} and keeps the other answers; `--max-failed 100%` leaves them out."
    else:
        return
    file = str(cell.model.path)
    raise VlmbenchError(Problem(file=file, message=message, remedy=remedy))


def _reasons(told: Iterable[str]) -> str:
    counts = Counter(told).most_common(_MOST_REASONS)
    return "; ".join(f"{reason} ({count})" for reason, count in counts)
