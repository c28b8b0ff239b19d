"""The work of one model on a Ray cluster: what waits, what has been answered, what is written."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import ray

from vlmbench.plan import Cell, Unit, units_of
from vlmbench.readouts import Answer, ignore
from vlmbench.run._ledger import JournalLedger
from vlmbench.run._model_run import ModelRun
from vlmbench.run._pool import Work
from vlmbench.run._settings import CheckedTask
from vlmbench.run._worker import Over, Site, Some, Told, Whole, Worker
from vlmbench.store import installed_versions
from vlmbench.types import Problem, VlmbenchError

COUNTED = ("cuda", "xpu")
"""Kinds of devices that Ray counts and gives to one actor each."""


@dataclass(slots=True)
class _Open:
    """A cell that is not written yet.

    Attributes:
        cell: The cell.
        documents: How many it has, at most.
        shares: How many of its units are not done.
        ledger: Keeps what has been answered.
    """

    cell: Cell
    documents: int
    ledger: JournalLedger
    shares: int = 0

    @property
    def held(self) -> Mapping[str, Answer]:
        """What has been answered, by `doc_id`."""
        return self.ledger.held()


class ModelDesk:
    """Keeps what actors answer about one model's cells, and writes the records.

    A document is counted once, whoever answers it first. When all shares of a cell are done, one
    more unit with all its answers makes the reading of them, and runs what may have been left out.

    Args:
        run: The model's cells and records.
        found: What the cluster's processes run it with.
        stored: Returns where Ray keeps a checked task.

    Attributes:
        run: The model's cells and records.
        documents: How many are to be answered.
        waiting: Units that no actor is doing.
    """

    def __init__(self, run: ModelRun, found: Site, stored: Callable[[str], Any]) -> None:
        self.run = run
        self._found, self._stored = found, stored
        self._weights: dict[str, str] = {}
        self._advance: Callable[[int], None] = ignore
        assert run.settings.cluster is not None, "there is a cluster"
        cells = [(cell, n) for cell, n in _counted(run) if not run.is_there(cell, _task(run, cell))]
        self._open = {
            cell.name: _Open(cell, n, run.ledger(cell, _task(run, cell))) for cell, n in cells
        }
        self.documents = sum(n for _, n in cells)
        self.waiting: deque[Work] = deque()
        held = {name: dict(one.held) for name, one in self._open.items()}  # one for all shares
        for unit in units_of(cells, run.settings.cluster.shards):
            for cell in unit.cells:
                self._open[cell.name].shares += 1
            self.waiting.append(Work(unit, {cell.name: held[cell.name] for cell in unit.cells}))

    def begin(self, advance: Callable[[int], None]) -> None:
        """From now on say how many more documents have been answered, and how many have been."""
        self._advance = advance
        advance(sum(len(one.held) for one in self._open.values()))

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.run.model.spec.model

    def hire(self) -> Any:
        """Ask Ray for an actor of the model, with the devices that its weights need."""
        tasks = {
            name: self._stored(name)
            for name in {one.cell.task.spec.task for one in self._open.values()}
        }
        actor = ray.remote(Worker).options(**self.asks(), max_restarts=0)
        return actor.remote(self.run.model, self.run.settings, self.run.plan.seed, tasks)

    def asks(self) -> dict[str, Any]:
        """Return what an actor asks Ray for: a device, or as many as its weights need."""
        needed = self.run.model.spec.needs.memory_gb
        if self.run.device.type not in COUNTED:
            return {"num_cpus": 1, "memory": None if needed is None else int(needed * 2**30)}
        return {"num_cpus": 1, "num_gpus": _devices(needed, self._found.memory)}

    def check(self, site: Site) -> None:
        """Check that an actor runs what this process takes it to run.

        Raises:
            VlmbenchError: If its device, number format or packages are others.
        """
        needed, mine = self.run.model.spec.needs.memory_gb, (self.run.device, self.run.dtype)
        faults = []
        if site.where != (mine,):
            faults.append(f"runs it in {site.where[0]}, another one in {mine}")
        if site.versions != installed_versions():
            faults.append(f"has {site.versions}, this process {installed_versions()}")
        if _devices(needed, site.memory) > _devices(needed, self._found.memory):
            faults.append(f"has {site.memory} GiB a device, another one {self._found.memory}")
        if faults:
            message = f"a node of the cluster that is to run {self.model!r} {'; and '.join(faults)}"
            remedy = "Run on nodes of one kind with the same packages. What is finished is kept."
            raise VlmbenchError(Problem(message=message, remedy=remedy))

    def take(self, work: Work, told: Told) -> None:
        """Take what an actor tells of a unit.

        Raises:
            VlmbenchError: If its weights are not those of another actor.
        """
        if isinstance(told, Some):
            self._keep(work, told)
        elif isinstance(told, Whole):
            self._write(work, told)
        elif isinstance(told, Over):
            self._check_weights(told.weights)
            for cell in work.unit.cells:
                self._one_less(cell.name)

    def _keep(self, work: Work, told: Some) -> None:
        one = self._open.get(told.cell)
        if one is None:  # another actor has read all of the cell
            return
        fresh = {doc: answer for doc, answer in told.answers.items() if doc not in one.held}
        if fresh:
            one.ledger.take(fresh, told.weights)
        work.held[told.cell] = {**work.held[told.cell], **fresh}
        self._advance(len(fresh))

    def _write(self, work: Work, told: Whole) -> None:
        one = self._open.pop(told.cell, None)
        if one is None:
            return
        one.ledger.check(told.weights)
        self.run.write(one.cell, _task(self.run, one.cell), told.read, one.ledger)
        self._advance(one.documents - len(one.held))
        self.waiting = deque(
            other for other in self.waiting if any(c.name in self._open for c in other.unit.cells)
        )
        left = tuple(cell for cell in work.unit.cells if cell.name in self._open)
        work.unit = replace(work.unit, cells=left)

    def _one_less(self, name: str) -> None:
        """Note that a share of a cell is done; let it be finished after the last one."""
        one = self._open.get(name)
        if one is None:
            return
        one.shares -= 1
        if not one.shares:
            one.shares = 1
            self.waiting.appendleft(Work(Unit(cells=(one.cell,)), {name: dict(one.held)}))

    def _check_weights(self, weights: Mapping[str, str]) -> None:
        for part, digest in weights.items():
            if self._weights.setdefault(part, digest) != digest:
                message = f"the nodes of the cluster hold different weights of {self.model!r}"
                remedy = "Let all nodes read the same checkpoint. What is finished is kept."
                raise VlmbenchError(self.run.model.problem("checkpoint", message, remedy))


def _task(run: ModelRun, cell: Cell) -> CheckedTask:
    return run.tasks[cell.task.spec.task]


def _counted(run: ModelRun) -> Iterator[tuple[Cell, int]]:
    """Yield a model's cells with their documents; conditions may leave some of these out."""
    for cell in run.cells:
        n = len(_task(run, cell).held)
        yield cell, n if cell.first is None else min(n, cell.first)


def storing(tasks: Mapping[str, CheckedTask]) -> Callable[[str], Any]:
    """Return what says where Ray keeps a checked task, put there when first asked for."""

    @cache
    def stored(name: str) -> Any:
        return ray.put(tasks[name])

    return stored


def _devices(needed: float | None, memory: float | None) -> int:
    """Return how many devices of so many GiB hold what is needed."""
    return 1 if needed is None or memory is None else max(1, math.ceil(needed / memory))
