"""A plan's cells as units of work: every batch has one, and what learns is kept together."""

from __future__ import annotations

import json

import pytest
from home import Home, vlmbench

from vlmbench.plan import Cell, make_plan, units_of
from vlmbench.registry import catalogue


@pytest.fixture(scope="module")
def cells() -> list[Cell]:
    """Of `naming`, whose encoder is fitted on its training split, and of `object_3d`."""
    found = catalogue()
    (study,) = found.select_studies("gap")
    models, tasks = found.select_models("tiny-clip"), found.select_tasks("naming,object_3d")
    return list(make_plan(models, tasks, study, count=lambda task: None).cells)


def test_a_cell_has_a_share_for_every_256_documents_or_as_many_as_asked(cells):
    (cell, *_) = [cell for cell in cells if not cell.learns]
    for documents, shares in (1, 1), (256, 1), (257, 2), (100_000, 391):
        units = units_of([(cell, documents)])
        assert [unit.share for unit in units] == [(which, shares) for which in range(shares)]
        assert all(unit.cells == (cell,) for unit in units)
    assert len(units_of([(cell, 3)], 5)) == 5


def test_cells_that_learn_are_one_unit_a_task(cells):
    units = units_of([(cell, 1000) for cell in cells], 3)
    learning = [unit for unit in units if unit.share == (0, 1)]
    assert [{cell.task.spec.task for cell in unit.cells} for unit in learning] == [{"naming"}]
    assert all(cell.learns for unit in learning for cell in unit.cells)
    apart = [cell for cell in cells if not cell.learns]
    assert len(units) == len(learning) + 3 * len(apart)


def test_a_plan_for_ray_says_units_actors_and_hours():
    asked = ("plan", "--models", "tiny-clip", "--tasks", "object_3d", "--executor", "ray")
    said = vlmbench(*asked, "--shards", 4, "--passes-per-second", 2).words
    rows = json.loads(vlmbench(*asked, "--shards", 4, "--json").out)
    passes = sum(row["forward_passes"] for row in rows)
    assert {row["shares"] for row in rows} == {4}
    units = 4 * len(rows)
    assert f"tiny-clip: {units} units, so at most {units} actors can work at once" in said
    assert f"{passes / 2 / 3600:.3g} actor-hours at 2 passes a second" in said
    assert "actor-hours" not in vlmbench(*asked).words


def test_shares_of_a_task_of_unknown_length_are_not_guessed(tmp_path):
    home = Home(tmp_path)
    home.pairs("mine", 1)
    asked = ("plan", "--models", "tiny-clip", "--tasks", "mine", "--include-path", tmp_path)
    assert "at least 3 units" in vlmbench(*asked, "--executor", "ray").words
    rows = json.loads(vlmbench(*asked, "--executor", "ray", "--json").out)
    assert {row["shares"] for row in rows} == {None}
