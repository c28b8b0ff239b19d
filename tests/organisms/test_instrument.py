"""The instrument itself: where a model has been taught an ability, the measured gap closes.

The ability is to name the style a scene is drawn in. No shipped model was ever taught it (its
training images are never stylised, the names are none of its words), while a linear probe on
its encoder tells styles apart. Two abilities of the suite were tried before: 260 steps on
`object_3d` and 100 on `art_style` left the loss where a guess leaves it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from vlmbench.models import HfBackend, resolve_device
from vlmbench.organisms._tuning import Tuning, tune
from vlmbench.registry import catalogue
from vlmbench.tasks import load_documents
from vlmbench.tasks.worlds import WORLDS
from vlmbench.tasks.worlds._build import drawn_row

TASK = {
    "task": "style",
    "dataset_path": "parquet",
    "training_split": "train",
    "validation_split": "validation",
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_image": ["image"],
    "doc_to_text": (
        "<image>\nIn which style is the image drawn?\n"
        '{% for choice in choices %}({{ "ABCD"[loop.index0] }}) {{ choice }}\n'
        "{% endfor %}Answer with the letter:"
    ),
    "doc_to_choice": ["A", "B", "C", "D"],
    "doc_to_target": "gold",
    "metadata": {
        "vlmbench": {
            "ability": "art_style",
            "id_column": "doc_id",
            "probe": {"rule": "linear", "label_column": "label", "choices_column": "choices"},
        }
    },
}
SIZES = {"train": 400, "validation": 60, "test": 100}
"""Rows of the world `art_style` that are drawn for each split; each has three images."""

TUNING = Tuning(part="all", steps=400, batch=16, rate=1e-3)


def write_task(folder: Path) -> None:
    """Write the task and its data: single images of the world `art_style`, four names each."""
    folder.mkdir()
    files = {}
    for split, count in SIZES.items():
        drawn = [
            drawn_row(WORLDS["art_style"], seed=7, split=split, index=index, count=count,
                      options={"difficulty": 0.5})
            for index in range(count)
        ]  # fmt: skip
        names = sorted({style for row in drawn for style in row["styles"]})
        rng = np.random.default_rng(11)
        rows = []
        for row in drawn:
            for place, label in enumerate(row["styles"], start=1):
                others = rng.permutation([name for name in names if name != label])[:3]
                choices = [str(name) for name in rng.permutation([label, *others])]
                rows.append(
                    {
                        "doc_id": f"{row['doc_id']}-{place}",
                        "image": Image.fromarray(row[f"image_{place}"]),
                        "label": label,
                        "choices": choices,
                        "gold": choices.index(label),
                    }
                )
        files[split] = str(folder / f"{split}.parquet")
        data = datasets.Dataset.from_list(rows).cast_column("image", datasets.Image())
        data.to_parquet(files[split])
    task = {**TASK, "dataset_kwargs": {"data_files": files}}
    (folder / "style.yaml").write_text(yaml.safe_dump(task))


def run_gap(folder: Path, models: str, output: Path) -> dict[str, dict]:
    """Run the shipped `gap` study from the command line; returns the gap row of each model."""
    command = Path(sys.executable).with_name("vlmbench")
    subprocess.run(
        [command, "run", "--models", models, "--tasks", "style", "--study", "gap",
         "--include-path", folder, "--output", output],
        check=True,
    )  # fmt: skip
    rows = json.loads((output / "stats.json").read_text())
    return {row["model"]: row for row in rows if row["metric"] == "gap"}


@pytest.mark.soak
def test_the_gap_closes_where_the_ability_was_taught(tmp_path):
    folder = tmp_path / "style"
    write_task(folder)
    found = catalogue((folder,))
    (shipped,), (task,) = found.select_models("tiny-clip"), found.select_tasks("style")
    backend = HfBackend.load(shipped.spec, shipped.folder, *resolve_device("cpu", "float32"))
    train = load_documents(task, "train", tmp_path)
    torch.set_num_threads(2)
    documents = tuple(train)
    tune(backend, documents, [train.prompt(d) for d in documents], task.spec, TUNING)

    backend.model.save_pretrained(folder / "taught")
    backend.processor.save_pretrained(folder / "taught")
    spec = {**shipped.raw, "model": "taught", "model_alias": "taught", "checkpoint": "./taught"}
    (folder / "taught.yaml").write_text(yaml.safe_dump(spec))

    gaps = run_gap(folder, "tiny-clip,taught", tmp_path / "run")
    assert gaps["tiny-clip"]["low"] > 0.2, "the shipped model has a gap to close"
    assert gaps["taught"]["low"] <= 0, "and the taught one has none"
    board = tmp_path / "board"
    command = Path(sys.executable).with_name("vlmbench")
    subprocess.run([command, "leaderboard", tmp_path / "run", "--output", board], check=True)
    page = (board / "README.md").read_text()
    assert "taught" in page
