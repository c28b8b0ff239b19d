"""From a run's records to verdicts, cards and plots, without any model."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import handmade
import numpy as np
import pytest
from home import HEAVY, loaded_by
from threadpoolctl import threadpool_info, threadpool_limits

from vlmbench.cli._explain import explain_all
from vlmbench.diagnostics import TESTS, Analysis, analyses
from vlmbench.report.cards import explain, on_console, write_card
from vlmbench.spec import Condition, Hint, OwnImages, Perturbation, SwappedImages
from vlmbench.store import Run, RunFolder
from vlmbench.types import VlmbenchError

N, CHOICES = 120, 4
LABELS = [
    "own", "blank", "none", "swapped", "own+single", "blur-0.5", "blur-1", "mask-0.5", "mask-1",
    "own+hint-wrong-weak", "own+hint-wrong-medium", "own+hint-wrong-strong",
]  # fmt: skip


def logits(sight: float, label: str, gold: np.ndarray, hinted: np.ndarray) -> np.ndarray:
    """What a model says that reads the choice an image shows with weight `sight`."""
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(N, CHOICES))
    rows = np.arange(N)
    condition = Condition.parse(label)
    match condition.image:
        case OwnImages():
            scores[rows, gold] += sight
        case SwappedImages():
            scores[rows, np.roll(gold, 1)] += sight
        case Perturbation() as change:
            scores[rows, gold] += sight * (1 - change.strength)
    if isinstance(condition.text, Hint):
        scores[rows, hinted] += 1.0
    return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))


class Folder:
    """A finished run of hand-made models."""

    def __init__(self, path: Path) -> None:
        self.folder = RunFolder(path)
        self.models: list[str] = []
        self.cells: list[str] = []

    def add(self, model: str, task: str, sight: float, labels=LABELS, encoder: bool = True) -> None:
        self.models.append(model)
        gold = np.random.default_rng(0).integers(0, CHOICES, N)
        hinted = (gold + 1) % CHOICES
        for label in labels:
            scores = logits(sight, label, gold, hinted)
            targets = hinted if "hint" in label else None
            about = handmade.basis(model, task, "prompted", label)
            self._write(about, gold, scores, targets)
        if encoder:
            knows = logits(8.0, "own", gold, hinted)
            self._write(handmade.basis(model, task, "encoder", "own"), gold, knows, None)

    def _write(self, about, gold, scores, targets) -> None:
        held = handmade.scored(scores, gold, ids=about.task + "-{}")
        self.cells.append(handmade.write(self.folder, about, held, hint_targets=targets))

    def finish(self) -> Run:
        tasks = dict.fromkeys(["naming", "depth", "pointing"])
        return handmade.finish(self.folder, tasks, self.models, self.cells)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = Folder(tmp_path_factory.mktemp("run"))
    folder.add("some/seer", "naming", 8.0)
    folder.add("some/seer", "depth", 0.0)
    folder.add("some/seer", "pointing", 0.0, encoder=False)
    folder.add("other", "naming", 8.0, labels=[])
    return folder.finish()


def test_a_seeing_and_a_blind_model_are_told_apart(run: Run) -> None:
    found = {task.task: task for task in explain(run, "some/seer").tasks}
    assert found["naming"].verdict.name == "uses its vision"
    assert found["depth"].verdict.name == "visual neglect"
    assert found["naming"].verdict.would_change
    assert "depend" in found["depth"].verdict.reason


def test_without_an_encoder_readout_the_verdict_says_so(run: Run) -> None:
    (task,) = explain(run, "some/seer", tasks=["pointing"]).tasks
    assert task.verdict.name == "visual neglect"
    assert any("not measured: accuracy of the encoder" in line for line in task.verdict.seen)


def test_files_are_the_same_bytes_every_time(run: Run, tmp_path: Path) -> None:
    explanation = explain(run, "some/seer", tasks=["depth"])
    for folder in ("a", "b"):
        write_card(explanation, tmp_path / folder)
    files = [path.relative_to(tmp_path / "a") for path in sorted((tmp_path / "a").rglob("*.*"))]
    assert Path("some--seer.md") in files
    assert Path("some--seer/outcomes.json") in files
    assert {path.stem for path in files if path.suffix == ".svg"} >= {
        "summary", "answers", "override", "sensitivity", "information", "confidence",
    }  # fmt: skip
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    text = (tmp_path / "a" / "some--seer.md").read_text()
    for plot in (path for path in files if path.suffix == ".svg"):
        assert f"({plot})" in text
    assert "**Verdict: visual neglect**" in text
    read = json.loads((tmp_path / "a" / "some--seer" / "outcomes.json").read_text())
    assert len(read["tasks"]["depth"]["outcomes"]) == len(TESTS)


def test_thresholds_of_ones_own_decide(run: Run, tmp_path: Path) -> None:
    from vlmbench.diagnostics._thresholds import SHIPPED

    mine = tmp_path / "mine.yaml"
    mine.write_text(SHIPPED.read_text().replace("gain:\n  value: 0.10", "gain:\n  value: 0.99"))
    (task,) = explain(run, "some/seer", tasks=["naming"], thresholds=mine).tasks
    assert task.verdict.name == "visual neglect"


@pytest.mark.parametrize(
    ("model", "tasks", "said"),
    [
        ("some/sear", [], "Did you mean `some/seer`"),
        ("some/seer", ["namin"], "Did you mean `naming`"),
        ("other", [], "--study diagnose"),
    ],
)
def test_what_cannot_be_explained_is_refused(run, model, tasks, said) -> None:
    with pytest.raises(VlmbenchError) as refused:
        explain(run, model, tasks=tasks)
    assert said in str(refused.value)


def test_a_run_in_an_earlier_format_must_be_repeated(run: Run) -> None:
    old = replace(run, manifest=run.manifest.model_copy(update={"format": 0, "cells": ()}))
    with pytest.raises(VlmbenchError, match="earlier format") as refused:
        explain(old, "some/seer")
    assert "Run the study again" in refused.value.problems[0].remedy


def test_the_terminal_keeps_to_eighty_columns(run: Run) -> None:
    from rich.console import Console

    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    with console.file:
        console.print(on_console(explain(run, "some/seer", tasks=["depth"])))
        text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "visual neglect" in text
    assert "What would have changed the verdict" in text


def test_the_command_prints_and_never_imports_torch(run: Run, tmp_path: Path) -> None:
    command = ("explain", run.name, "-m", "some/seer", "-t", "naming", "-o", str(tmp_path))
    code = f"from home import vlmbench\nassert 'uses its vision' in vlmbench(*{command!r}).out"
    assert loaded_by(code, HEAVY | {"matplotlib.pyplot"}) == set()
    assert (tmp_path / "some--seer.md").is_file()


def test_models_side_by_side_are_explained_as_in_turn(run: Run, capsys) -> None:
    def explained(workers: int) -> tuple[str, dict[Path, bytes]]:
        explain_all(run, ["some/seer", "other"], workers=workers)
        files = sorted(run.folder.diagnostics.rglob("*.*"))
        return capsys.readouterr().out, {file: file.read_bytes() for file in files}

    said, files = explained(1)
    assert "visual neglect" in said
    assert "Could not explain this run" in said
    assert len(files) > 10
    shutil.rmtree(run.folder.diagnostics)
    assert explained(2) == (said, files)


def threads() -> set[int]:
    """How many threads numpy, scipy and scikit-learn may use."""
    return {library["num_threads"] for library in threadpool_info()}


def test_records_are_explained_on_one_thread_whatever_the_machine_has(run: Run, monkeypatch):
    found: list[set[int]] = []
    looking = Analysis(name="threads", title="", run=lambda *_: found.append(threads()))
    monkeypatch.setattr(analyses, "ANALYSES", (looking,))
    with threadpool_limits(2):
        explain(run, "some/seer", tasks=["depth"])
        assert threads() == {2}
    assert found == [{1}]
