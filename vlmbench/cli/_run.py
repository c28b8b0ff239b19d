"""`vlmbench run` and `vlmbench plan`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from vlmbench.cli._explain import DIAGNOSE, explain_all
from vlmbench.cli._folders import cache_root, data_folder
from vlmbench.plan import Cell, Plan, cell_key, make_plan
from vlmbench.registry import catalogue
from vlmbench.spec import Condition, Located, Prompted, StudyCell, StudySpec, TaskSpec, digest
from vlmbench.types import Problem, VlmbenchError


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be run."""

    models: str
    tasks: str
    study: str
    limit: int | None
    seed: int
    include_paths: tuple[Path, ...]
    data_root: Path | None
    conditions: str | None = None

    def plan(self) -> Plan:
        """Resolve selectors into a plan."""
        found = catalogue(self.include_paths)
        found.check()
        studies = found.select_studies(self.study)
        if len(studies) != 1:
            names = ", ".join(study.spec.study for study in studies)
            raise VlmbenchError(
                Problem(field="--study", message=f"one study at a time, {self.study!r} is {names}")
            )
        return make_plan(
            found.select_models(self.models),
            found.select_tasks(self.tasks),
            _under(studies[0], self.conditions),
            limit=self.limit,
            seed=self.seed,
            count=_count,
            known_tasks=found.tasks,
        )


def _under(study: Located[StudySpec], labels: str | None) -> Located[StudySpec]:
    """Return a study whose prompted cells are those of the given conditions instead."""
    if labels is None:
        return study
    conditions: dict[Condition, None] = {}
    problems: list[Problem] = []
    for label in labels.split(","):
        try:
            conditions[Condition.parse(label.strip())] = None
        except VlmbenchError as error:
            problems += [replace(problem, field="--conditions") for problem in error.problems]
    if problems:
        raise VlmbenchError(problems)
    cells = [StudyCell(readout=Prompted(), condition=condition) for condition in conditions]
    others = [cell for cell in study.spec.cells if cell.readout != Prompted()]
    spec = study.spec.model_copy(update={"cells": (*cells, *others)})
    return replace(study, spec=spec, digest=digest(spec))


def _count(task: Located[TaskSpec]) -> int | None:
    """Return how many documents a task has, where its YAML says so."""
    generator = task.spec.bench.generator
    return None if generator is None else generator.test


class _Rate(ProgressColumn):
    """Documents a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.0f}/s" if speed else "", style="progress.data.speed")


class RichReporter:
    """Progress bars with rate and time left."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def start(self, label: str, total: int) -> Callable[[int], None]:
        """Show a bar and return what advances it."""
        bar = self.progress.add_task(label, total=total)
        return lambda done: self.progress.advance(bar, done)


def run(
    request: Request,
    *,
    output: Path | None,
    device: str,
    dtype: str,
    batch_size: str,
    workers: int = 1,
) -> None:
    """Execute a plan and print its table."""
    plan = request.plan()
    size = _batch_size(batch_size)
    from vlmbench import report
    from vlmbench.run import Settings, execute

    folder = output or Path("runs") / f"{plan.study.spec.study}-{datetime.now():%Y%m%d-%H%M%S}"
    settings = Settings(
        output=folder,
        data_root=data_folder(request.data_root),
        cache=cache_root(),
        device=device,
        dtype=dtype,
        batch_size=size,
        workers=workers,
    )
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=Console(stderr=True),
    ) as progress:
        ran = execute(plan, settings, RichReporter(progress))
    console, rows = Console(), ran.rows
    aliases = {task.spec.task: task.spec.task_alias or task.spec.task for task in plan.tasks}
    if any(row.readout != "rule" for row in rows):
        console.print(report.terminal(rows, aliases=aliases))
    rules = report.rules_terminal(rows, aliases=aliases)
    if rules is not None:
        console.print(rules)
    for reason in dict.fromkeys(skipped.reason for skipped in ran.manifest.skipped):
        console.print(f"[dim]left out: {reason}[/dim]", highlight=False)
    console.print(f"Run written to {folder}", highlight=False, soft_wrap=True)
    console.print(
        f"Publish it: vlmbench leaderboard {folder} --output leaderboard",
        highlight=False,
        soft_wrap=True,
    )
    if plan.study.spec.study == DIAGNOSE:
        explain_all(ran, [model.spec.model for model in plan.models])


def _batch_size(given: str) -> int | None:
    if given == "auto":
        return None
    if given.isdigit() and int(given) > 0:
        return int(given)
    raise VlmbenchError(
        Problem(
            field="--batch-size",
            message=f"{given!r} is no batch size",
            remedy="Give auto or a whole number from 1.",
        )
    )


def plan(request: Request, *, output: Path | None, as_json: bool) -> None:
    """Print what would run."""
    resolved = request.plan()
    there = {cell.name for cell in resolved.cells if _is_there(cell, resolved, output)}
    if as_json:
        rows = [_row(cell, there) | {"note": cell.note} for cell in resolved.cells]
        print(json.dumps(rows, indent=1))  # noqa: T201
        return
    table = Table(box=None, pad_edge=False)
    for name in ("model", "task", "condition", "readout"):
        table.add_column(name, overflow="fold")
    for name in ("documents", "forward passes"):
        table.add_column(name, justify="right")
    table.add_column("there")
    for cell in resolved.cells:
        row = _row(cell, there)
        table.add_row(*(_shown(value) for value in row.values()))
    console = Console()
    console.print(table)
    known = [cell.forward_passes for cell in resolved.cells if cell.forward_passes is not None]
    unknown = len(resolved.cells) - len(known)
    more = f" and {unknown} cells whose data must be opened to tell" if unknown else ""
    console.print(f"{len(resolved.cells)} cells, {sum(known)} forward passes{more}")
    for note in dict.fromkeys(_noted(cell) for cell in resolved.cells if cell.note):
        console.print(f"[dim]{note}[/dim]", highlight=False, soft_wrap=True)
    for skipped in resolved.skipped:
        console.print(
            f"[dim]left out: {skipped.model} {skipped.task} {skipped.readout.label} "
            f"{skipped.condition.label}: {skipped.reason}[/dim]",
            highlight=False,
        )


def _noted(cell: Cell) -> str:
    return f"{cell.model.spec.model} {cell.task.spec.task}: {cell.note}"


def _is_there(cell: Cell, resolved: Plan, output: Path | None) -> bool:
    """Tell whether a record of the same specs is there; a run checks data and weights too."""
    if output is None:
        return False
    from vlmbench.store import RunFolder

    about = RunFolder(output).record(cell.name).about()
    return about is not None and about.basis.key == cell_key(cell, resolved)


def _row(cell: Cell, there: set[str]) -> dict[str, object]:
    return {
        "model": cell.model.spec.model,
        "task": cell.task.spec.task,
        "condition": cell.condition.label,
        "readout": cell.readout.label,
        "documents": cell.documents,
        "forward_passes": cell.forward_passes,
        "there": cell.name in there,
    }


def _shown(value: object) -> str:
    match value:
        case None:
            return "?"
        case bool():
            return "yes" if value else ""
        case _:
            return str(value)
