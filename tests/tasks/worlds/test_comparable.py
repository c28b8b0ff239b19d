"""Runs made when a world was named by a hash of its source share a table with runs of today."""

from __future__ import annotations

from pathlib import Path

import pytest
from vlmbench.report._run import Manifest, Run

from vlmbench.registry import catalogue
from vlmbench.report import assemble
from vlmbench.tasks import check_documents, load_documents
from vlmbench.tasks.worlds import WORLDS
from vlmbench.types import ComparisonError

# Task: what the manifests of those runs hold as `digest` (its first hex digits) and `data`.
BEFORE = {
    "art_style": ("9fe200639b62", "bf4b3f9b687c65c9"),
    "depth": ("1378d9f5f284", "0eb755555facd988"),
    "low_level_matching": ("c6a1eb291a10", "37950a6bb9d65f80"),
    "naming": ("2f276feb91b9", "094c2a84fab82a78"),
    "object_3d": ("1d41eb11cc50", "bf9463c5f443ff09"),
    "object_3d_blind": ("91b21df53f63", "bf9463c5f443ff09"),
    "object_3d_generate": ("c1fa384ae1d4", "bf9463c5f443ff09"),
    "object_affordance": ("a2249a44eb8d", "2077c403f979b58e"),
    "pointing": ("2ec6691fb15b", "f294b1eecd9048ca"),
    "semantic_correspondence": ("f5e4ad6d985b", "dca5d3b037e05085"),
}


def run(task: str, **said: object) -> Run:
    """A run of one task, without numbers."""
    entry = {"n": 2, "limit": 2, "ability": task, "chance": 0.5, **said}
    manifest = {
        "complete": True,
        "study": "gap",
        "seed": 0,
        "versions": {"vlmbench": "0.1.0", "metrics": 1},
        "tasks": {task: entry},
        "models": {},
    }
    return Run(name=str(said), manifest=Manifest.model_validate(manifest), rows=())


@pytest.mark.parametrize("name", BEFORE)
def test_runs_from_before_worlds_had_versions_still_compare(name: str, tmp_path: Path) -> None:
    (task,) = catalogue().select_tasks(name)
    documents = load_documents(task, "reported", tmp_path, 2)
    digest, data = BEFORE[name]
    held = check_documents(documents)
    today = run(name, digest=task.digest[:12], data=documents.source, documents=held)
    assert documents.source != data
    assemble([run(name, digest=digest, data=data, documents=held), today])
    with pytest.raises(ComparisonError, match="documents"):
        assemble([run(name, digest=digest, data=data, documents="others"), today])


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
