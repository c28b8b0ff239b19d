"""What a run writes about itself: manifest.json, and results.json in lm-eval's shape."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import vlmbench
from vlmbench.metrics import METRICS_VERSION, StatRow
from vlmbench.plan import Plan
from vlmbench.run._settings import CheckedTask

_PACKAGES = (
    "torch", "transformers", "tokenizers", "datasets", "lm-eval", "numpy", "scipy",
    "scikit-learn", "scikit-image", "embreex", "pillow", "pyarrow", "pydantic",
)  # fmt: skip


@lru_cache(maxsize=1)
def versions() -> dict[str, Any]:
    """Return the versions of everything that can change a number."""
    found: dict[str, Any] = {
        "vlmbench": vlmbench.__version__,
        "metrics": METRICS_VERSION,
        "python": platform.python_version(),
    }
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def dump(value: Mapping[str, Any]) -> str:
    """Return JSON for people and machines; refuses NaN."""
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n"


def task_entry(plan: Plan, task: CheckedTask) -> dict[str, Any]:
    """Return what the manifest says about a task: all that decides comparability, and labels."""
    located = task.documents.task
    spec = located.spec
    source = spec.bench.source
    return {
        "alias": spec.task_alias,
        "ability": spec.ability,
        "digest": located.digest,
        "documents": task.digest,
        "data": task.documents.source,
        "n": len(task.held),
        "of": task.documents.total,
        "limit": plan.limit,
        "chance": _chance(task),
        "marked": any(document.marked for document in task.held),
        "version": spec.metadata.version,
        "source": None if source is None else source.title,
    }


def _chance(task: CheckedTask) -> float | None:
    """Return the expected accuracy of a guess; None for free text, which has no choices."""
    if task.documents.task.spec.is_free_text:
        return None
    return sum(1 / len(document.choices) for document in task.held) / len(task.held)


def make_manifest(
    plan: Plan, *, tasks: Mapping[str, Any], models: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the manifest of a finished run."""
    return {
        "complete": True,
        "plan": plan.digest,
        "study": plan.study.spec.study,
        "study_digest": plan.study.digest,
        "seed": plan.seed,
        "limit": plan.limit,
        "versions": versions(),
        "platform": platform.platform(),
        "tasks": dict(tasks),
        "models": dict(models),
        "skipped": [
            {
                "model": skipped.model,
                "task": skipped.task,
                "condition": skipped.condition.label,
                "readout": skipped.readout,
                "reason": skipped.reason,
            }
            for skipped in plan.skipped
        ],
    }


def lm_eval_results(
    plan: Plan, rows: Sequence[StatRow], manifest: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the prompted accuracies in lm-eval's results shape.

    Keys are task names if the run has one model, else `model/task`; every entry names both.
    The standard error is a quarter of the 95% interval's width over 0.98 (1.96 on each side).
    """
    several = len(plan.models) > 1
    specs = {task.spec.task: task.spec for task in plan.tasks}
    results: dict[str, dict[str, Any]] = {}
    for row in rows:
        if (
            row.metric != "accuracy"
            or row.readout in ("encoder", "rule")
            or row.condition != _own(plan, row)
        ):
            continue
        key = f"{row.model}/{row.task}" if several else row.task
        results[key] = {
            "name": row.task,
            "alias": specs[row.task].task_alias or row.task,
            "model": row.model,
            "sample_len": row.n,
            "acc,none": row.value,
            "acc_stderr,none": _standard_error(row),
        }
    names = {key: entry["name"] for key, entry in results.items()}
    tasks = manifest["tasks"]
    return {
        "results": results,
        "group_subtasks": {},
        "configs": {
            key: specs[name].model_dump(mode="json", exclude_none=True)
            for key, name in names.items()
        },
        "versions": {key: specs[name].metadata.version for key, name in names.items()},
        "n-shot": dict.fromkeys(names, 0),
        "higher_is_better": {key: {"acc": True} for key in names},
        "n-samples": {
            key: {"original": tasks[name]["of"], "effective": tasks[name]["n"]}
            for key, name in names.items()
        },
        "config": {
            "model": "vlmbench",
            "model_args": {"models": [model.spec.model for model in plan.models]},
            "limit": plan.limit,
            "random_seed": plan.seed,
        },
        "model_name": ",".join(model.spec.model for model in plan.models),
        "lm_eval_version": manifest["versions"]["lm-eval"],
        "transformers_version": manifest["versions"]["transformers"],
    }


def _standard_error(row: StatRow) -> float | str:
    """Return the standard error, or lm-eval's "N/A" for a published number without interval."""
    width = row.high - row.low
    return "N/A" if math.isnan(width) else width / (2 * 1.959964)


def _own(plan: Plan, row: StatRow) -> str:
    """Return the condition under which a task is asked as it stands."""
    for task in plan.tasks:
        if task.spec.task == row.task:
            return task.spec.bench.condition.label
    return "own"
