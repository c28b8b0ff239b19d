"""Executing a plan on this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from vlmbench.metrics import StatRow, dump_rows
from vlmbench.models import resolve_device
from vlmbench.plan import Plan, Skipped
from vlmbench.run._check import check_tasks
from vlmbench.run._manifest import dump, lm_eval_results, make_manifest, task_entry
from vlmbench.run._models import run_models
from vlmbench.run._settings import CheckedTask, Reporter, Settings
from vlmbench.spec import Condition
from vlmbench.store import write_atomically
from vlmbench.tasks import obstacle
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
    _refuse_empty(plan)
    _claim(settings.output, plan)
    resolve_device(settings.device, settings.dtype)  # a wrong name should fail before the data
    tasks = check_tasks(plan, settings.data_root, reporter)
    asked, plan = plan.digest, _feasible(plan, tasks)
    ran = run_models(plan, settings, tasks, reporter)
    rows = [row for model in ran for row in model.rows]
    manifest = make_manifest(
        plan,
        tasks={name: task_entry(plan, task) for name, task in tasks.items()},
        models={model.spec.model: one.entry for model, one in zip(plan.models, ran, strict=True)},
    )
    manifest["plan"] = asked  # what the folder was claimed for, cells left out since included
    write_atomically(settings.output / "stats.json", dump_rows(rows))
    write_atomically(settings.output / "results.json", dump(lm_eval_results(plan, rows, manifest)))
    write_atomically(settings.output / "manifest.json", dump(manifest))
    return rows


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
