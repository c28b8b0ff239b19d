"""What a run's records say about a model's use of its vision; no model is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from threadpoolctl import threadpool_limits

from vlmbench.diagnostics import (
    Accuracies,
    Evidence,
    Finding,
    Outcome,
    Thresholds,
    Verdict,
    accuracies,
    analyse,
    diagnose,
    indicators,
    load_thresholds,
    verdict,
)
from vlmbench.metrics import ENCODER, PROMPTED
from vlmbench.spec import did_you_mean
from vlmbench.store import ModelRecord, Run, file_stem
from vlmbench.types import Problem, VlmbenchError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TaskExplained:
    """One task's tests and verdict.

    Attributes:
        task: Name of the task.
        evidence: The records behind it.
        outcomes: What the tests say.
        findings: What the analyses say that the run has cells for.
        accuracies: What the model, the blind model and the encoder's readout get right.
        verdict: Which failure, or none.
    """

    task: str
    evidence: Evidence
    outcomes: tuple[Outcome, ...]
    findings: tuple[Finding, ...]
    accuracies: Accuracies
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Explanation:
    """All that one run says about one model.

    Attributes:
        model: Name of the model.
        about: What the manifest says about it.
        tasks: The tasks with evidence, in the order of the manifest.
        thresholds: What the verdicts were cut at.
        seed: Seed of every resampling.
        version: Version of vlmbench that ran it.
    """

    model: str
    about: ModelRecord
    tasks: tuple[TaskExplained, ...]
    thresholds: Thresholds
    seed: int
    version: str

    @property
    def stem(self) -> str:
        """Name of the model's files."""
        return file_stem(self.model)


def explain(
    run: Run, model: str, *, tasks: Sequence[str] = (), thresholds: Path | None = None
) -> Explanation:
    """Recompute all tests and the verdict of a model from a run's records.

    Args:
        run: A finished run.
        model: Name of the model, as in its manifest.
        tasks: Names of tasks; by default, all that have evidence.
        thresholds: YAML to use instead of the shipped ones.

    Raises:
        VlmbenchError: If a name is unknown, the thresholds are malformed, a record cannot be
            read, or the records are not enough for any of the tests.
    """
    manifest = run.manifest
    cut_at = load_thresholds() if thresholds is None else load_thresholds(thresholds)
    _check_names(run, model, tasks)
    found = [
        task
        for name in tasks or manifest.tasks
        if (task := _explain(run, model, name, cut_at, manifest.seed)) is not None
    ]
    missing = sorted(set(tasks) - {task.task for task in found})
    if missing or not found:
        where = ", ".join(missing) if missing else "any task"
        raise VlmbenchError(
            Problem(
                file=run.name,
                message=f"the records of {model!r} on {where} are not enough for any of the tests",
                remedy="Run this model with `vlmbench run --study diagnose`, and explain that run.",
            )
        )
    return Explanation(
        model=model,
        about=manifest.models[model],
        tasks=tuple(found),
        thresholds=cut_at,
        seed=manifest.seed,
        version=manifest.versions.vlmbench,
    )


def _explain(
    run: Run, model: str, name: str, thresholds: Thresholds, seed: int
) -> TaskExplained | None:
    """Return a task's tests, or None if the run has not recorded enough for any."""
    if not run.records(model, name):
        return None
    evidence = Evidence.load(run, model, name)
    # Matrices of a few hundred rows: threads that wait for one another take ten times as long
    # as one alone where the machine has other work.
    with threadpool_limits(1):
        outcomes = diagnose(evidence, seed=seed)
        findings = analyse(evidence, seed=seed)
    if not any(one.measurements for one in (*outcomes, *findings)):
        return None
    read = accuracies(
        evidence.get(PROMPTED),
        evidence.get(PROMPTED, "blank"),
        evidence.get(ENCODER),
    )
    return TaskExplained(
        task=name,
        evidence=evidence,
        outcomes=outcomes,
        findings=findings,
        accuracies=read,
        verdict=verdict(indicators(outcomes, read), thresholds),
    )


def _check_names(run: Run, model: str, tasks: Sequence[str]) -> None:
    manifest, problems = run.manifest, []
    if model not in manifest.models:
        remedy = did_you_mean(model, manifest.models, what="Models of this run")
        message = f"the run has no model {model!r}"
        problems.append(Problem(file=run.name, field="--model", message=message, remedy=remedy))
    problems += [
        Problem(
            file=run.name,
            field="--tasks",
            message=f"the run has no task {task!r}",
            remedy=did_you_mean(task, manifest.tasks, what="Tasks of this run"),
        )
        for task in tasks
        if task not in manifest.tasks
    ]
    if problems:
        raise VlmbenchError(problems)
