"""`vlmbench reproduce`: the commands that gave a published row, and whether they give it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import vlmbench
from vlmbench import report
from vlmbench.cli import _run
from vlmbench.cli._printing import display, say, table
from vlmbench.metrics import PROMPTED, number
from vlmbench.report import Column, Source
from vlmbench.store import Manifest, RunFolder, file_stem
from vlmbench.types import Problem, VlmbenchError, one_line

_COLUMNS = (
    Column(head="row"),
    Column(head="published", right=True),
    Column(head="again", right=True),
    Column(head="verdict"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """What one command measures: rows of one model in one published run."""

    source: Source
    model: str
    tasks: tuple[str, ...]
    request: _run.Request
    output: Path

    @property
    def command(self) -> str:
        """The command, as it is pasted into a shell."""
        asked = self.request
        words = ["vlmbench", "run", "--models", asked.models, "--tasks", asked.tasks]
        words += ["--study", asked.study, "--seed", str(asked.seed)]
        words += [] if asked.limit is None else ["--limit", str(asked.limit)]
        words += [] if asked.conditions is None else ["--conditions", asked.conditions]
        for path in asked.include_paths:
            words += ["--include-path", str(path)]
        words += [] if asked.data_root is None else ["--data-root", str(asked.data_root)]
        return shlex.join([*words, "--dtype", self.dtype, "--output", str(self.output)])

    @property
    def dtype(self) -> str:
        """What numbers the model was run with."""
        return self.source.manifest.models[self.model].dtype or "auto"


def reproduce(
    row: str,
    published: Path,
    *,
    run: bool,
    output: Path,
    include_paths: Sequence[Path],
    data_root: Path | None,
    hosts: Sequence[str],
    allow_network: bool,
) -> bool:
    """Print the commands that give a row; with `run`, run them and compare.

    Returns:
        Whether every row was the same again, or lay within its published interval; True where
        nothing was run.

    Raises:
        VlmbenchError: If there is no such row, what is here is not what was run, or a run fails.
    """
    holds = True
    sources = report.matching(report.read_sources(published), row)
    for place, source in enumerate(sources):
        for model in dict.fromkeys(found.model for found in source.rows):
            part = _part(source, model, include_paths, data_root, hosts, output / str(place))
            for remark in _remarks(part, hosts):
                display(remark, style="dim")
            say(part.command)
            if run:
                _run.run(
                    part.request,
                    _run.Options(dtype=part.dtype),
                    output=part.output,
                    hosts=hosts,
                    allow_network=allow_network,
                )
                holds = _compare(part, published) and holds
    return holds


def _part(
    source: Source,
    model: str,
    include_paths: Sequence[Path],
    data_root: Path | None,
    hosts: Sequence[str],
    output: Path,
) -> _Part:
    """Return what is asked for again, the study checked against the one that was run."""
    manifest = source.manifest
    tasks = tuple(dict.fromkeys(row.task for row in source.rows if row.model == model))
    asked = _run.Request(
        model, ",".join(tasks), manifest.study, manifest.limit, manifest.seed, include_paths,
        data_root,
    )  # fmt: skip
    for request in (asked, replace(asked, conditions=_conditions(manifest, model))):
        if request.conditions != "" and _study_of(request, hosts) == manifest.study_digest:
            return _Part(
                source=source, model=model, tasks=tasks, request=request,
                output=output / file_stem(model),
            )  # fmt: skip
    message = f"the study {manifest.study!r} here is not the one that was run"
    remedy = (
        f"Take the version of vlmbench that it was run with ({manifest.versions.vlmbench}), or add "
        "the folder of that study with --include-path."
    )
    raise VlmbenchError(Problem(field="--study", message=message, remedy=remedy))


def _study_of(request: _run.Request, hosts: Sequence[str]) -> str:
    return request.plan(hosts).study.digest


def _conditions(manifest: Manifest, model: str) -> str:
    """Return the conditions that a model was asked under, as `--conditions` takes them."""
    cells = [cell.rsplit("/", 2) for cell in manifest.cells]
    labels = [rest for of, _, rest in cells if of == model and rest.startswith(f"{PROMPTED}-")]
    return ",".join(dict.fromkeys(label.removeprefix(f"{PROMPTED}-") for label in labels))


def _remarks(part: _Part, hosts: Sequence[str]) -> Iterator[str]:
    """Yield what was run, and what here is another than that."""
    manifest = part.source.manifest
    about = manifest.models[part.model]
    torch, device = manifest.versions.of("torch"), about.device
    yield one_line(
        f"{part.model} was run with vlmbench {manifest.versions.vlmbench}, torch {torch}, on "
        f"{device}; weights {(about.weights or 'unknown')[:12]}"
    )
    plan = part.request.plan(hosts)
    (model,) = plan.models
    if manifest.versions.vlmbench != vlmbench.__version__:
        yield f"Here is vlmbench {vlmbench.__version__}."
    if model.digest != about.digest:
        yield f"{model.path} does not describe {part.model} as it was run."
    for task in plan.tasks:
        if task.digest != manifest.tasks[task.spec.task].digest:
            yield f"{task.path} is not the task that was run."


def _compare(part: _Part, published: Path) -> bool:
    """Print the published numbers beside those of the run; return whether they agree."""
    again = report.measured_again(
        part.source.as_run(published, part.model, part.tasks), RunFolder(part.output).read()
    )
    rows = [
        {
            "row": "/".join(one.row.key[1:]),
            "published": number(one.row),
            "again": number(one.found),
            "verdict": one.verdict,
        }
        for one in again
    ]
    display(table(rows, _COLUMNS))
    return all(one.verdict != "differs" for one in again)
