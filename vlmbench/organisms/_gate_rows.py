"""What the gate's criteria are made of: one row each, and the documents they are measured on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vlmbench.metrics import above, wilson
from vlmbench.spec import Located, TaskSpec
from vlmbench.types import Asked, Document, Stat


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRow:
    """One criterion.

    Attributes:
        criterion: What was measured.
        stat: Value with interval.
        target: What is asked for, in words.
        passed: Whether it is met.
    """

    criterion: str
    stat: Stat
    target: str
    passed: bool

    @property
    def cells(self) -> tuple[str, str, str, str, str]:
        """The row in a table: criterion, measured, interval, asked, met."""
        stat = self.stat
        counted = math.isnan(stat.low)  # a number of abilities, not a share of documents
        value = f"{stat.value:.0f}" if counted else f"{stat.value:.3f}"
        interval = "–" if counted else f"{stat.low:.3f} to {stat.high:.3f}"
        return self.criterion, value, interval, self.target, "yes" if self.passed else "no"


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """A task's reported documents with their questions."""

    located: Located[TaskSpec]
    asked: Sequence[Asked]

    @property
    def documents(self) -> list[Document]:
        """The documents alone."""
        return [one.document for one in self.asked]

    @property
    def task(self) -> TaskSpec:
        """What is asked."""
        return self.located.spec


def share(right: int, n: int) -> Stat:
    """Return `right / n` with its Wilson interval."""
    low, high = wilson(right, n)
    return Stat(value=right / n, low=low, high=high, n=n)


def at_least(criterion: str, stat: Stat, target: float) -> GateRow:
    return GateRow(
        criterion=criterion,
        stat=stat,
        target=f"at least {target:.2f}",
        passed=stat.value >= target,
    )


def above_chance(criterion: str, stat: Stat, chance: float) -> GateRow:
    return GateRow(
        criterion=criterion,
        stat=stat,
        target=f"interval above chance, {chance:.2f}",
        passed=above(stat.low, chance),
    )


def at_chance(criterion: str, stat: Stat, chance: float) -> GateRow:
    return GateRow(
        criterion=criterion,
        stat=stat,
        target=f"chance, {chance:.2f}",
        passed=not above(stat.low, chance) and not above(chance, stat.high),
    )
