"""What a plan lacks of worlds is drawn before it is opened, all of it in one go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from home import ROOT

from vlmbench.plan import Plan, make_plan
from vlmbench.registry import catalogue
from vlmbench.run import Settings, check_tasks
from vlmbench.tasks.worlds import _build
from vlmbench.types import VlmbenchError


class Told:
    """Keeps which steps begin, and their totals."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int]] = []

    def start(self, label: str, total: int) -> Callable[[int], None]:
        self.steps.append((label, total))
        return lambda done: None

    def expect(self, answers: int) -> None:
        raise AssertionError("nothing is answered")


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Three documents each of two tasks, both with a probe that is fitted on two other splits."""
    for name, base in (("one", "naming"), ("two", "depth")):
        (tmp_path / f"{name}.yaml").write_text(
            f"include: {ROOT / 'tasks' / base}.yaml\ntask: {name}\n"
            "metadata: {vlmbench: {generator: {train: 6, validation: 2, test: 4}}}\n"
        )
    found = catalogue([tmp_path])
    (study,) = found.select_studies("gap")
    models, tasks = found.select_models("tiny-clip"), found.select_tasks("one,two")
    return make_plan(models, tasks, study, limit=3, count=lambda task: None)


def settings(folder: Path) -> Settings:
    return Settings(
        output=folder / "run", data_root=folder / "data", cache=folder / "cache", device="cpu"
    )


def test_all_that_will_be_opened_is_drawn_in_one_go(plan, tmp_path, monkeypatch):
    told = Told()
    first = check_tasks(plan, settings(tmp_path), told)
    assert told.steps == [("draw documents", 2 * (3 + 6 + 2)), ("check data", 2)]
    monkeypatch.delattr(_build, "drawn_row")  # nothing can be drawn now
    again = check_tasks(plan, settings(tmp_path), told)
    assert told.steps[2:] == [("check data", 2)]
    assert {name: task.digest for name, task in again.items()} == {
        name: task.digest for name, task in first.items()
    }


def test_what_cannot_be_drawn_is_said_of_its_task(plan, tmp_path, monkeypatch):
    def refuse() -> None:
        raise VlmbenchError("no rays")

    monkeypatch.setattr(_build, "require_embree", refuse)
    told = Told()
    with pytest.raises(VlmbenchError, match="no rays"):
        check_tasks(plan, settings(tmp_path), told)
    assert told.steps == [("check data", 2)]
