"""What an actor of a Ray cluster does: it holds a model, and reads what it is given of cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from socket import gethostname
from typing import Any

import torch

from vlmbench.plan import Cell, Unit
from vlmbench.readouts import Answer, ElsewhereError, LoadedModel
from vlmbench.run._cells import Read, asked_in, opened_for, read_cell
from vlmbench.run._model_run import Where, where_run
from vlmbench.run._settings import CheckedTask, Settings
from vlmbench.spec import Located, ModelSpec
from vlmbench.store import Versions, installed_versions
from vlmbench.types import Asked, Problem, VlmbenchError, reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What a process of the cluster runs models with.

    Attributes:
        where: Device and number format of every model that was asked about.
        memory: GiB of memory of one device; None for a CPU.
        versions: What is installed.
    """

    where: tuple[Where, ...]
    memory: float | None
    versions: Versions


@dataclass(frozen=True, slots=True)
class Some:
    """Answers of a batch that has just been run, by `doc_id`, and which weights gave them."""

    cell: str
    answers: Mapping[str, Answer]
    weights: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Whole:
    """What the record of a cell takes: every document has its answer, from these weights."""

    cell: str
    read: Read
    weights: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Over:
    """A unit is done, by a model whose weights have these digests."""

    weights: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Wrong:
    """A unit cannot be done. Told, not raised, so that it arrives as it is."""

    problems: tuple[Problem, ...]


Told = Some | Whole | Over | Wrong


def site(models: tuple[Located[ModelSpec], ...], settings: Settings) -> Site | Wrong:
    """Return what this process runs models with."""
    try:
        where = tuple(where_run(model, settings) for model in models)
    except VlmbenchError as error:
        return Wrong(error.problems)
    memory = None
    if where[0][0].type == "cuda":
        memory = torch.cuda.get_device_properties(where[0][0]).total_memory / 2**30
    return Site(where=where, memory=memory, versions=installed_versions())


class Worker:
    """Holds one model, loaded when it is first asked, and reads units of its cells.

    Args:
        model: The model.
        settings: Device and folders, as this process sees them.
        seed: Seed of fits.
        tasks: Where Ray keeps each checked task, by name.
    """

    def __init__(
        self, model: Located[ModelSpec], settings: Settings, seed: int, tasks: Mapping[str, Any]
    ) -> None:
        self._model, self._settings, self._seed, self._tasks = model, settings, seed, tasks
        features = settings.cache / "features"
        self._loaded = LoadedModel(model, settings.device, settings.dtype, features=features)
        self._task: tuple[str, CheckedTask] | None = None
        self._asked: tuple[str, list[Asked]] | None = None

    def site(self) -> Site | Wrong:
        """Return what this process runs its model with."""
        return site((self._model,), self._settings)

    def run(self, unit: Unit, held: Mapping[str, Mapping[str, Answer]]) -> Iterator[Told]:
        """Read a unit and tell every batch as soon as it has been run.

        Args:
            unit: What to read.
            held: Answers that are there already, by cell and `doc_id`.
        """
        try:
            for cell in unit.cells:
                yield from self._read(cell, unit.share, held.get(cell.name, {}))
            yield Over(self._loaded.digests())
        except VlmbenchError as error:
            yield Wrong(error.problems)
        except Exception as error:  # of a library, of a model's own code, or our mistake
            message = f"model {self._model.spec.model!r} ended with {reason(error)}"
            yield Wrong((Problem(file=str(self._model.path), message=message),))

    def _read(
        self, cell: Cell, share: tuple[int, int], held: Mapping[str, Answer]
    ) -> Iterator[Told]:
        """Read a cell in a thread, and yield what it tells."""
        told: SimpleQueue[Mapping[str, Answer] | None] = SimpleQueue()
        with ThreadPoolExecutor(1) as thread:
            ledger = _Telling(share, held, told, self._loaded)
            reading = thread.submit(self._through, cell, ledger)
            reading.add_done_callback(lambda _: told.put(None))
            for answers in iter(told.get, None):
                yield Some(cell.name, answers, ledger.weights)
        read = reading.result()
        if read is not None:
            yield Whole(cell.name, read, ledger.weights)

    def _through(self, cell: Cell, ledger: _Telling) -> Read | None:
        """Read a cell; None if others have to answer some of it."""
        # Batches are cut alike everywhere, whatever has not fitted into memory here before.
        self._loaded.batch_sizes.clear()
        task = self._opened(cell.task.spec.task)
        if self._asked is None or self._asked[0] != cell.name:
            self._asked = (cell.name, asked_in(cell, task))
        opened = opened_for(
            cell, task, self._loaded, self._settings, seed=self._seed, ledger=ledger
        )
        try:
            read = read_cell(cell, self._asked[1], opened)
        except ElsewhereError:
            return None
        assert isinstance(read, Read), "recorded numbers are not read by actors"
        return read

    def _opened(self, name: str) -> CheckedTask:
        """Return a task; only one is in memory at a time.

        Raises:
            VlmbenchError: If its data is not where it is on the machine that has checked it.
        """
        import ray

        if self._task is None or self._task[0] != name:
            self._task = None
            try:
                self._task = (name, ray.get(self._tasks[name]))
            except (OSError, ray.exceptions.RaySystemError) as error:
                message = f"the documents of {name!r} cannot be opened on {gethostname()}: {error}"
                remedy = (
                    "Let all nodes see the data under the same paths. What is finished is kept."
                )
                raise VlmbenchError(Problem(message=message, remedy=remedy)) from error
        return self._task[1]


class _Telling:
    """A ledger that tells every batch."""

    def __init__(
        self,
        share: tuple[int, int],
        held: Mapping[str, Answer],
        told: SimpleQueue[Mapping[str, Answer] | None],
        loaded: LoadedModel,
    ) -> None:
        self.share, self._held, self._told, self._loaded = share, held, told, loaded
        self.weights: Mapping[str, str] = {}

    def held(self) -> Mapping[str, Answer]:
        self.weights = self._loaded.digests()  # now the condition's own are in place
        return self._held

    def keep(self, answers: Mapping[str, Answer]) -> None:
        self._told.put(answers)
