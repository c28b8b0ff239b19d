"""What a plan comes to where a Ray cluster runs it: units, actors, hours."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass

from vlmbench.plan import Cell, Plan, units_of


@dataclass(frozen=True, slots=True)
class HandedOut:
    """How a plan's cells are handed out.

    Attributes:
        shards: Shares of a cell; None for one every 256 documents.
        passes_per_second: Forward passes a second of one actor, if the user says so.
    """

    shards: int | None
    passes_per_second: float | None

    def shares(self, cell: Cell) -> dict[str, int | None]:
        """Return in how many shares a cell is handed out, as JSON has it; None if not known."""
        known = cell.documents is not None or self.shards is not None or cell.learns
        return {
            "shares": len(units_of([(cell, cell.documents or 1)], self.shards)) if known else None
        }

    def lines(self, plan: Plan, there: Set[str]) -> Iterator[str]:
        """Yield, by model, the units that are left, the actors they keep busy, and their hours."""
        for model in plan.models:
            spec = model.spec
            cells = [c for c in plan.cells if c.model is model and c.name not in there]
            if not cells:
                continue
            if not spec.is_local:
                yield f"{spec.model}: run by the process that starts the run, not by Ray"
                continue
            units = len(units_of([(c, c.documents or 1) for c in cells], self.shards))
            unknown = self.shards is None and any(c.documents is None for c in cells)
            least = "at least " if unknown else ""
            needed = spec.needs.memory_gb
            device = "" if needed is None else f", each with {needed:g} GiB of device memory"
            yield (
                f"{spec.model}: {least}{units} units, so {least or 'at most '}{units} actors can "
                f"work at once{device}{self._hours(cells)}"
            )

    def _hours(self, cells: list[Cell]) -> str:
        if self.passes_per_second is None:
            return ""
        known = [c.forward_passes for c in cells if c.forward_passes is not None]
        least = "" if len(known) == len(cells) else "at least "
        hours = sum(known) / self.passes_per_second / 3600
        return (
            f"; {least}{hours:.3g} actor-hours at {self.passes_per_second:g} passes a second, "
            "loading the model not counted"
        )
