"""Into which pieces of work a plan's cells are cut where several machines run it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from vlmbench.plan._plan import Cell

# Eight batches: long enough to be worth sending, short enough to leave the last device little.
SHARD = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What one engine is given to do at a time.

    Attributes:
        cells: Of one model. Several only where something is learnt for them, once for all.
        share: (which, of how many): only every so-manieth batch is run.
    """

    cells: tuple[Cell, ...]
    share: tuple[int, int] = (0, 1)


def units_of(cells: Iterable[tuple[Cell, int]], shards: int | None = None) -> list[Unit]:
    """Return the units of one model's cells, in order.

    The batches of a cell are dealt to its shares in turn. Cells for which something is fitted or
    trained stay together, by task: what they share is then learnt once.

    Args:
        cells: Cells of one model, with their documents.
        shards: Shares of every cell; None for one every 256 documents.
    """
    units: list[Unit] = []
    for _, some in groupby(cells, lambda pair: pair[0].task.spec.task):
        mine = list(some)
        learning = tuple(cell for cell, _ in mine if cell.learns)
        if learning:
            units.append(Unit(cells=learning))
        for cell, documents in mine:
            if not cell.learns:
                of = shards or max(1, -(-documents // SHARD))
                units += [Unit(cells=(cell,), share=(which, of)) for which in range(of)]
    return units
