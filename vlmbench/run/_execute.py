"""Executing a plan, on this machine or on a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from vlmbench.models import resolve_device
from vlmbench.plan import Plan, Skipped
from vlmbench.run._cells import count
from vlmbench.run._check import check_tasks
from vlmbench.run._manifest import lm_eval_results, make_manifest, task_record
from vlmbench.run._models import RunAll, here
from vlmbench.run._ray import connected, run_on_ray
from vlmbench.run._settings import CheckedTask, Reporter, Settings
from vlmbench.spec import Condition
from vlmbench.store import Run, RunFolder
from vlmbench.tasks import obstacle, order_obstacle
from vlmbench.types import Problem, VlmbenchError


def execute(plan: Plan, settings: Settings, reporter: Reporter) -> Run:
    """Run every cell of a plan and write the run folder.

    All data is opened and checked before any model is loaded. A batch's answers go to the cell's
    journal as they come, and its record is written whole or not at all, `manifest.json` last: a
    folder without it is not a result. A cell whose record is already there, made from the same
    specs, documents, weights, device and versions, is not run again; nor is a batch that a cell's
    journal has. A folder that is finished stays so until one of its records changes.

    Returns:
        What was written: folder, manifest and all rows of `stats.json`.

    Raises:
        VlmbenchError: If there is something wrong with data or models, another run is writing to
            the folder, it cannot be written, or too many documents of a cell failed.
    """
    _refuse_empty(plan)
    folder = RunFolder(settings.output)
    with _executor(plan, settings, reporter) as run_all, folder.claim(plan.digest):
        if settings.request is not None:
            folder.ask(settings.request)
        return _execute(plan, folder, settings, reporter, run_all)


def _execute(
    plan: Plan, folder: RunFolder, settings: Settings, reporter: Reporter, run_all: RunAll
) -> Run:
    tasks = check_tasks(plan, settings, reporter)
    feasible = _feasible(plan, tasks)
    reporter.expect(sum(count(cell, tasks[cell.task.spec.task]) for cell in feasible.cells))
    ran = run_all(feasible, tasks)
    rows = [row for model in ran for row in model.rows]
    manifest = make_manifest(
        feasible,
        claimed_for=plan.digest,
        tasks={name: task_record(plan, task) for name, task in tasks.items()},
        models={
            model.spec.model: one.record for model, one in zip(feasible.models, ran, strict=True)
        },
        failed=[cell for model in ran for cell in model.failed],
    )
    return folder.finish(manifest, rows, lm_eval_results(feasible, rows, manifest))


@contextmanager
def _executor(plan: Plan, settings: Settings, reporter: Reporter) -> Iterator[RunAll]:
    """Give what runs all models; a device or cluster that is not there fails before the data."""
    if settings.cluster is None:
        resolve_device(settings.device, settings.dtype)
        with here(plan, settings, reporter) as run_all:
            yield run_all
        return
    with connected(settings.cluster):
        yield lambda plan, tasks: run_on_ray(plan, settings, tasks, reporter)


def _refuse_empty(plan: Plan) -> None:
    if not plan.cells:
        reasons = sorted({skipped.reason for skipped in plan.skipped})
        raise VlmbenchError(
            [Problem(message="the plan is empty: nothing would run")]
            + [Problem(message=reason) for reason in reasons]
        )


def _feasible(plan: Plan, tasks: Mapping[str, CheckedTask]) -> Plan:
    """Leave out, with the reason, what the documents themselves do not allow."""
    reasons: dict[tuple[str, Condition], str | None] = {}
    cells, skipped = [], list(plan.skipped)
    for cell in plan.cells:
        name = cell.task.spec.task
        key = (name, cell.condition)
        if key not in reasons:
            held = tasks[name].held
            reasons[key] = obstacle(held, cell.condition, task=cell.task) or order_obstacle(
                held, cell.task.spec, cell.condition
            )
        reason = reasons[key]
        if reason is None:
            cells.append(cell)
            continue
        skipped.append(
            Skipped(
                model=cell.model.spec.model,
                task=name,
                condition=cell.condition,
                readout=cell.readout,
                reason=f"task {name!r}: {reason}",
            )
        )
    feasible = replace(plan, cells=tuple(cells), skipped=tuple(skipped))
    _refuse_empty(feasible)
    return feasible
