"""The instrument itself: where a model has been taught an ability, the measured gap closes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from vlmbench.models import HfBackend, resolve_device
from vlmbench.organisms._gate_abilities import more_documents
from vlmbench.organisms._gate_rows import Held
from vlmbench.organisms._tuning import Tuning, tune
from vlmbench.registry import catalogue
from vlmbench.tasks import load_documents

ABILITY = "object_3d"
TUNING = Tuning(part="all", steps=500, batch=16, rate=1e-3)


def run_gap(models: Path, name: str, output: Path, data_root: Path) -> dict[str, dict]:
    """Run the shipped `gap` study from the command line; returns its gap rows by task."""
    command = Path(sys.executable).with_name("vlmbench")
    subprocess.run(
        [command, "run", "--models", name, "--tasks", ABILITY, "--study", "gap",
         "--include-path", models, "--data-root", data_root, "--output", output],
        check=True,
    )  # fmt: skip
    rows = json.loads((output / "stats.json").read_text())
    return {row["task"]: row for row in rows if row["metric"] == "gap"}


@pytest.mark.soak
def test_the_gap_closes_where_the_ability_was_taught(tmp_path):
    found = catalogue()
    (shipped,) = found.select_models("tiny-clip")
    (task,) = found.select_tasks(ABILITY)
    data_root = tmp_path / "data"
    backend = HfBackend.load(shipped.spec, shipped.folder, *resolve_device("cpu", "float32"))
    documents = load_documents(task, "reported", data_root)
    held = Held(task, list(documents), [documents.prompt(document) for document in documents])
    train = more_documents(held, data_root)
    assert not {d.doc_id for d in train} & {d.doc_id for d in documents}
    torch.set_num_threads(2)
    tune(backend, tuple(train), [train.prompt(d) for d in train], task.spec, TUNING)

    taught = tmp_path / "models" / "taught"
    backend.model.save_pretrained(taught)
    backend.processor.save_pretrained(taught)
    spec = {**shipped.raw, "model": "taught", "model_alias": "taught", "checkpoint": str(taught)}
    (tmp_path / "models" / "taught.yaml").write_text(yaml.safe_dump(dict(spec)))

    before = run_gap(tmp_path / "models", "tiny-clip", tmp_path / "before", data_root)[ABILITY]
    after = run_gap(tmp_path / "models", "taught", tmp_path / "after", data_root)[ABILITY]
    assert before["low"] > 0.1, "the shipped model has a gap to close"
    assert after["low"] <= 0, "and the taught one has none"
    assert after["high"] < before["low"]
