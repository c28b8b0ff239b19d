"""Models run side by side leave what models run in turn leave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from multiprocessing import active_children
from pathlib import Path

import pytest
from home import Home
from PIL import Image

from vlmbench.plan import make_plan
from vlmbench.registry import catalogue
from vlmbench.run import Settings, _execute, execute
from vlmbench.spec import load_file
from vlmbench.types import VlmbenchError


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = Home(tmp_path_factory.mktemp("home"))
    image = home.image("black.png", Image.new("RGB", (8, 8)))
    rows = [
        {"id": f"doc{index}", "image": image, "choices": ["short", "rather long"],
         "question": "Which?", "answer": int(index % 4 == 0), "points": None}
        for index in range(12)
    ]  # fmt: skip
    regions = {"missing": "skip", "choices": {"kind": "point", "image": 0, "column": "points"}}
    bench = {"id_column": "id", "regions": regions, "markers": "drawn"}
    home.task("mine", rows, doc_to_choice="{{ choices }}", bench=bench)
    return home.folder


class Counting:
    """Adds up what it is told."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()

    def start(self, label: str, total: int) -> Callable[[int], None]:
        def advance(done: int) -> None:
            self.done[label] += done

        return advance

    def expect(self, answers: int) -> None:
        self.done["expected"] += answers


class Killing(Counting):
    """Ends every other process as soon as one of them begins a step."""

    def start(self, label: str, total: int) -> Callable[[int], None]:
        for process in active_children():
            process.kill()
        return super().start(label, total)


def run(
    home: Path, output: Path, models: str, workers: int, reporter: Counting | None = None
) -> Counter[str]:
    found, reporter = catalogue(), reporter or Counting()
    (study,) = found.select_studies("gap")
    plan = make_plan(
        found.select_models(models), [load_file(home / "mine.yaml")], study, count=lambda task: None
    )
    settings = Settings(
        output=output, data_root=home, cache=output / "cache", device="cpu", workers=workers
    )
    execute(plan, settings, reporter)
    return reporter.done


def written(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def test_two_at_a_time_write_the_same_bytes_and_report_the_same_progress(home, tmp_path):
    models = "rule-first-choice,rule-longest-choice"
    told = {n: run(home, tmp_path / str(n), models, workers=n) for n in (1, 2)}
    assert len(written(tmp_path / "1")) == 5  # two records, stats, results and manifest
    assert written(tmp_path / "2") == written(tmp_path / "1")
    assert told[2] == told[1]
    assert sorted(told[1].values()) == [1, 12, 12, 24]


def test_problems_in_another_process_arrive_whole(home, tmp_path):
    found = []
    for workers in (1, 2):
        with pytest.raises(VlmbenchError, match="all 12 documents") as raised:
            run(home, tmp_path / str(workers), "rule-first-choice,rule-lower-point", workers)
        found.append(raised.value.problems)
        assert not (tmp_path / str(workers) / "manifest.json").exists()
    assert found[0] == found[1]
    assert found[0][0].file.endswith("rule-lower-point.yaml")


def test_processes_begin_while_the_data_is_looked_at(home, tmp_path, monkeypatch):
    """And where there is something wrong with it, none is left."""
    before, begun = set(active_children()), []

    def refuse(*_: object) -> None:
        begun.extend(set(active_children()) - before)
        raise VlmbenchError("no data")

    monkeypatch.setattr(_execute, "check_tasks", refuse)
    for workers, processes in ((1, 0), (2, 2)):
        with pytest.raises(VlmbenchError, match="no data"):
            run(home, tmp_path, "rule-first-choice,rule-longest-choice", workers)
        assert len(begun) == processes
    assert not set(active_children()) - before


def test_a_process_that_is_killed_is_told_of(home, tmp_path):
    with pytest.raises(VlmbenchError, match="killed from outside") as raised:
        run(home, tmp_path, "rule-first-choice,rule-longest-choice", 2, Killing())
    assert "--workers" in raised.value.problems[0].remedy
