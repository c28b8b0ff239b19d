"""`vlmbench ls`: what there is, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlmbench.cli._planned import by_readout
from vlmbench.cli._printing import display, say, say_json, table
from vlmbench.registry import backends, catalogue, readouts
from vlmbench.report import Column
from vlmbench.spec import ModelSpec, StudySpec, TaskSpec

_PLUGINS = (
    Column(head="name"),
    Column(head="description", wraps=True),
    Column(head="available", wraps=True),
)
_GROUPS = (Column(head="name"), Column(head="tasks", wraps=True))
_COLUMNS: Mapping[str, Sequence[Column]] = {
    "models": (
        Column(head="name"),
        Column(head="backend", spare=2),
        Column(head="checkpoint", spare=3),
        Column(head="twin", wraps=True, spare=4),
        Column(head="tags", wraps=True, spare=1),
    ),
    "tasks": (
        Column(head="name"),
        Column(head="ability", spare=2),
        Column(head="condition", spare=3),
        Column(head="output_type", spare=4),
        Column(head="probe", spare=5),
        Column(head="tags", wraps=True, spare=1),
    ),
    "studies": (
        Column(head="name"),
        Column(head="cells", wraps=True),
        Column(head="description", wraps=True, spare=1),
    ),
    "readouts": _PLUGINS,
    "backends": _PLUGINS,
}


def ls(what: str, include_paths: Sequence[Path], *, as_json: bool) -> None:
    """List models, tasks, studies, readouts or backends."""
    rows = _rows(what, include_paths, as_json=as_json)
    if as_json:
        say_json(rows)
        return
    groups = [row for row in rows if "tasks" in row]
    display(table([row for row in rows if row not in groups], _COLUMNS[what]))
    if groups:
        say("")
        display(table(groups, _GROUPS))


def _rows(what: str, include_paths: Sequence[Path], *, as_json: bool) -> list[dict[str, Any]]:
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
            return [_study_row(study.spec, as_json) for _, study in found.studies.items()]
        case _:
            groups = [
                {"name": group.spec.group, "tasks": list(group.spec.task)}
                for _, group in found.groups.items()
            ]
            return [_task_row(task.spec) for _, task in found.tasks.items()] + groups


def _study_row(spec: StudySpec, as_json: bool) -> dict[str, Any]:
    cells = [(cell.readout.label, cell.condition.label) for cell in spec.cells]
    return {
        "name": spec.study,
        "cells": ["/".join(cell) for cell in cells] if as_json else by_readout(cells),
        "description": spec.description,
    }


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
        "ability": spec.ability,
        "condition": spec.bench.condition.label,
        "output_type": spec.output_type,
        "probe": None if probe is None else probe.kind,
        "tags": list(spec.tags),
    }
