"""`vlmbench run` and `vlmbench plan`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from vlmbench.cli._explain import explain_all
from vlmbench.cli._folders import cache_root, data_folder
from vlmbench.cli._handed_out import HandedOut
from vlmbench.cli._planned import planned, row_of
from vlmbench.cli._printing import display, say, say_json
from vlmbench.cli._progress import reporting
from vlmbench.cli._stopping import unless_stopped
from vlmbench.cli._together import together
from vlmbench.metrics import RULE
from vlmbench.plan import Cell, MostFailed, Plan, cell_key, make_plan
from vlmbench.registry import Catalogue, catalogue, check_hosts, loads
from vlmbench.spec import (
    Condition,
    Located,
    ModelSpec,
    Prompted,
    StudyCell,
    StudySpec,
    TaskSpec,
    digest,
)
from vlmbench.types import Problem, VlmbenchError, one_line

if TYPE_CHECKING:
    from vlmbench.store import Run


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be run."""

    models: str
    tasks: str
    study: str
    limit: int | None
    seed: int
    include_paths: Sequence[Path]
    data_root: Path | None
    conditions: str | None = None
    derive: bool = False

    def plan(self, hosts: Sequence[str]) -> Plan:
        """Resolve selectors into a plan of models that may be asked; see `check_hosts`."""
        found = catalogue(self.include_paths)
        found.check()
        models, tasks, study = together(
            lambda: found.select_models(self.models, derived=self.derive),
            lambda: found.select_tasks(self.tasks),
            lambda: _under(self._study(found), self.conditions),
        )
        check_hosts(models, hosts)
        return make_plan(
            models,
            tasks,
            study,
            limit=self.limit,
            seed=self.seed,
            count=_count,
            known_tasks=found.tasks,
        )

    def remarks(self, plan: Plan) -> Iterator[str]:
        """Yield which checkpoints were taken as the models that YAML describes."""
        for term in map(str.strip, self.models.split(",")):
            for model in plan.models:
                if not self.derive and term != model.spec.model and loads(model, term):
                    yield checkpoint_of(term, model)

    def _study(self, found: Catalogue) -> Located[StudySpec]:
        studies = found.select_studies(self.study)
        if len(studies) != 1:
            names = ", ".join(study.spec.study for study in studies)
            raise VlmbenchError(
                Problem(
                    field="--study",
                    message=f"give one study at a time; {self.study!r} selects {names}",
                )
            )
        return studies[0]


def checkpoint_of(term: str, model: Located[ModelSpec]) -> str:
    """Return what to say where a checkpoint was given and a model's YAML is used."""
    return (
        f"{term} is the checkpoint of model `{model.spec.model}`, and its YAML is used "
        f"({model.path}); --derive takes the checkpoint's own files instead"
    )


def _under(study: Located[StudySpec], labels: str | None) -> Located[StudySpec]:
    """Return the study with the given conditions in place of its prompted cells."""
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
    """Return how many documents a task has, if its YAML says so."""
    generator = task.spec.bench.generator
    return None if generator is None else generator.test


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How it is to be run, as it was typed."""

    device: str = "auto"
    dtype: str = "auto"
    batch_size: str = "auto"
    workers: int = 1
    max_failed: str = "10%"
    ray_address: str | None = None
    shards: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What is printed along the way and at the end."""

    quiet: bool = False
    log_json: bool = False


class Kept(BaseModel):
    """What a run's folder keeps of the command, for `vlmbench retry`."""

    folder: Path
    """Where it was started, seen from the run's folder; a published one names no home."""
    request: Request
    options: Options


def run(
    request: Request,
    options: Options,
    *,
    output: Path | None,
    hosts: Sequence[str],
    allow_network: bool,
    retry: bool = False,
    shown: Shown = Shown(),
) -> None:
    """Execute a plan, on this machine or the Ray cluster at an address, and print its table.

    What is allowed is not kept with the request: a folder cannot allow anything.
    """
    _refuse_other_executor(options)
    plan, size, most = together(
        lambda: request.plan(hosts),
        lambda: _batch_size(options.batch_size),
        lambda: MostFailed.parse(options.max_failed),
    )
    for remark in () if shown.quiet else request.remarks(plan):
        display(remark, style="dim")
    from vlmbench.run import Cluster, Settings, execute

    address = options.ray_address
    folder = output or Path("runs") / f"{plan.study.spec.study}-{datetime.now():%Y%m%d-%H%M%S}"
    settings = Settings(
        output=folder,
        data_root=data_folder(request.data_root),
        cache=cache_root(),
        device=options.device,
        dtype=options.dtype,
        batch_size=size,
        workers=options.workers,
        max_failed=most,
        cluster=None if address is None else Cluster(address=address, shards=options.shards),
        retry=retry,
        hosts=tuple(hosts),
        allow_network=allow_network,
        request=Kept(
            folder=Path(os.path.relpath(Path.cwd(), folder.resolve())),
            request=request,
            options=options,
        ).model_dump(mode="json"),
    )

    def work() -> Run:
        with reporting(quiet=shown.quiet, log_json=shown.log_json) as reporter:
            return execute(plan, settings, reporter)

    ran = unless_stopped(work, folder)
    if not shown.quiet:
        _show(ran, plan)
        say(f"Run written to {folder}")
        say(f"Publish it: vlmbench leaderboard {folder} --output leaderboard")
    if plan.study.spec.explained:
        names = [model.spec.model for model in plan.models]
        explain_all(ran, names, workers=options.workers, quiet=shown.quiet)


