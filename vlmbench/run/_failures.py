"""Ending a run in which too many documents failed: what is left would be no result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from vlmbench.plan import Cell
from vlmbench.readouts import NOT_KNOWN
from vlmbench.run._settings import Settings
from vlmbench.types import Problem, VlmbenchError

# Reasons that a message gives.
_MOST_REASONS = 3
# Documents that must have failed for a cell to be stopped before it is through.
_FEW = 20


class FailedError(VlmbenchError):
    """So many documents of a cell failed that it is no result."""


def refuse_failures(
    cell: Cell, errors: Sequence[str], settings: Settings, *, of: int | None = None
) -> None:
    """Refuse a cell of which all documents failed, or more than may.

    Documents whose task lets them fail do not count, unless nothing else is left.

    Args:
        cell: The cell.
        errors: Why each document failed; empty for those that did not.
        settings: How many may fail.
        of: How many documents the cell has, where not all have been run yet. Few that failed do
            not stop it then: all its reasons are told.

    Raises:
        FailedError: If so, with the commonest reasons.
    """
    broken = [error for error in errors if error and error != NOT_KNOWN]
    n = of or sum(error != NOT_KNOWN for error in errors) or len(errors)
    again = f"`vlmbench retry {settings.output}` runs failed documents again"
    if of is None and all(errors):
        message = f"all {n} documents of {cell.name} failed: {_reasons(errors)}"
        remedy = f"{again}." if broken else ""
    elif of is not None and len(broken) < _FEW:
        return
    elif not settings.max_failed.allows(len(broken), n):
        message = (
            f"{len(broken)} of {n} documents of {cell.name} failed, which is more than "
            f"--max-failed {settings.max_failed}: {_reasons(broken)}"
        )
        remedy = f"{again} and keeps the other answers; `--max-failed 100%` leaves them out."
    else:
        return
    file = str(cell.model.path)
    raise FailedError(Problem(file=file, message=message, remedy=remedy))


def _reasons(told: Iterable[str]) -> str:
    counts = Counter(told).most_common(_MOST_REASONS)
    return "; ".join(f"{reason} ({count})" for reason, count in counts)
