"""Worlds are called like their tasks, and a renamed one goes on drawing the same documents."""

from __future__ import annotations

import re
from pathlib import Path

from vlmbench.registry import catalogue
from vlmbench.tasks import load_documents
from vlmbench.tasks.worlds import WORLDS


def test_a_renamed_world_keeps_the_ids_of_its_documents(tmp_path: Path) -> None:
    (task,) = catalogue().select_tasks("object_3d")
    document = load_documents(task, "reported", tmp_path, 1)[0]
    assert document.doc_id == "odd_one_out-test-00000"


def test_every_world_is_called_like_its_task() -> None:
    generators = {
        task.spec.task: task.spec.bench.generator for _, task in catalogue().tasks.items()
    }
    called = {task: drawn.world for task, drawn in generators.items() if drawn is not None}
    variants = re.compile("_(blind|generate|easy|hard)$")
    assert called == {task: variants.sub("", task) for task in called}
    assert set(called.values()) == set(WORLDS)


def test_the_group_difficulty_has_every_ability_at_three_levels() -> None:
    found: dict[str, list[object]] = {}
    files = set()
    for task in catalogue().select_tasks("difficulty"):
        drawn = task.spec.bench.generator
        assert drawn is not None
        found.setdefault(drawn.world, []).append(drawn.options["difficulty"])
        assert isinstance(task.spec.dataset_kwargs.data_files, dict)
        files.add(task.spec.dataset_kwargs.data_files["test"])
    abilities = {task.spec.task for task in catalogue().select_tasks("worlds")}
    assert found == {world: [0.0, 0.5, 1.0] for world in abilities}
    assert len(files) == 3 * len(abilities)  # no other harness reads one level's data for another
