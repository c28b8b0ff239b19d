"""Run folders written by hand, for reports to read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import handmade
import numpy as np
import pytest
from home import keyed

from vlmbench.metrics import StatRow, dump_rows, summarise, summarise_recorded
from vlmbench.types import ChoiceScores, Scale, Stat

CHOICES = {"depth": 2, "matching": 4, "naming": 4}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def voting(
    task: str, accuracy: float, *, seed: int, n: int = 120, scale: Scale = "similarity"
) -> ChoiceScores:
    """Answers of which a share `accuracy` is right; gold is the same for every seed."""
    choices = CHOICES[task]
    gold = np.random.default_rng(len(task)).integers(0, choices, n)
    right = np.random.default_rng(seed).random(n) < accuracy
    scores = np.zeros((n, choices))
    scores[np.arange(n), np.where(right, gold, (gold + 1) % choices)] = 1.0
    return handmade.scored(scores, gold, scale=scale, ids=task + "-{}")


def measured_rows(model: str, task: str, *, failed: int = 0):
    chance = 1 / CHOICES[task]
    seed = sum(model.encode())
    cells = {
        ("own", "prompted"): voting(task, chance + 0.05, seed=seed),
        ("blank", "prompted"): voting(task, chance, seed=seed + 1),
        ("own", "encoder"): voting(task, 0.9, seed=seed + 2),
        ("blank", "encoder"): voting(task, chance, seed=seed + 3),
    }
    cells["own", "encoder"].failed[:failed] = True
    return summarise(keyed(cells), model=model, task=task, seed=0)


def task_record(task: str):
    return handmade.task_record(
        task, digest=digest(task), documents=digest(task + " documents"),
        data=digest(task + " data"), alias=task.title(), source="drawn by hand",
        chance=1 / CHOICES[task],
    )  # fmt: skip


def model_record(model: str):
    return handmade.model_record(
        weights=digest(model), relation="identical", twin="an encoder", source="trained by hand"
    )


class RunFolder:
    """A run folder that can be changed before it is written."""

    def __init__(self, path: Path, models: tuple[str, ...], tasks: tuple[str, ...]) -> None:
        self.path = path
        self.rows = [
            row for model in models for task in tasks for row in measured_rows(model, task)
        ]
        self.manifest = handmade.manifest(
            {task: task_record(task) for task in tasks},
            {model: model_record(model) for model in models},
        ).model_dump(mode="json")

    def record(self, model: str, task: str, value: float) -> None:
        """Add a published number."""
        about = handmade.model_record(recorded=True, alias="Humans", source="a paper")
        self.manifest["models"][model] = about.model_dump(mode="json")
        self.rows += summarise_recorded(
            model=model, task=task, readout="human", value=value, chance=1 / CHOICES[task]
        )

    def rule(self, model: str, task: str, share: float) -> None:
        """Add a cheap rule of which a share is right."""
        about = handmade.model_record(rule=model, alias=model.replace("-", " "))
        self.manifest["models"][model] = about.model_dump(mode="json")
        cells = {("own", "rule"): voting(task, share, seed=sum(model.encode()))}
        self.rows += summarise(keyed(cells), model=model, task=task, seed=0)

    def untrained(self, model: str, task: str, share: float) -> None:
        """Add the encoder readout of a model with freshly drawn weights."""
        cells = {("own+random", "encoder"): voting(task, share, seed=sum(model.encode()) + 9)}
        self.rows += summarise(keyed(cells), model=model, task=task, seed=0)

    def answer_in_writing(self, model: str, task: str, *, unread: int, share: float = 0.9) -> None:
        """Ask a model in writing: a share is right, and of the first documents none is read."""
        self.rows = [row for row in self.rows if (row.model, row.task) != (model, task)]
        seed = sum(model.encode())
        asked = {
            (condition, "prompted"): voting(task, share, seed=seed, scale="vote")
            for condition in ("own", "blank")
        }
        for scores in asked.values():
            scores.abstained[:unread] = True
        encoder = {("own", "encoder"): voting(task, 0.9, seed=seed)}
        self.rows += summarise(keyed(asked | encoder), model=model, task=task, seed=0)
        self.manifest["tasks"][task]["answers"] = "declared-1"

    def unlikely(self, model: str, task: str, mass: float, low: float) -> None:
        """Add how probable a model finds all choices together."""
        values = {"choice_mass": mass, "choice_mass_p05": low}
        self.rows += [
            StatRow.of(
                Stat(value=value, n=120),
                model=model, task=task, condition="own", readout="prompted", metric=metric,
            )
            for metric, value in values.items()
        ]  # fmt: skip

    def write(self) -> Path:
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "stats.json").write_text(dump_rows(self.rows))
        (self.path / "manifest.json").write_text(json.dumps(self.manifest))
        return self.path


@pytest.fixture
def run_folder(tmp_path):
    """Build a run folder of the given name, models and tasks."""

    def build(name="run", models=("tiny-a",), tasks=("depth", "matching", "naming")) -> RunFolder:
        return RunFolder(tmp_path / name, models, tasks)

    return build


@pytest.fixture(scope="session")
def rows_with_failures():
    """Rows of a model whose encoder failed on some documents of a task."""
    return lambda model, task, failed: measured_rows(model, task, failed=failed)
