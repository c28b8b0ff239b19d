"""Finished runs made by hand: every part that a manifest or record must have, filled in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from string import ascii_uppercase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmbench.metrics import StatRow
from vlmbench.spec import Condition
from vlmbench.store import (
    Basis,
    Exchange,
    Manifest,
    ModelRecord,
    Run,
    RunFolder,
    TaskRecord,
    Versions,
)
from vlmbench.types import ChoiceScores, Internals, Scale

VERSIONS = Versions(vlmbench="0.1.0", metrics=1, numpy="2", torch=None)


def task_record(ability: str = "seeing", **changes: Any) -> TaskRecord:
    about = {
        "digest": "d", "reading": "r", "documents": "d", "data": "d",
        "n": 120, "of": 120, "limit": None,
        "chance": 0.5, "marked": False, "ability": ability, "alias": None, "version": 1.0,
        "source": None,
    }  # fmt: skip
    return TaskRecord(**about | changes)


def model_record(**changes: Any) -> ModelRecord:
    about = dict.fromkeys(ModelRecord.model_fields) | {
        "recorded": False, "digest": "d", "unused_weights": (),
    }  # fmt: skip
    return ModelRecord(**about | changes)


def manifest(
    tasks: Mapping[str, TaskRecord], models: Mapping[str, ModelRecord], **changes: Any
) -> Manifest:
    about = {
        "study": "gap", "seed": 0, "versions": VERSIONS, "tasks": dict(tasks),
        "models": dict(models), "plan": "p", "study_digest": "s", "limit": None,
        "platform": "a machine", "cells": (), "skipped": (),
    }  # fmt: skip
    return Manifest(**about | changes)


def basis(
    model: str = "m", task: str = "t", readout: str = "prompted", label: str = "own", **changes: Any
) -> Basis:
    about = {
        "key": "k", "model": model, "task": task, "readout": readout,
        "condition": Condition.parse(label), "documents": "d", "fitted_on": "",
        "checkpoint": (("some/model", None), (("config.json", 12, 345),)), "device": "cpu",
        "dtype": "torch.float32", "versions": VERSIONS,
    }  # fmt: skip
    return Basis(**about | changes)


def exchanges(
    n: int, hint_targets: Sequence[int] | None = None, *, choices: str = "AB"
) -> list[Exchange]:
    targets = [-1] * n if hint_targets is None else hint_targets
    return [
        Exchange(choices=tuple(choices), marked=False, hint_target=int(target), prompt=f"p{index}")
        for index, target in enumerate(targets)
    ]


def scored(
    scores: NDArray[Any],
    gold: NDArray[Any] | Sequence[int],
    *,
    scale: Scale = "logprob",
    ids: str = "doc-{}",
    **more: Any,
) -> ChoiceScores:
    """Return (documents, choices) scores, all of them read; `more` replaces fields."""
    n, k = np.shape(scores)
    about: dict[str, Any] = {
        "doc_ids": tuple(ids.format(i) for i in range(n)), "gold": np.asarray(gold, np.int64),
        "n_choices": np.full(n, k), "scores": np.asarray(scores, float), "scale": scale,
        "abstained": np.zeros(n, bool), "failed": np.zeros(n, bool),
    }  # fmt: skip
    return ChoiceScores(**about | more)


def scores(n: int = 3) -> ChoiceScores:
    return scored(np.arange(2.0 * n).reshape(n, 2), [0] * n, ids="d{}")


def write(
    folder: RunFolder,
    about: Basis,
    held: ChoiceScores,
    *,
    hint_targets: Sequence[int] | None = None,
    internals: Internals | None = None,
) -> str:
    """Write a cell's record; return the cell's name."""
    cell = f"{about.model}/{about.task}/{about.readout}-{about.condition.label}"
    asked = exchanges(len(held), hint_targets, choices=ascii_uppercase[: held.scores.shape[1]])
    folder.record(cell).write(
        about, held, asked, weights={}, fitted={}, notes={}, internals=internals
    )
    return cell


def finish(
    folder: RunFolder,
    tasks: Iterable[str],
    models: Iterable[str],
    cells: Iterable[str] = (),
    rows: Sequence[StatRow] = (),
) -> Run:
    """Write the manifest of a run of these tasks, models and records."""
    about = manifest(
        {task: task_record(task) for task in tasks},
        {model: model_record() for model in models},
        cells=tuple(cells),
    )
    return folder.finish(about, rows, {})
