"""Models x tasks x a study's cells, resolved into what will run, and at what cost."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from vlmbench.plan._candidate import Candidate
from vlmbench.registry import backends
from vlmbench.spec import (
    Condition,
    Hints,
    Located,
    ModelSpec,
    Opens,
    Readout,
    StudyCell,
    StudySpec,
    TaskSpec,
    Tuning,
    did_you_mean,
    only_readout,
)
from vlmbench.types import Problem, VlmbenchError


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One model, task, condition and readout.

    Attributes:
        model: Who is asked.
        task: What is asked.
        condition: What is changed before asking, the task's own condition included.
        readout: Where the answer is read.
        documents: Documents it reads; None if only the data can tell.
        forward_passes: Inputs that go through the model: one per document when prompted (its
            choices share it), one per image for an encoder; see `Readout.forward_passes`. Where
            weights are trained, the first cell that reads them has one more for every document of
            every step. None if only the data can tell.
        first: Only the first so many documents are read; None for all.
        hints: Words of hints and fillers.
        tuning: How its weights are trained, if they are.
    """

    model: Located[ModelSpec]
    task: Located[TaskSpec]
    condition: Condition
    readout: Readout
    documents: int | None
    forward_passes: int | None
    first: int | None = None
    hints: Hints = field(default_factory=Hints)
    tuning: Tuning = field(default_factory=Tuning)

    @property
    def name(self) -> str:
        """Name that the cell's record goes by."""
        place = f"{self.readout.label}-{self.condition.label}"
        return f"{self.model.spec.model}/{self.task.spec.task}/{place}"

    @property
    def reads(self) -> Opens:
        """What of the task's data its readout reads in addition to the documents."""
        return self.readout.opens(self.task.spec)

    @property
    def trains_on(self) -> Opens:
        """The splits that its weights are trained on; none if they are not trained."""
        return Opens(splits=("train", "validation")) if self.condition.weights.trains else Opens()

    @property
    def learns(self) -> bool:
        """Whether something is fitted or trained for it on other documents than it answers."""
        return bool(self.reads.splits or self.trains_on.splits)

    @property
    def note(self) -> str:
        """How a server is asked and its answers are read; empty for what runs on this machine."""
        return self.readout.note(self.model.spec, self.task.spec)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A cell that cannot be run, and why."""

    model: str
    task: str
    condition: Condition
    readout: Readout
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All cells of a run, in the order they are run.

    Attributes:
        study: Name of the study.
        cells: Model by model, task by task.
        skipped: What the study asked for that cannot be run.
        limit: Most documents per task, or None.
        seed: Seed of fits and resampling.
        fit_tasks: Tasks that a probe of another one is fitted on (`probe.fit_on`), by name.
    """

    study: Located[StudySpec]
    cells: tuple[Cell, ...]
    skipped: tuple[Skipped, ...]
    limit: int | None
    seed: int
    fit_tasks: Mapping[str, Located[TaskSpec]] = field(default_factory=dict)

    @property
    def models(self) -> tuple[Located[ModelSpec], ...]:
        """Models that have a cell, in order."""
        return tuple({cell.model.spec.model: cell.model for cell in self.cells}.values())

    @property
    def tasks(self) -> tuple[Located[TaskSpec], ...]:
        """Tasks that have a cell, in order."""
        return tuple({cell.task.spec.task: cell.task for cell in self.cells}.values())

    @property
    def digest(self) -> str:
        """Hex SHA-256 of everything that was asked for."""
        return _digest([cell_key(cell, self) for cell in self.cells])


def cell_key(cell: Cell, plan: Plan) -> str:
    """Return the hex SHA-256 of what a cell's result depends on, as far as the specs say."""
    return _digest(
        [
            cell.model.digest,
            cell.task.digest,
            cell.condition.label,
            cell.readout.model_dump(mode="json"),
            cell.first,
            cell.hints.model_dump() if cell.condition.text.changes_prompt else None,
            cell.tuning.model_dump() if cell.condition.weights.trains else None,
            plan.limit,
            plan.seed,
            cell.task.spec.answer_rule.name if _reads_text(cell) else None,
        ]
    )


