"""Worlds are called like their tasks, and a renamed one goes on drawing the same documents."""

from __future__ import annotations

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
    assert called == {
        task: task.removesuffix("_blind").removesuffix("_generate") for task in called
    }
    assert set(called.values()) == set(WORLDS)
