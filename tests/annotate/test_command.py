"""`vlmbench annotate` by command line, and its file read back by the task that wants it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset, Features, Value
from datasets import Image as ImageFeature
from home import vlmbench
from PIL import Image
from rendered import Pen, draw

from vlmbench.registry import catalogue
from vlmbench.tasks import load_documents

PEN = Pen(style="pillow", scale=1.6)
REF = (70, 90)
SPOTS = {"A": (50, 80), "B": (150, 70), "C": (60, 160), "D": (170, 150)}
TASK = """
include: blink_visual_correspondence.yaml
task: my_points
dataset_path: parquet
dataset_name: null
dataset_kwargs: {data_files: {val: val.parquet}}
metadata:
  vlmbench:
    points: {kind: markers, file: my_points.jsonl}
    source: {documents: null}
"""


def picture(seed: int, markers) -> Image.Image:
    blocks = np.random.default_rng(seed).integers(60, 200, (5, 6, 3), dtype=np.uint8)
    return draw(Image.fromarray(blocks).resize((220, 200), Image.Resampling.BICUBIC), PEN, markers)


def row(number: int, spots: dict[str, tuple[int, int]]) -> dict[str, object]:
    return {
        "idx": f"val_{number}", "prompt": "Which?", "answer": "(B)",
        "image_1": picture(2 * number, [("REF", REF)]),
        "image_2": picture(2 * number + 1, list(spots.items())),
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A task in BLINK's schema, whose second document of two lacks a marker."""
    monkeypatch.setenv("VLMBENCH_DATA", str(tmp_path / "home"))
    text, image = Value("string"), ImageFeature()
    features = Features(
        {"idx": text, "prompt": text, "answer": text, "image_1": image, "image_2": image}
    )
    rows = [row(0, SPOTS), row(1, {label: SPOTS[label] for label in "ABC"})]
    task = tmp_path / "task"
    task.mkdir()
    Dataset.from_list(rows, features=features).to_parquet(str(task / "val.parquet"))
    shipped = next(
        found.path for name, found in catalogue(()).tasks.items()
        if name == "blink_visual_correspondence"
    )  # fmt: skip
    text_of = TASK.replace("blink_visual_correspondence.yaml", str(shipped))
    (task / "my_points.yaml").write_text(text_of)
    return tmp_path


def test_the_file_is_where_the_task_reads_it(folder) -> None:
    printed = vlmbench(
        "annotate", "my_points", "--include-path", folder / "task", "--review", folder / "review",
        status=3,
    ).out  # fmt: skip
    assert "left out val_1: image 1 has no marker D" in printed
    assert "5 markers from 1 of 2 documents" in printed
    assert [page.name for page in (folder / "review").iterdir()] == ["review-001.png"]
    rows = (folder / "home" / "annotations" / "my_points.jsonl").read_text().splitlines()
    assert {json.loads(text)["doc_id"] for text in rows} == {"val_0"}

    (task,) = catalogue((folder / "task",)).select_tasks("my_points")
    whole, lacking = load_documents(task, "reported", folder)
    assert whole.reference is not None
    assert whole.reference.xy == pytest.approx(REF, abs=0.4)
    assert [region.image for region in whole.candidates] == [1, 1, 1, 1]
    for region, spot in zip(whole.candidates, SPOTS.values(), strict=True):
        assert region.xy == pytest.approx(spot, abs=0.4)
    assert lacking.candidates == ()


def test_whole_documents_end_with_0_and_a_stale_file_is_replaced(folder) -> None:
    output = folder / "home" / "annotations" / "my_points.jsonl"
    output.parent.mkdir(parents=True)
    stale = {"doc_id": "other", "image": 0, "label": "A", "x": 1, "y": 1, "confidence": 1.0}
    output.write_text(json.dumps(stale))
    vlmbench("annotate", "my_points", "-i", folder / "task", "--limit", 1)
    assert len(output.read_text().splitlines()) == 5


def test_what_has_no_points_is_refused(folder) -> None:
    said = vlmbench("annotate", "blink_art_style", status=1)
    assert "does not ask about points" in said.err
    assert "one task at a time" in vlmbench("annotate", "blink_*", status=1).err