def _reads_text(cell: Cell) -> bool:
    """Tell whether answers may be read from generated text."""
    generates = cell.task.spec.output_type == "generate_until"
    model = cell.model.spec
    writes = generates or model.server is not None or model.prompt.thinking is not None
    return cell.readout.answers and writes


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def make_plan(
    models: Sequence[Located[ModelSpec]],
    tasks: Sequence[Located[TaskSpec]],
    study: Located[StudySpec],
    *,
    limit: int | None = None,
    seed: int = 0,
    count: Callable[[Located[TaskSpec]], int | None],
    known_tasks: Mapping[str, Located[TaskSpec]] | None = None,
) -> Plan:
    """Resolve every cell of a study.

    Args:
        models: Who is asked.
        tasks: What is asked.
        study: Which readouts under which conditions.
        limit: Most documents per task.
        seed: Seed of fits and resampling.
        count: Documents in a task's reported split, if that is known without a model.
        known_tasks: Tasks that `probe.fit_on` may name, besides `tasks` themselves.

    Raises:
        VlmbenchError: If a backend or task to fit on is unknown, or packages are missing.

    Returns:
        The plan. A task that fixes a condition (a blind variant) keeps it in every cell; cells
        that become the same are planned once, with the most documents that any of them asks
        for. What cannot be run is skipped, with its reason.
    """
    _check_backends(models)
    cells: list[Cell] = []
    skipped: list[Skipped] = []
    for model in models:
        candidate = Candidate(model)
        for task in tasks:
            total = count(task)
            hints = Hints.merged(study.spec.hints, task.spec.bench.hints)
            for (condition, readout), first in _asked(model.spec, task.spec, study.spec).items():
                reason = readout.obstacle(candidate, task.spec, condition, hints)
                if reason is not None:
                    skipped.append(_skipped(model.spec, task.spec, condition, readout, reason))
                    continue
                documents = _least(total, limit, first)
                cells.append(
                    Cell(
                        model=model,
                        task=task,
                        condition=condition,
                        readout=readout,
                        documents=documents,
                        forward_passes=_forwards(task.spec, readout, documents),
                        first=first,
                        hints=hints,
                        tuning=study.spec.tuning,
                    )
                )
    return Plan(
        study=study,
        cells=tuple(_with_training(cells)),
        skipped=tuple(skipped),
        limit=limit,
        seed=seed,
        fit_tasks=_fit_tasks(tasks, known_tasks or {}),
    )


def _fit_tasks(
    tasks: Sequence[Located[TaskSpec]], known: Mapping[str, Located[TaskSpec]]
) -> dict[str, Located[TaskSpec]]:
    """Return the tasks that probes are fitted on, where these are not the probes' own."""
    found: dict[str, Located[TaskSpec]] = {}
    problems: list[Problem] = []
    by_name = {**known, **{task.spec.task: task for task in tasks}}
    for task in tasks:
        probe = task.spec.bench.probe
        if probe is None or probe.fit_task is None:
            continue
        keys = "metadata.vlmbench.probe.fit_on"
        other = by_name.get(probe.fit_task)
        if other is None:
            remedy = did_you_mean(probe.fit_task, by_name, what="Known")
            problems.append(task.problem(keys, f"there is no task `{probe.fit_task}`", remedy))
        elif other.spec.training_split is None or other.spec.validation_split is None:
            message = f"`{probe.fit_task}` has no training and validation split"
            problems.append(task.problem(keys, message))
        else:
            found[probe.fit_task] = other
    if problems:
        raise VlmbenchError(problems)
    return found


def _check_backends(models: Sequence[Located[ModelSpec]]) -> None:
    problems = []
    known = backends()
    for model in models:
        name = model.spec.backend
        if not model.spec.has_weights:
            continue
        if name not in known:
            problems.append(model.problem("backend", f"there is no backend {name!r}"))
        elif known[name].missing:
            missing = ", ".join(known[name].missing)
            message = f"backend {name!r} needs {missing}, which is not installed"
            problems.append(model.problem("backend", message, known[name].remedy))
    if problems:
        raise VlmbenchError(problems)


def _asked(
    model: ModelSpec, task: TaskSpec, study: StudySpec
) -> dict[tuple[Condition, Readout], int | None]:
    """Return what is read of a model on a task, and how many documents at most (None: all)."""
    only = only_readout(model)
    wanted = study.cells if only is None else (StudyCell(readout=only),)
    caps: dict[tuple[Condition, Readout], int | None] = {}
    for cell in wanted:
        key = (_merge(task, cell.condition), cell.readout)
        one, other = caps.get(key, cell.documents), cell.documents
        caps[key] = None if one is None or other is None else max(one, other)
    return caps


def _skipped(
    model: ModelSpec, task: TaskSpec, condition: Condition, readout: Readout, reason: str
) -> Skipped:
    return Skipped(
        model=model.model, task=task.task, condition=condition, readout=readout, reason=reason
    )


def _least(count: int | None, *caps: int | None) -> int | None:
    """Return a count under its caps; None if it is not known."""
    return None if count is None else min(count, *(cap for cap in caps if cap is not None), count)


def _merge(task: TaskSpec, condition: Condition) -> Condition:
    fixed = task.bench.condition
    changed = {name: getattr(fixed, name) for name in fixed.model_fields_set}
    return condition.model_copy(update=changed)


def _forwards(task: TaskSpec, readout: Readout, documents: int | None) -> int | None:
    """Return the cost of a cell; None if only the data can tell, unless it is 0."""
    if documents is None:
        return None if readout.forward_passes(task, 1) else 0
    return readout.forward_passes(task, documents)


def _with_training(cells: Iterable[Cell]) -> Iterator[Cell]:
    """Yield cells, the first that reads trained weights with what training them takes."""
    trained = set()
    for cell in cells:
        weights = (cell.model.spec.model, cell.task.spec.task, cell.condition.weights.label)
        passes = cell.forward_passes
        if cell.condition.weights.trains and passes is not None and weights not in trained:
            trained.add(weights)
            passes += cell.tuning.steps * cell.tuning.batch
        yield replace(cell, forward_passes=passes)
