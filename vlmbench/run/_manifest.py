"""What a run writes about itself: manifest.json, and results.json in lm-eval's shape."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from typing import Any

from vlmbench.metrics import StatRow
from vlmbench.plan import Plan
from vlmbench.run._settings import CheckedTask
from vlmbench.spec import Generator, reading_digest, wordings_digest
from vlmbench.store import (
    FailedCell,
    Manifest,
    ModelRecord,
    SkippedCell,
    TaskRecord,
    installed_versions,
)
from vlmbench.tasks.worlds import WORLDS
from vlmbench.types import clusters_of


def task_record(plan: Plan, task: CheckedTask) -> TaskRecord:
    """Return what the manifest says about a task."""
    located = task.documents.task
    spec = located.spec
    source, generator = spec.bench.source, spec.bench.generator
    return TaskRecord(
        alias=spec.task_alias,
        ability=spec.ability,
        digest=located.digest,
        reading=reading_digest(spec),
        documents=task.digest,
        data=task.documents.source,
        cluster_by=spec.bench.cluster_by,
        clusters=len(set(clusters_of(task.held).tolist())),
        n=len(task.held),
        of=task.documents.total,
        limit=plan.limit,
        chance=_chance(task),
        marked=any(document.marked for document in task.held),
        answers=spec.answer_rule.name,
        places=None if spec.bench.markers is None else spec.bench.markers.kind,
        wordings=wordings_digest(spec),
        difficulty=None if generator is None else _difficulty(generator),
        version=spec.metadata.version,
        source=None if source is None else source.title,
    )


def _difficulty(generator: Generator) -> float:
    """Return the difficulty at which a world draws, its default where the task says none."""
    return WORLDS[generator.world].options(generator.options)["difficulty"]


def _chance(task: CheckedTask) -> float | None:
    """Return the expected accuracy of a guess; None for free text, which has no choices."""
    if task.documents.task.spec.is_free_text:
        return None
    return sum(1 / len(document.choices) for document in task.held) / len(task.held)


def make_manifest(
    plan: Plan,
    *,
    claimed_for: str,
    tasks: Mapping[str, TaskRecord],
    models: Mapping[str, ModelRecord],
    failed: Sequence[FailedCell],
) -> Manifest:
    """Return the manifest of a finished run.

    Args:
        plan: What was run.
        claimed_for: Digest of the plan before its documents left cells out.
        tasks: Its tasks by name.
        models: Its models by name.
        failed: Its cells in which documents failed.
    """
    return Manifest(
        plan=claimed_for,
        study=plan.study.spec.study,
        study_digest=plan.study.digest,
        seed=plan.seed,
        limit=plan.limit,
        versions=installed_versions(),
        platform=platform.platform(),
        tasks=dict(tasks),
        models=dict(models),
        # Recorded numbers were measured elsewhere: there is nothing to record of them.
        cells=tuple(cell.name for cell in plan.cells if cell.readout.scores_documents),
        skipped=tuple(
            SkippedCell(
                model=skipped.model,
                task=skipped.task,
                condition=skipped.condition.label,
                readout=skipped.readout.label,
                reason=skipped.reason,
            )
            for skipped in plan.skipped
        ),
        failed=tuple(failed),
    )


def lm_eval_results(plan: Plan, rows: Sequence[StatRow], manifest: Manifest) -> dict[str, Any]:
    """Return the prompted accuracies in lm-eval's results shape.

    An entry also says how many documents failed, which `sample_len` leaves out.
    Keys are task names if the run has one model, else `model/task`; every entry names both.
    The standard error is a quarter of the 95% interval's width over 0.98 (1.96 on each side).
    """
    specs = {task.spec.task: task.spec for task in plan.tasks}
    shown = {
        f"{row.model}/{row.task}" if len(plan.models) > 1 else row.task: row
        for row in _accuracies(plan, rows)
    }
    names = {key: row.task for key, row in shown.items()}
    failed = {row.key[:4]: round(row.value) for row in rows if row.metric == "failed"}
    tasks = manifest.tasks
    return {
        "results": {
            key: _result(row, tasks[row.task].alias or row.task, failed.get(row.key[:4], 0))
            for key, row in shown.items()
        },
        "group_subtasks": {},
        "configs": {
            key: specs[name].model_dump(mode="json", exclude_none=True)
            for key, name in names.items()
        },
        "versions": {key: specs[name].metadata.version for key, name in names.items()},
        "n-shot": dict.fromkeys(names, 0),
        "higher_is_better": {key: {"acc": True} for key in names},
        "n-samples": {
            key: {"original": tasks[name].of, "effective": tasks[name].n}
            for key, name in names.items()
        },
        "config": {
            "model": "vlmbench",
            "model_args": {"models": [model.spec.model for model in plan.models]},
            "limit": plan.limit,
            "random_seed": plan.seed,
        },
        "model_name": ",".join(model.spec.model for model in plan.models),
        "lm_eval_version": manifest.versions.of("lm-eval"),
        "transformers_version": manifest.versions.of("transformers"),
    }


def _result(row: StatRow, alias: str, failed: int) -> dict[str, Any]:
    return {
        "name": row.task,
        "alias": alias,
        "model": row.model,
        "sample_len": row.n,
        "failed": failed,
        "acc,none": row.value,
        "acc_stderr,none": _standard_error(row),
    }


def _standard_error(row: StatRow) -> float | str:
    """Return the standard error, or lm-eval's "N/A" for a published number without interval."""
    width = row.high - row.low
    return "N/A" if math.isnan(width) else width / (2 * 1.959964)


def _accuracies(plan: Plan, rows: Sequence[StatRow]) -> list[StatRow]:
    """Return the accuracies of answers to the tasks as they are."""
    aside = {cell.readout.label for cell in plan.cells if not cell.readout.answers}
    own = {task.spec.task: task.spec.bench.condition.label for task in plan.tasks}
    return [
        row
        for row in rows
        if row.metric == "accuracy" and row.readout not in aside and row.condition == own[row.task]
    ]
