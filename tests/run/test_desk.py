"""What a cluster's actors tell: counted once, of one set of weights, and not copied for each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from home import Home

from vlmbench.plan import Unit, make_plan
from vlmbench.readouts import Answer
from vlmbench.registry import catalogue
from vlmbench.run import Cluster, Settings, check_tasks
from vlmbench.run._desk import ModelDesk
from vlmbench.run._model_run import ModelRun
from vlmbench.run._pool import Work
from vlmbench.run._worker import Some, Whole
from vlmbench.types import VlmbenchError

CELL = "tiny/pairs/prompted-own"


class Nobody:
    """Shows no progress."""

    def start(self, label: str, total: int):
        return lambda done: None

    def expect(self, answers: int) -> None:
        pass


def answers(*numbers: int) -> dict[str, Answer]:
    return {f"doc{number}": Answer(scores=np.array([0.0, -number])) for number in numbers}


@pytest.fixture
def run(tmp_path, llava_folder: Path) -> ModelRun:
    home = Home(tmp_path)
    home.pairs("pairs", 6)
    home.model("tiny", llava_folder)
    home.study("asked", {"readout": "prompted"})
    found = catalogue([home.folder])
    (study,) = found.select_studies("asked")
    plan = make_plan(
        found.select_models("tiny"), found.select_tasks("pairs"), study, count=lambda task: None
    )
    settings = Settings(
        output=tmp_path / "run", data_root=tmp_path, cache=tmp_path / "cache", device="cpu",
        cluster=Cluster(shards=3),
    )  # fmt: skip
    tasks = check_tasks(plan, settings, Nobody())
    return ModelRun(plan.models[0], plan, settings, tasks, Nobody())


def desk(run: ModelRun) -> ModelDesk:
    return ModelDesk(run, None, lambda name: None)


def held(run: ModelRun) -> set[str]:
    (cell,) = run.cells
    return set(run.ledger(cell, run.tasks["pairs"]).held())


def test_shares_have_what_an_earlier_run_answered_once_for_all(run):
    first = desk(run)
    first.take(first.waiting[0], Some(CELL, answers(0, 1), {"model": "a"}))
    one, two, three = desk(run).waiting
    assert set(one.held[CELL]) == {"doc0", "doc1"}
    assert one.held[CELL] is two.held[CELL] is three.held[CELL]
    again = desk(run)
    one, two, three = again.waiting
    again.take(one, Some(CELL, answers(1, 2), {"model": "a"}))
    assert set(one.held[CELL]) == {"doc0", "doc1", "doc2"}
    assert set(two.held[CELL]) == {"doc0", "doc1"}


def test_answers_of_other_weights_never_reach_the_journal(run):
    at = desk(run)
    one, two, _ = at.waiting
    at.take(one, Some(CELL, answers(0), {"model": "a"}))
    with pytest.raises(VlmbenchError, match="of other weights"):
        at.take(two, Some(CELL, answers(1), {"model": "b"}))
    assert held(run) == {"doc0"}
    (cell,) = run.cells
    work = Work(Unit(cells=(cell,)), {CELL: answers(0)})
    with pytest.raises(VlmbenchError, match="of other weights"):
        desk(run).take(work, Whole(CELL, None, {"model": "b"}))
    assert held(run) == {"doc0"}
