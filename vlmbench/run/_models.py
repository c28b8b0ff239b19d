"""Running the models of a plan: in turn, or side by side in processes of their own."""

from __future__ import annotations

import itertools
import os
import pickle
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing import active_children, get_context
from multiprocessing.connection import Connection
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import TypeVar

import torch

from vlmbench.files import WriteError
from vlmbench.metrics import StatRow
from vlmbench.models import share_threads
from vlmbench.plan import Plan
from vlmbench.run._model_run import ModelRun, Where
from vlmbench.run._settings import CheckedTask, Reporter, Settings
from vlmbench.spec import Located, ModelSpec
from vlmbench.store import FailedCell, ModelRecord
from vlmbench.types import Problem, VlmbenchError

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a model leaves after it has run, in addition to its records.

    Attributes:
        rows: Statistics of all its tasks.
        record: What the manifest says about it.
        failed: Its cells in which documents failed.
    """

    rows: list[StatRow]
    record: ModelRecord
    failed: list[FailedCell]


Problems = tuple[Problem, ...]
"""What a model leaves that could not be run."""


RunAll = Callable[[Plan, Mapping[str, CheckedTask]], list[Ran]]
"""Runs every model of a plan on its checked tasks and returns what each leaves, in plan order.

Raises VlmbenchError, of all models that have problems, when the others have run; or if a process
dies, or a file cannot be written.
"""


@contextmanager
def here(plan: Plan, settings: Settings, reporter: Reporter) -> Iterator[RunAll]:
    """Give what runs a plan's models on this machine, in turn or side by side.

    Side by side each process takes its share of torch's threads: small models are bound by one
    core, and gain more from a core each than from two cores in turn. The processes start at once,
    and load their libraries while this one looks at the data.
    """
    workers = min(settings.workers, len(plan.models))
    if workers <= 1:
        yield lambda plan, tasks: whole(
            run_model(model, plan, settings, tasks, reporter) for model in plan.models
        )
        return
    # Not forked: this process may run threads of torch's, which a fork would leave waiting.
    context = get_context("spawn")
    held, _leash = context.Pipe(duplex=False)
    others = set(active_children())
    with (
        TemporaryDirectory() as place,
        _relayed(context.SimpleQueue(), reporter) as told,
        ProcessPoolExecutor(
            workers,
            mp_context=context,
            initializer=_begin,
            initargs=(max(1, torch.get_num_threads() // workers), told, held),
        ) as pool,
    ):
        try:
            _submit(pool, [_begun] * workers)
            yield partial(_side_by_side, pool, Path(place), settings)
        except BaseException:  # nobody waits for what they are doing
            for process in set(active_children()) - others:
                process.kill()
            raise


def _side_by_side(
    pool: ProcessPoolExecutor,
    folder: Path,
    settings: Settings,
    plan: Plan,
    tasks: Mapping[str, CheckedTask],
) -> list[Ran]:
    """Run all models in the processes of a pool, which read what to do from a file in `folder`."""
    # In a file: sent to a new process, it would keep this one waiting until that reads it.
    job = folder / "job"
    job.write_bytes(pickle.dumps(_Job(plan=plan, settings=settings, tasks=tasks)))
    return whole(_results(pool, [partial(_work, job, index) for index in range(len(plan.models))]))


def whole(models: Iterable[Ran | Problems]) -> list[Ran]:
    """Run all models and return what they leave.

    Raises:
        VlmbenchError: If some have problems, with all of these.
    """
    found = list(models)
    problems = [one for ran in found if not isinstance(ran, Ran) for one in ran]
    if problems and len(found) > 1:
        done = sum(isinstance(ran, Ran) for ran in found)
        message = f"{done} of {len(found)} models are finished and kept; the run is not"
        remedy = "Start the same command again, or without the others (`--models`), to go on."
        problems.append(Problem(message=message, remedy=remedy))
    if problems:
        raise VlmbenchError(problems)
    return [ran for ran in found if isinstance(ran, Ran)]


def _results(
    pool: ProcessPoolExecutor, models: Sequence[Callable[[], Ran | Problems]]
) -> Iterator[Ran | Problems]:
    """Yield what each model leaves."""
    try:
        for future in _submit(pool, models):
            yield future.result()
    except WriteError:
        pool.shutdown(cancel_futures=True)
        raise
    except BrokenProcessPool as error:
        message = "a process that was running models was killed from outside"
        remedy = "If memory ran out, lower --workers. What is finished is kept."
        raise VlmbenchError(Problem(message=message, remedy=remedy)) from error


def _submit(pool: ProcessPoolExecutor, calls: Sequence[Callable[[], _T]]) -> list[Future[_T]]:
    """Hand calls to a pool, which starts a process for each until it has all its own."""
    with _deaf():
        return [pool.submit(call) for call in calls]


@contextmanager
def _deaf() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach, from their first moment on: this one ends them.

    They inherit which signals are held back; here these arrive when the block ends.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run_model(
    model: Located[ModelSpec],
    plan: Plan,
    settings: Settings,
    tasks: Mapping[str, CheckedTask],
    reporter: Reporter,
    where: Where | None = None,
) -> Ran | Problems:
    """Run one model and return what it leaves, or its problems; see `ModelRun`.

    Raises:
        WriteError: If a file of the run cannot be written.
    """
    run = ModelRun(model, plan, settings, tasks, reporter, where)
    rows = run.rows()
    if run.problems:
        return tuple(run.problems)
    return Ran(rows=rows, record=run.record(), failed=run.failed)


# A bar's name (process, number), and its label and total or how many more units are done.
_Message = tuple[tuple[int, int], tuple[str, int] | int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """What a process is given once, for all models that it runs."""

    plan: Plan
    settings: Settings
    tasks: Mapping[str, CheckedTask]


_told: SimpleQueue[_Message] | None = None
_numbers = itertools.count()
_ALL = (0, 0)  # no step of any process


def _begin(threads: int, told: SimpleQueue[_Message], held: Connection) -> None:
    """Make a new process ready to work, until the one at the other end of `held` is gone."""
    global _told  # noqa: PLW0603 -- a pool's processes keep their state nowhere else
    Thread(target=_follow, args=(held,), daemon=True).start()
    _told = told
    share_threads(threads)


def _begun() -> None:
    """Do nothing: the process that runs this has begun."""


def _follow(held: Connection) -> None:
    """End this process with the other one, which may be killed: what is finished is on disk."""
    held.poll(None)
    os._exit(1)


def _work(path: Path, index: int) -> Ran | Problems:
    """Run one model in this process."""
    assert _told is not None, "a process begins before it works"
    job = _read(path)
    return run_model(job.plan.models[index], job.plan, job.settings, job.tasks, _Teller(_told))


@lru_cache(maxsize=1)  # all models that a process runs share it
def _read(path: Path) -> _Job:
    """Return the job that is in a file."""
    job: _Job = pickle.loads(path.read_bytes())  # noqa: S301 -- written by `_side_by_side`
    return job


class _Teller:
    """Reports progress to the process that shows it."""

    def __init__(self, told: SimpleQueue[_Message]) -> None:
        self._told = told

    def start(self, label: str, total: int) -> Callable[[int], None]:
        """Announce a step; return what advances it."""
        bar = (os.getpid(), next(_numbers))
        self._told.put((bar, (label, total)))
        return lambda done: self._told.put((bar, done))

    def expect(self, answers: int) -> None:
        """Announce how many more answers are to come."""
        self._told.put((_ALL, answers))


@contextmanager
def _relayed(told: SimpleQueue[_Message], reporter: Reporter) -> Iterator[SimpleQueue[_Message]]:
    """Show what other processes tell about their progress, until the block ends."""
    ended = Event()

    def relay() -> None:
        bars: dict[tuple[int, int], Callable[[int], None]] = {}
        while not (ended.is_set() and told.empty()):
            if told.empty():  # asked first: nothing more may come from a process that was killed
                ended.wait(0.05)
                continue
            bar, news = told.get()
            if bar == _ALL and isinstance(news, int):
                reporter.expect(news)
            elif isinstance(news, int):
                bars[bar](news)
            else:
                bars[bar] = reporter.start(*news)

    thread = Thread(target=relay, daemon=True)
    thread.start()
    wait: float | None = 1.0  # a process that was killed may have left half a message
    try:
        yield told
        wait = None
    finally:
        ended.set()
        thread.join(wait)
