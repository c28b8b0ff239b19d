"""Runs: a finished run's folder, checked before a number of it is believed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vlmbench.metrics import StatRow, load_rows
from vlmbench.types import Problem, VlmbenchError


class Record(BaseModel):
    """Base of what a report reads of a manifest; the manifest may say more."""

    model_config = ConfigDict(extra="ignore", frozen=True, use_attribute_docstrings=True)


class TaskRecord(Record):
    """What a run says about a task."""

    digest: str
    """Hash of the resolved task spec."""
    documents: str
    """Hash of the document ids in order."""
    data: str
    """Fingerprint of the data."""
    n: int = Field(ge=1)
    """Documents that were run."""
    limit: int | None = None
    """`--limit`, if one was given."""
    alias: str | None = None
    ability: str
    source: str | None = None
    chance: float | None = Field(ge=0, le=1)
    """Expected accuracy of a guess; none for free text, which has no choices."""
    marked: bool = False
    """The encoder saw images with markers drawn into them."""


class ModelRecord(Record):
    """What a run says about a model."""

    alias: str | None = None
    weights: str | None = None
    """SHA-256 of the weights; none for recorded numbers."""
    relation: Literal["identical", "finetuned", "lineage"] | None = None
    """How the twin's weights relate to the tower's; none where there is no twin."""
    twin: str | None = None
    recorded: bool = False
    """Its numbers were measured elsewhere."""
    rule: str | None = None
    """The cheap rule that it is; none for models."""
    source: str | None = None


class Versions(Record):
    """What computed the numbers."""

    vlmbench: str
    metrics: int
    """Meaning of the metrics; see `vlmbench.metrics.METRICS_VERSION`."""


class Manifest(Record):
    """What a run says about itself."""

    complete: Literal[True]
    study: str
    seed: int
    versions: Versions
    tasks: dict[str, TaskRecord]
    models: dict[str, ModelRecord]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A finished run.

    Attributes:
        name: Its folder, as the user wrote it; for messages only.
        manifest: What was run.
        rows: What came out.
    """

    name: str
    manifest: Manifest
    rows: tuple[StatRow, ...]


def read_run(path: Path) -> Run:
    """Read a finished run's manifest.json and stats.json.

    Raises:
        VlmbenchError: If the run is missing, unfinished or malformed, with every problem found.
    """
    manifest = read_manifest(path)
    stats = path / "stats.json"
    if not stats.is_file():
        raise VlmbenchError(
            Problem(
                file=str(stats),
                message="the run holds no statistics",
                remedy="repeat the run with `vlmbench run`",
            )
        )
    rows = load_rows(stats.read_text(encoding="utf-8"), file=str(stats))
    problems = [
        Problem(file=str(stats), field=kind, message=f"{name!r} stands in no manifest")
        for kind, names, known in (
            ("model", {row.model for row in rows}, manifest.models),
            ("task", {row.task for row in rows}, manifest.tasks),
        )
        for name in sorted(names - known.keys())
    ]
    if not rows:
        problems.append(Problem(file=str(stats), message="no rows: the run measured nothing"))
    keys = [row.key for row in rows]
    problems += [
        Problem(file=str(stats), message=f"row {'/'.join(key)} stands there more than once")
        for key in sorted({key for key in keys if keys.count(key) > 1})
    ]
    if problems:
        raise VlmbenchError(problems)
    return Run(name=str(path), manifest=manifest, rows=rows)


def read_manifest(path: Path) -> Manifest:
    """Read the manifest of a finished run.

    Raises:
        VlmbenchError: If the folder is missing, or the run is unfinished or malformed.
    """
    file = path / "manifest.json"
    if not file.is_file():
        raise VlmbenchError(
            Problem(
                file=str(path),
                message="no finished run: there is no manifest.json, which a run writes last"
                if path.is_dir()
                else "no such folder",
                remedy="give the folder that `vlmbench run --output` named, after it has ended",
            )
        )
    try:
        data: Any = json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise VlmbenchError(
            Problem(file=str(file), line=error.lineno, column=error.colno, message=error.msg)
        ) from None
    if isinstance(data, dict) and data.get("complete") is not True:
        raise VlmbenchError(
            Problem(
                file=str(file),
                field="complete",
                message="the run did not end, so its numbers may lack documents",
                remedy="start the same `vlmbench run` again",
            )
        )
    try:
        return Manifest.model_validate(data)
    except ValidationError as error:
        raise VlmbenchError(
            Problem(file=str(file), field=".".join(map(str, item["loc"])), message=item["msg"])
            for item in error.errors()
        ) from None
