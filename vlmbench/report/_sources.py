"""What a published table keeps of its runs, so that each of its numbers can be measured again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmbench.files import contents
from vlmbench.metrics import StatRow, load_rows
from vlmbench.store import Manifest, Run, RunFolder, parse_manifest
from vlmbench.types import Problem, VlmbenchError, parse_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A run that published numbers are from.

    Attributes:
        manifest: What was run.
        rows: The numbers.
    """

    manifest: Manifest
    rows: tuple[StatRow, ...]

    def as_run(self, place: Path, model: str, tasks: Sequence[str]) -> Run:
        """Return the part of one model and some tasks, as a run whose name is that of `place`."""
        manifest = self.manifest.model_copy(
            update={
                "models": {model: self.manifest.models[model]},
                "tasks": {name: self.manifest.tasks[name] for name in tasks},
            }
        )
        rows = tuple(row for row in self.rows if row.model == model and row.task in tasks)
        return Run(folder=RunFolder(place), manifest=manifest, rows=rows)


def dump_sources(runs: Sequence[Run]) -> str:
    """Return the text of runs.json: each different run's manifest, and names of its rows."""
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        manifest = run.manifest.model_dump(mode="json")
        entry = found.setdefault(json.dumps(manifest, sort_keys=True), {"manifest": manifest})
        entry["rows"] = sorted({*entry.get("rows", ()), *("/".join(row.key) for row in run.rows)})
    ordered = [found[text] for text in sorted(found)]
    return json.dumps(ordered, indent=1, sort_keys=True, allow_nan=False) + "\n"


def read_sources(place: Path) -> tuple[Source, ...]:
    """Read the runs of a published leaderboard's folder, or the run that a folder is.

    Raises:
        VlmbenchError: If it is neither, or a file of it is malformed.
    """
    if (place / "manifest.json").is_file():
        run = RunFolder(place).read()
        return (Source(manifest=run.manifest, rows=run.rows),)
    rows = load_rows(_text(place / "rows.json"), file=str(place / "rows.json"))
    by_name = {"/".join(row.key): row for row in rows}
    return tuple(_sources(place / "runs.json", by_name))


def _sources(path: Path, rows: Mapping[str, StatRow]) -> Iterator[Source]:
    entries = parse_json(_text(path), file=str(path))
    for entry in entries if isinstance(entries, list) else [None]:
        match entry:
            case {"manifest": dict(said), "rows": list(names)} if all(
                isinstance(name, str) and name in rows for name in names
            ):
                manifest = parse_manifest(json.dumps(said), file=str(path))
                of = tuple(rows[name] for name in names)
            case _:
                message = "expected a list of runs, each with a manifest and names of rows.json"
                raise VlmbenchError(Problem(file=str(path), message=message, remedy=_AGAIN))
        if not {row.model for row in of} <= manifest.models.keys():
            message = "a run has rows of a model that its manifest lacks"
            raise VlmbenchError(Problem(file=str(path), message=message, remedy=_AGAIN))
        if not {row.task for row in of} <= manifest.tasks.keys():
            message = "a run has rows of a task that its manifest lacks"
            raise VlmbenchError(Problem(file=str(path), message=message, remedy=_AGAIN))
        yield Source(manifest=manifest, rows=of)


_AGAIN = "Give the folder as `vlmbench leaderboard` or `vlmbench run` wrote it."


def _text(path: Path) -> str:
    try:
        return contents(path).decode()
    except (OSError, ValueError) as error:
        problem = Problem(file=str(path), message=f"cannot be read: {error}", remedy=_AGAIN)
        raise VlmbenchError(problem) from None


def matching(sources: Sequence[Source], row: str) -> tuple[Source, ...]:
    """Return the sources with only those rows that a name stands for: of one, or of many.

    Args:
        sources: Published runs.
        row: `MODEL/TASK/CONDITION/READOUT/METRIC`, or the beginning of it up to any of the parts.

    Raises:
        VlmbenchError: If there is no such row, naming some that are there.
    """
    found = [
        Source(manifest=source.manifest, rows=rows)
        for source in sources
        if (rows := tuple(one for one in source.rows if _is_of(one, row)))
    ]
    if found:
        return tuple(found)
    known = sorted({f"{one.model}/{one.task}" for source in sources for one in source.rows})
    raise VlmbenchError(
        Problem(
            field="ROW",
            message=f"{row!r} names no row",
            remedy="Give MODEL/TASK, or MODEL/TASK/CONDITION/READOUT/METRIC, as in rows.json. "
            f"There are rows of {', '.join(known)}.",
        )
    )


def _is_of(row: StatRow, name: str) -> bool:
    return f"{'/'.join(row.key)}/".startswith(f"{name.rstrip('/')}/")
