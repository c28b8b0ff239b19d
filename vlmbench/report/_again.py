"""Published numbers beside those of a run that measured them again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vlmbench.metrics import StatRow
from vlmbench.report._board import unlike
from vlmbench.report._check import identical
from vlmbench.store import Run
from vlmbench.types import ComparisonError


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """A published number and the one that was measured again.

    Attributes:
        row: The published one.
        found: The other; None if the run did not give it.
    """

    row: StatRow
    found: StatRow | None

    @property
    def verdict(self) -> Literal["same", "within", "differs"]:
        """Whether it is the same, lies within the published interval, or neither.

        What has no interval, such as a count or a p-value, is the same or differs.
        """
        if self.found is None:
            return "differs"
        if identical(self.row, self.found):
            return "same"
        return "within" if self.row.low <= self.found.value <= self.row.high else "differs"


def measured_again(published: Run, run: Run) -> Sequence[Again]:
    """Return every row of the published part of a run, and what the other run gives for it.

    Raises:
        ComparisonError: If the two cannot be compared: other metrics, documents or weights.
    """
    problems = list(unlike([published, run]))
    if problems:
        raise ComparisonError(problems)
    found = {row.key: row for row in run.rows}
    return [Again(row=row, found=found.get(row.key)) for row in published.rows]
