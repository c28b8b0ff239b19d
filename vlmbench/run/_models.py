"""Running the models of a plan: in turn, or side by side in processes of their own."""

from __future__ import annotations

import itertools
import os
import pickle
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from multiprocessing.connection import Connection
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

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


def run_models(
    plan: Plan, settings: Settings, tasks: Mapping[str, CheckedTask], reporter: Reporter
) -> list[Ran]:
    """Run every model of a plan and return what each leaves, in plan order.

    Side by side each process takes its share of torch's threads: small models are bound by one
    core, and gain more from a core each than from two cores in turn.

    Raises:
        VlmbenchError: Of all models that have problems, when the others have run; or if a process
            dies, or a file cannot be written.
    """
    workers = min(settings.workers, len(plan.models))
    if workers == 1:
        return whole(run_model(model, plan, settings, tasks, reporter) for model in plan.models)
    # Not forked: this process may run threads of torch's, which a fork would leave waiting.
    context = get_context("spawn")
    held, _leash = context.Pipe(duplex=False)
    with (
        TemporaryDirectory() as place,
        _relayed(context.SimpleQueue(), reporter) as told,
        ProcessPoolExecutor(
            workers,
            mp_context=context,
            initializer=_begin,
            initargs=(
                _written(_Job(plan=plan, settings=settings, tasks=tasks), Path(place)),
                max(1, torch.get_num_threads() // workers),
                told,
                held,
            ),
        ) as pool,
    ):
        try:
            return whole(_results(pool, len(plan.models)))
        except KeyboardInterrupt:
            for process in active_children():
                process.kill()
            raise


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


def _results(pool: ProcessPoolExecutor, models: int) -> Iterator[Ran | Problems]:
    """Yield what each model leaves."""
    with _deaf():
        waiting = [pool.submit(_work, index) for index in range(models)]
    try:
        for future in waiting:
            yield future.result()
    except WriteError:
        pool.shutdown(cancel_futures=True)
        raise
    except BrokenProcessPool as error:
        message = "a process that was running models was killed from outside"
        remedy = "If memory ran out, lower --workers. What is finished is kept."
        raise VlmbenchError(Problem(message=message, remedy=remedy)) from error


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


def _written(job: _Job, folder: Path) -> Path:
    """Write a job to a file: sent to a new process, it would keep this one until that reads it."""
    path = folder / "job"
    path.write_bytes(pickle.dumps(job))
    return path


_given: tuple[_Job, SimpleQueue[_Message]] | None = None
_numbers = itertools.count()
_ALL = (0, 0)  # no step of any process


def _begin(path: Path, threads: int, told: SimpleQueue[_Message], held: Connection) -> None:
    """Make a new process ready to work, until the one at the other end of `held` is gone."""
    global _given  # noqa: PLW0603 -- a pool's processes keep their state nowhere else
    Thread(target=_follow, args=(held,), daemon=True).start()
    _given = pickle.loads(path.read_bytes()), told  # noqa: S301 -- written by that process
    share_threads(threads)


def _follow(held: Connection) -> None:
    """End this process with the other one, which may be killed: what is finished is on disk."""
    held.poll(None)
    os._exit(1)


def _work(index: int) -> Ran | Problems:
    """Run one model in this process."""
    assert _given is not None, "a process begins before it works"
    job, told = _given
    return run_model(job.plan.models[index], job.plan, job.settings, job.tasks, _Teller(told))


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
