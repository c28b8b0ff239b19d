"""`vlmbench ls`, `show`, `validate` and `init`: looking at what there is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from vlmbench.cli._folders import data_folder
from vlmbench.registry import (
    backends,
    catalogue,
    derive,
    derived_yaml,
    is_checkpoint,
    readouts,
)
from vlmbench.spec import Located, ModelSpec, TaskSpec, load_files, starter
from vlmbench.types import Problem, VlmbenchError


def ls(what: str, include_paths: tuple[Path, ...], *, as_json: bool) -> None:
    """List models, tasks, studies, readouts or backends."""
    rows = _rows(what, include_paths)
    if as_json:
        print(json.dumps(rows, indent=1))  # noqa: T201
        return
    table = Table(box=None, pad_edge=False)
    for name in rows[0] if rows else ("name",):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(escape(_shown(value)) for value in row.values()))
    Console().print(table)


def _shown(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else "" if value is None else str(value)


def _rows(what: str, include_paths: tuple[Path, ...]) -> list[dict[str, Any]]:
    if what in ("readouts", "backends"):
        plugins = readouts() if what == "readouts" else backends()
        return [
            {
                "name": plugin.name,
                "description": plugin.description,
                "available": "yes" if not plugin.missing else f"no: {plugin.remedy}",
            }
            for _, plugin in plugins.items()
        ]
    found = catalogue(include_paths)
    found.check()
    match what:
        case "models":
            return [_model_row(model.spec) for _, model in found.models.items()]
        case "studies":
            return [
                {
                    "name": study.spec.study,
                    "cells": [
                        f"{cell.readout}/{cell.condition.label}" for cell in study.spec.cells
                    ],
                    "description": study.spec.description,
                }
                for _, study in found.studies.items()
            ]
        case _:
            groups = [
                {"name": group.spec.group, "ability": "group", "choices": None,
                 "tags": list(group.spec.task)}
                for _, group in found.groups.items()
            ]  # fmt: skip
            return [_task_row(task.spec) for _, task in found.tasks.items()] + groups


def _model_row(spec: ModelSpec) -> dict[str, Any]:
    twin = spec.twin
    return {
        "name": spec.model,
        "backend": spec.backend,
        "checkpoint": spec.checkpoint,
        "twin": None
        if twin is None
        else f"{twin.of or twin.checkpoint or 'own tower'}, layer {twin.layer}, {twin.relation}",
        "tags": list(spec.tags),
    }


def _task_row(spec: TaskSpec) -> dict[str, Any]:
    probe = spec.bench.probe
    return {
        "name": spec.task,
        "ability": spec.bench.ability,
        "condition": spec.bench.condition.label,
        "output_type": spec.output_type,
        "probe": None if probe is None else probe.kind,
        "tags": list(spec.tags),
    }


def show(
    name: str,
    index: int,
    output: Path,
    include_paths: tuple[Path, ...],
    data_root: Path | None,
) -> None:
    """Print the resolved spec of a task, model, study or group, or what a checkpoint gives."""
    found = catalogue(include_paths)
    found.check()
    for registry in (found.models, found.studies, found.groups):
        if name in registry:
            located = registry[name]
            _print_spec(located)
            return
    if name not in found.tasks and is_checkpoint(name):
        _show_derived(name)
        return
    for task in found.select_tasks(name):
        _print_spec(task)
        _show_document(task, index, output, data_root)


def _show_derived(source: str) -> None:
    """Print every value derived from a checkpoint's files beside where it came from."""
    table = Table(box=None, pad_edge=False)
    for column in ("key", "value", "from"):
        table.add_column(column, overflow="fold")
    for fact in derive(source).facts:
        value = "not found" if fact.value is None else str(fact.value)
        style = None if fact.in_yaml else "dim"
        table.add_row(fact.key, Text(value), Text(fact.origin), style=style)
    console = Console()
    console.print(table)
    console.print(f"Write it out: vlmbench init model {source}", highlight=False, soft_wrap=True)


def _print_spec(located: Located[Any]) -> None:
    console = Console()
    console.print(f"# {located.path}", style="dim", highlight=False, soft_wrap=True)
    text = yaml.safe_dump(_plain(located.spec.model_dump(exclude_defaults=True)), sort_keys=False)
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _plain(value: Any) -> Any:
    """Return the value with tuples as lists, which YAML can write."""
    match value:
        case Mapping():
            return {key: _plain(item) for key, item in value.items()}
        case tuple() | list():
            return [_plain(item) for item in value]
        case _:
            return value


def _show_document(
    task: Located[TaskSpec], index: int, output: Path, data_root: Path | None
) -> None:
    from vlmbench.tasks import apply_conditions, ask, load_documents

    documents = load_documents(task, "reported", data_folder(data_root))
    if index >= len(documents):
        raise VlmbenchError(
            Problem(
                field="--index", message=f"{task.spec.task} has {len(documents)} documents from 0"
            )
        )
    condition = task.spec.bench.condition
    every = list(documents) if condition.image.needs_others else [documents[index]]
    document = apply_conditions(every, condition)[index if len(every) > 1 else 0]
    (asked,) = ask([document], task.spec, condition)
    console = Console()
    console.print(f"document {document.doc_id}", style="bold", highlight=False)
    console.print(asked.text, highlight=False, markup=False, soft_wrap=True)
    gold = document.choices[document.gold]
    console.print(f"choices {list(document.choices)}, gold {gold!r}", highlight=False)
    if document.reference is not None:
        console.print(f"reference {document.reference}", highlight=False)
    for choice, region in zip(document.choices, document.candidates, strict=False):
        console.print(f"{choice}: {region}", highlight=False)
    output.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(document.images, start=1):
        path = output / f"{document.doc_id}-{number}.png"
        image.decode().save(path)
        console.print(f"image {number}: {path}", highlight=False, soft_wrap=True)


def validate(paths: tuple[Path, ...], include_paths: tuple[Path, ...]) -> None:
    """Check files, folders, or everything on the search path."""
    if not paths:
        found = catalogue(include_paths)
        found.check()
        counts = (len(found.tasks), len(found.groups), len(found.models), len(found.studies))
    else:
        files = [
            file
            for path in paths
            for file in (sorted(path.rglob("*.yaml")) if path.is_dir() else [path])
        ]
        loaded = load_files(files)
        if loaded.problems:
            raise VlmbenchError(loaded.problems)
        counts = (
            len(loaded.tasks),
            len(loaded.groups),
            len(loaded.models),
            len(loaded.studies),
        )
    names = ("tasks", "groups", "models", "studies")
    summary = ", ".join(f"{count} {name}" for count, name in zip(counts, names, strict=True))
    print(f"valid: {summary}")  # noqa: T201


def init(what: str, name: str, folder: Path) -> None:
    """Write a starter YAML, or a checkpoint's derived one; no file is ever overwritten."""
    derived = what == "model" and is_checkpoint(name)
    stem = derive(name).model.spec.model if derived else name
    path = folder / f"{stem.replace('/', '--')}.yaml"
    if path.exists():
        raise VlmbenchError(
            Problem(file=str(path), message="the file exists", remedy="Choose another name.")
        )
    folder.mkdir(parents=True, exist_ok=True)
    kind: Literal["task", "model"] = "task" if what == "task" else "model"
    text = derived_yaml(name, folder) if derived else starter(kind, name, folder)
    path.write_text(text, encoding="utf-8")
    print(f"wrote {path}\nnext: vlmbench validate {path}")  # noqa: T201
