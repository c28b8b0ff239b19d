"""Opening and checking all data of a plan, before any model is loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Any

from vlmbench.plan import Plan
from vlmbench.run._settings import CheckedTask, OpenedSplits, Reporter, Settings
from vlmbench.spec import Located, Opens, Role, TaskSpec
from vlmbench.tasks import (
    Documents,
    check_documents,
    clustered,
    draw_ahead,
    load_documents,
    require_regions,
)
from vlmbench.types import Document, Problem, VlmbenchError


def check_tasks(plan: Plan, settings: Settings, reporter: Reporter) -> dict[str, CheckedTask]:
    """Open and check every task's documents, collecting the problems of all tasks.

    Other splits are opened and checked if a readout asks for them.

    Raises:
        VlmbenchError: With the problems of all tasks.
    """
    load = partial(
        load_documents, data_root=settings.data_root, allow_network=settings.allow_network
    )
    wanted = {task.spec.task: _wanted(task, plan) for task in plan.tasks}
    draw_ahead(
        (split for task in plan.tasks for split in _splits(task, plan, wanted[task.spec.task])),
        settings.data_root,
        partial(reporter.start, "draw documents"),
    )
    checked: dict[str, CheckedTask] = {}
    problems: list[Problem] = []
    advance = reporter.start("check data", len(plan.tasks))
    for task in plan.tasks:
        name = task.spec.task
        try:
            checked[name] = _check_task(task, plan, load, wanted[name])
        except VlmbenchError as error:
            problems += error.problems
        advance(1)
    if problems:  # tasks that share their data share its problems
        raise VlmbenchError(dict.fromkeys(problems))
    return checked


def _wanted(task: Located[TaskSpec], plan: Plan) -> set[Opens]:
    """Return what the readouts of a task open beyond the documents that they answer."""
    cells = (cell for cell in plan.cells if cell.task.spec.task == task.spec.task)
    return {opens for cell in cells for opens in (cell.reads, cell.trains_on)}


def _splits(
    task: Located[TaskSpec], plan: Plan, wanted: Collection[Opens]
) -> Iterator[tuple[Located[TaskSpec], Role, int | None]]:
    """Yield every split that is opened for a task, and its limit."""
    yield task, "reported", plan.limit
    for opens in wanted:
        for role in opens.splits:
            yield _fitted_on(opens, task, plan), role, None


def _fitted_on(opens: Opens, task: Located[TaskSpec], plan: Plan) -> Located[TaskSpec]:
    """Return the task whose splits a readout is fitted on."""
    return task if opens.of is None else plan.fit_tasks[opens.of]


def _check_task(
    task: Located[TaskSpec], plan: Plan, load: Callable[..., Documents], wanted: Collection[Opens]
) -> CheckedTask:
    documents = load(task, "reported", limit=plan.limit)
    kept: list[Document] = []
    digest = check_documents(documents, kept.append)
    held = clustered(kept, task.spec.bench.cluster_by)
    if any(opens.regions for opens in wanted):
        require_regions(documents, held)
    opened = {
        opens: _open(opens, _fitted_on(opens, task, plan), load) for opens in wanted if opens.splits
    }
    return CheckedTask(documents=documents, held=held, digest=digest, opened=opened)


def _open(opens: Opens, task: Located[TaskSpec], load: Callable[..., Documents]) -> OpenedSplits:
    """Open and check splits that something is fitted on."""
    splits = {role: load(task, role) for role in opens.splits}
    digests = [_fit_digest(part, opens.columns) for part in splits.values()]
    return OpenedSplits(splits=splits, digest="".join(digests))


def _fit_digest(part: Documents, columns: Collection[str]) -> str:
    """Check a split that is fitted on; return the digest of all that is read of it."""
    digest = hashlib.sha256(check_documents(part).encode())
    for column in columns:
        if column in part.dataset.column_names:
            for value in part.dataset[column]:
                digest.update(_bytes(value))
    return digest.hexdigest()


def _bytes(value: Any) -> bytes:
    """Return an undecoded image's bytes, or any other value as JSON."""
    if isinstance(value, Mapping):
        data: bytes = value.get("bytes") or b""
        return data
    return b"" if value is None else json.dumps(value).encode()
