"""Executing a plan on this machine."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from vlmbench.metrics import StatRow, dump_rows
from vlmbench.models import resolve_device
from vlmbench.plan import Plan
from vlmbench.run._manifest import dump, lm_eval_results, make_manifest, task_entry
from vlmbench.run._model_run import ModelRun
from vlmbench.run._settings import CheckedTask, Reporter, Settings
from vlmbench.spec import DepthProbe, LinearProbe, Located, TaskSpec
from vlmbench.store import write_atomically
from vlmbench.tasks import (
    Documents,
    FitSplits,
    check_documents,
    load_documents,
    require_regions,
)
from vlmbench.types import Problem, VlmbenchError


def execute(plan: Plan, settings: Settings, reporter: Reporter) -> list[StatRow]:
    """Run every cell of a plan and write the run folder.

    All data is opened and checked before any model is loaded. Each cell's record is written
    whole or not at all, `manifest.json` last: a folder without it is no result. A cell whose
    record is already there, made from the same specs, documents, weights, device and versions,
    is not run again.

    Returns:
        All rows of `stats.json`.

    Raises:
        VlmbenchError: If data or models are at fault, or every document of a cell failed.
    """
    if not plan.cells:
        reasons = sorted({skipped.reason for skipped in plan.skipped})
        raise VlmbenchError(
            [Problem(message="the plan is empty: nothing would run")]
            + [Problem(message=reason) for reason in reasons]
        )
    _claim(settings.output, plan)
    resolve_device(settings.device, settings.dtype)  # a wrong name should fail before the data
    tasks = check_tasks(plan, settings.data_root, reporter)
    rows: list[StatRow] = []
    models: dict[str, Any] = {}
    for model in plan.models:
        run = ModelRun(model, plan, settings, tasks, reporter)
        rows += run.rows()
        models[model.spec.model] = run.entry()
    manifest = make_manifest(
        plan, tasks={name: task_entry(plan, task) for name, task in tasks.items()}, models=models
    )
    write_atomically(settings.output / "stats.json", dump_rows(rows))
    write_atomically(settings.output / "results.json", dump(lm_eval_results(plan, rows, manifest)))
    write_atomically(settings.output / "manifest.json", dump(manifest))
    return rows


def _claim(output: Path, plan: Plan) -> None:
    """Make sure that the folder is empty, unfinished, or holds this very plan's run."""
    manifest = output / "manifest.json"
    if manifest.is_file():
        held = json.loads(manifest.read_text(encoding="utf-8")).get("plan")
        if held != plan.digest:
            raise VlmbenchError(
                Problem(
                    file=str(output),
                    field="--output",
                    message="the folder holds the run of another plan",
                    remedy="Choose another folder, or delete this one.",
                )
            )
        manifest.unlink()
    elif output.is_dir() and any(output.iterdir()) and not (output / "records").is_dir():
        raise VlmbenchError(
            Problem(
                file=str(output),
                field="--output",
                message="the folder holds files that are no run",
                remedy="Choose an empty or new folder.",
            )
        )
    (output / "records").mkdir(parents=True, exist_ok=True)


def check_tasks(plan: Plan, data_root: Path, reporter: Reporter) -> dict[str, CheckedTask]:
    """Open and check every task's documents, collecting the problems of all tasks.

    Training and validation splits are opened and checked where a probe will be fitted on them.
    """
    checked: dict[str, CheckedTask] = {}
    problems: list[Problem] = []
    fitted = {cell.task.spec.task for cell in plan.cells if cell.readout == "encoder"}
    advance = reporter.start("check data", len(plan.tasks))
    for task in plan.tasks:
        try:
            name = task.spec.task
            checked[name] = _check_task(task, plan, data_root, encoder=name in fitted)
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


def _fit_digest(part: Documents, probe: DepthProbe | LinearProbe) -> str:
    """Check a split that a probe learns from; return the digest of all that it learns from."""
    digest = hashlib.sha256(check_documents(part).encode())
    if isinstance(probe, DepthProbe) and probe.depth_column in part.dataset.column_names:
        for cell in part.dataset[probe.depth_column]:
            digest.update(b"" if cell is None else cell.get("bytes") or b"")
    return digest.hexdigest()
