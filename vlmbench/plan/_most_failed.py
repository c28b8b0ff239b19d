"""How many documents of a cell may fail."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vlmbench.types import Problem, VlmbenchError


@dataclass(frozen=True, slots=True)
class MostFailed:
    """How many documents of a cell may fail before the run ends with an error.

    Attributes:
        number: A count, or percent of the cell's documents.
        percent: Which of them.
    """

    number: float = 10
    percent: bool = True

    @classmethod
    def parse(cls, text: str) -> MostFailed:
        """Read `25` or `10%`.

        Raises:
            VlmbenchError: If it is neither.
        """
        found = re.fullmatch(r"(\d+)|(\d+(?:\.\d+)?)%", text.strip())
        if found is None or float(found[2] or 0) > 100:
            message, remedy = f"{text!r} is not valid", "Give a count, as 25, or a share, as 10%."
            raise VlmbenchError(Problem(field="--max-failed", message=message, remedy=remedy))
        return cls(float(found[1] or found[2]), percent=found[1] is None)

    def allows(self, failed: int, of: int) -> bool:
        """Tell whether so many of a cell's documents may fail."""
        return failed <= (self.number * of / 100 if self.percent else self.number)

    def __str__(self) -> str:
        return f"{self.number:g}{'%' if self.percent else ''}"
