"""One cell read, wherever that is done: what its readout may use, and what its record takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vlmbench.plan import Cell
from vlmbench.readouts import (
    Ledger,
    LoadedModel,
    Numbers,
    Opened,
    Progress,
    Reading,
    ignore,
    implementation,
    in_canonical_order,
)
from vlmbench.run._settings import CheckedTask, Settings
from vlmbench.store import Exchange
from vlmbench.tasks import apply_conditions, ask
from vlmbench.types import Asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What the record of a cell takes.

    Attributes:
        reading: Scores and answers, choices in canonical order.
        exchanges: What was asked about each document and what came back, in the same order.
    """

    reading: Reading
    exchanges: list[Exchange]


def count(cell: Cell, task: CheckedTask) -> int:
    """Return how many documents a cell has, before any is left out that it does not apply to."""
    return len(task.held) if cell.first is None else min(cell.first, len(task.held))


def asked_in(cell: Cell, task: CheckedTask) -> list[Asked]:
    """Return a cell's documents as its condition shows them, with their questions."""
    documents = apply_conditions(task.held, cell.condition, first=cell.first, task=cell.task)
    return ask(documents, cell.task.spec, cell.condition, cell.hints)


def opened_for(
    cell: Cell,
    task: CheckedTask,
    model: LoadedModel,
    settings: Settings,
    *,
    seed: int,
    ledger: Ledger | None = None,
    progress: Progress = ignore,
) -> Opened:
    """Return what a cell's readout may use."""
    return Opened(
        model=model,
        splits=task.opened_for(cell.reads).splits,
        training=task.opened_for(cell.trains_on).splits,
        batch_size=settings.batch_size,
        seed=seed,
        cache=settings.cache,
        ledger=ledger,
        progress=progress,
    )


def read_cell(cell: Cell, asked: Sequence[Asked], opened: Opened) -> Read | Numbers:
    """Read the answer of every document of a cell.

    Raises:
        ElsewhereError: If the ledger leaves some of the documents to other processes.
        VlmbenchError: If the readout cannot be taken.
    """
    reading = implementation(cell.readout).read(cell, asked, opened)
    if isinstance(reading, Numbers):
        return reading
    reading = in_canonical_order(reading, asked)
    return Read(reading=reading, exchanges=_exchanges(asked, reading))


def _exchanges(asked: Sequence[Asked], reading: Reading) -> list[Exchange]:
    """Return what was asked about each document and what came back."""
    return [
        Exchange(
            choices=one.scored,
            marked=one.document.marked,
            hint_target=one.hint_target,
            image_target=one.document.image_target,
            prompt=answer.prompt,
            response=answer.response,
            finish=answer.finish,
            error=answer.error,
        )
        for one, answer in zip(asked, reading.answers, strict=True)
    ]
