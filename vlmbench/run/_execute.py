"""Executing a plan on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from vlmbench.models import resolve_device
from vlmbench.plan import Plan, Skipped
from vlmbench.run._manifest import lm_eval_results, make_manifest, task_record
from vlmbench.run._models import run_models
from vlmbench.run._settings import CheckedTask, Reporter, Settings
from vlmbench.spec import Condition, DepthProbe, LinearProbe, Located, TaskSpec
from vlmbench.store import Run, RunFolder
from vlmbench.tasks import (
    Documents,
    FitSplits,
    check_documents,
    learns,
    load_documents,
    obstacle,
    require_regions,
)
from vlmbench.types import Problem, VlmbenchError


def execute(plan: Plan, settings: Settings, reporter: Reporter) -> Run:
    """Run every cell of a plan and write the run folder.

    All data is opened and checked before any model is loaded. Each cell's record is written
    whole or not at all, `manifest.json` last: a folder without it is no result. A cell whose
    record is already there, made from the same specs, documents, weights, device and versions,
    is not run again.

    Returns:
        What was written: folder, manifest and all rows of `stats.json`.

    Raises:
        VlmbenchError: If data or models are at fault, or every document of a cell failed.
    """
    _refuse_empty(plan)
    folder = RunFolder(settings.output)
    folder.claim(plan.digest)
    resolve_device(settings.device, settings.dtype)  # a wrong name should fail before the data
    tasks = check_tasks(plan, settings.data_root, reporter)
    feasible = _feasible(plan, tasks)
    ran = run_models(feasible, settings, tasks, reporter)
    rows = [row for model in ran for row in model.rows]
    manifest = make_manifest(
        feasible,
        claimed_for=plan.digest,
        tasks={name: task_record(plan, task) for name, task in tasks.items()},
        models={
            model.spec.model: one.record for model, one in zip(feasible.models, ran, strict=True)
        },
    )
    return folder.finish(manifest, rows, lm_eval_results(feasible, rows, manifest))


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
            reasons[key] = obstacle(tasks[name].held, cell.condition)
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


def check_tasks(plan: Plan, data_root: Path, reporter: Reporter) -> dict[str, CheckedTask]:
    """Open and check every task's documents, collecting the problems of all tasks.

    Training and validation splits are opened and checked where a probe will be fitted on them.
    """
    checked: dict[str, CheckedTask] = {}
    problems: list[Problem] = []
    fitted = {cell.task.spec.task for cell in plan.cells if cell.readout == "encoder"}
    learned = {
        cell.task.spec.task
        for cell in plan.cells
        if cell.model.spec.rule is not None and learns(cell.model.spec.rule)
    }
    advance = reporter.start("check data", len(plan.tasks))
    for task in plan.tasks:
        try:
            name = task.spec.task
            found = _check_task(task, plan, data_root, encoder=name in fitted)
            checked[name] = _with_training(found, data_root) if name in learned else found
        except VlmbenchError as error:
            problems += error.problems
        advance(1)
    if problems:  # tasks that share their data share its problems
        raise VlmbenchError(dict.fromkeys(problems))
    return checked


def _check_task(
    task: Located[TaskSpec], plan: Plan, data_root: Path, *, encoder: bool
) -> CheckedTask:
    documents = load_documents(task, "reported", data_root, plan.limit)
    digest = check_documents(documents)
    held = tuple(documents)
    probe = task.spec.bench.probe
    if encoder:
        require_regions(documents, held)
    if not encoder or not isinstance(probe, DepthProbe | LinearProbe):
        return CheckedTask(documents=documents, held=held, digest=digest)
    elsewhere = probe.fit_on if isinstance(probe, DepthProbe) else None
    fit_task = task if elsewhere is None else plan.fit_tasks[elsewhere]
    train = load_documents(fit_task, "train", data_root)
    validation = load_documents(fit_task, "validation", data_root)
    return CheckedTask(
        documents=documents,
        held=held,
        digest=digest,
        fit_on=FitSplits(train=train, validation=validation),
        fit_digest=f"{_fit_digest(train, probe)}{_fit_digest(validation, probe)}",
    )


def _with_training(task: CheckedTask, data_root: Path) -> CheckedTask:
    """Add the task's own training split, checked, for rules that learn from its wording."""
    train = load_documents(task.documents.task, "train", data_root)
    return replace(task, train=train, train_digest=check_documents(train))


def _fit_digest(part: Documents, probe: DepthProbe | LinearProbe) -> str:
    """Check a split that a probe learns from; return the digest of all that it learns from."""
    digest = hashlib.sha256(check_documents(part).encode())
    if isinstance(probe, DepthProbe) and probe.depth_column in part.dataset.column_names:
        for cell in part.dataset[probe.depth_column]:
            digest.update(b"" if cell is None else cell.get("bytes") or b"")
    return digest.hexdigest()