def _show(ran: Run, plan: Plan) -> None:
    """Print a run's tables, and what was left out."""
    from vlmbench import report

    rows = ran.rows
    aliases = {task.spec.task: task.spec.task_alias or task.spec.task for task in plan.tasks}
    if any(row.readout != RULE for row in rows):
        display(report.terminal(rows, aliases=aliases, failed=ran.manifest.failed))
    for further in (report.gaps_terminal, report.readings_terminal, report.rules_terminal):
        table = further(rows, aliases=aliases)
        if table is not None:
            display(table)
    for reason in dict.fromkeys(skipped.reason for skipped in ran.manifest.skipped):
        display(one_line(f"left out: {reason}"), style="dim")


def retry(
    folder: Path,
    *,
    max_failed: str | None,
    data_root: Path | None,
    ray_address: str | None,
    hosts: Sequence[str],
    allow_network: bool,
    shown: Shown,
) -> None:
    """Repeat the command of a run, and also run again the documents that failed in it.

    A folder may be somebody else's: where data is written, and which cluster is connected to (whose
    processes can send code), are said again.

    Raises:
        VlmbenchError: If the folder does not say what the command was, where it was started is
            no longer there, or something has to be said again.
    """
    from vlmbench.store import RunFolder

    place, data_root = folder.resolve(), data_root and data_root.absolute()
    try:
        kept = Kept.model_validate(RunFolder(folder).asked())
        start = (place / kept.folder).resolve()
        os.chdir(start)  # relative paths in the command begin there
    except (ValidationError, OSError) as error:
        message = f"the command of the run cannot be repeated: {error}"
        remedy = "Start the same `vlmbench run` again: only failed documents are left as they are."
        raise VlmbenchError(Problem(file=str(folder), message=message, remedy=remedy)) from None
    options, address = kept.options, kept.options.ray_address
    _said_again(folder, "--data-root", kept.request.data_root, data_root)
    _said_again(folder, "--ray-address", None if address in _OWN_CLUSTERS else address, ray_address)
    if address is not None:
        options = replace(options, ray_address=ray_address or address)
    if max_failed is not None:
        options = replace(options, max_failed=max_failed)
    output = place.relative_to(start) if place.is_relative_to(start) else place
    root = None if data_root is None else Path(os.path.relpath(data_root))  # names no home
    run(
        replace(kept.request, data_root=root),
        options,
        output=output,
        hosts=hosts,
        allow_network=allow_network,
        retry=True,
        shown=shown,
    )


# Those that this machine starts or belongs to.
_OWN_CLUSTERS = (None, "local", "auto")


def _said_again(folder: Path, option: str, kept: Path | str | None, given: object) -> None:
    """Refuse what a run's folder names and nobody here has said."""
    if kept is not None and given is None:
        message = f"the run was started with `{option} {kept}`, which its folder cannot decide"
        remedy = f"Add `{option} {kept}` if that is yours, or give your own."
        raise VlmbenchError(Problem(file=str(folder), field=option, message=message, remedy=remedy))


def _refuse_other_executor(options: Options) -> None:
    """Refuse options of another executor than the one that was chosen."""
    if options.ray_address is None and options.shards is not None:
        remedy = "Add `--executor ray`, or leave it out."
        raise VlmbenchError(
            Problem(field="--shards", message="only Ray hands out shares of a cell", remedy=remedy)
        )
    if options.ray_address is not None and options.workers != 1:
        message = "the cluster's resources say how many models run side by side"
        remedy = "Leave it out with `--executor ray`."
        raise VlmbenchError(Problem(field="--workers", message=message, remedy=remedy))


def _batch_size(given: str) -> int | None:
    if given == "auto":
        return None
    if given.isdigit() and int(given) > 0:
        return int(given)
    raise VlmbenchError(
        Problem(
            field="--batch-size",
            message=f"{given!r} is not a valid batch size",
            remedy="Give auto or a whole number of at least 1.",
        )
    )


def plan(
    request: Request,
    *,
    output: Path | None,
    as_json: bool,
    hosts: Sequence[str],
    on_ray: HandedOut | None = None,
) -> None:
    """Print what would run, and what it comes to on a Ray cluster."""
    resolved = request.plan(hosts)
    there = {cell.name for cell in resolved.cells if _is_there(cell, resolved, output)}
    if as_json:
        shared = on_ray.shares if on_ray is not None else lambda _: {}
        say_json(
            [row_of(cell, there) | {"note": cell.note} | shared(cell) for cell in resolved.cells]
        )
    else:
        display(planned(resolved, there if output is not None else None))
        for line in () if on_ray is None else on_ray.lines(resolved, there):
            display(line)


def _is_there(cell: Cell, resolved: Plan, output: Path | None) -> bool:
    """Tell whether a record of the same specs is there; a run checks data and weights too."""
    if output is None:
        return False
    from vlmbench.store import RunFolder

    about = RunFolder(output).record(cell.name).about()
    return about is not None and about.basis.key == cell_key(cell, resolved)
