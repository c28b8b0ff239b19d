"""Which file `vlmbench annotate` writes, and that it takes the place of no other."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from datasets import Dataset, Features, Value
from datasets import Image as ImageFeature
from home import Home, vlmbench
from PIL import Image
from rendered import Pen, draw

PEN = Pen(style="pillow", scale=1.6)
SPOTS = {"A": (50, 80), "B": (150, 70)}
MARKER = {"doc_id": "val_9", "image": 0, "label": "A", "x": 1, "y": 1, "confidence": 1.0}


def write(folder: Path, file: str, *, marked: bool = True) -> None:
    """Write a task on one image, drawn with its points or without."""
    image = Image.new("RGB", (220, 200), (120, 150, 130))
    if marked:
        image = draw(image, PEN, list(SPOTS.items()))
    features = Features({"id": Value("string"), "question": Value("string"),
                         "answer": Value("int64"), "image": ImageFeature()})  # fmt: skip
    row = {"id": "val_0", "question": "Which?", "answer": 0, "image": image}
    folder.mkdir(exist_ok=True)
    Dataset.from_list([row], features=features).to_parquet(str(folder / "rows.parquet"))
    regions = {"choices": {"kind": "point", "column": "points_choices"}, "missing": "skip"}
    bench = {"id_column": "id", "regions": regions, "markers": "drawn",
             "points": {"kind": "markers", "file": file}}  # fmt: skip
    files = {"data_files": {"test": "rows.parquet"}}
    Home(folder).task("t", [], dataset_path="parquet", dataset_kwargs=files, bench=bench)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VLMBENCH_DATA", str(tmp_path / "home"))
    return tmp_path / "own"


def annotate(own: Path, *more: object, status: int = 0) -> str:
    return vlmbench("annotate", "t", "-i", own, *more, status=status).words


@pytest.mark.parametrize("where", ["absolute", "up", "link"])
def test_a_file_elsewhere_is_left_as_it_is(own: Path, where: str) -> None:
    victim = own.parent / "notes.txt"
    victim.write_text("mine")
    names = {"absolute": str(victim), "up": "../../notes.txt", "link": str(own / "link")}
    write(own, names[where])
    (own / "link").symlink_to(victim)
    assert "nor in the task's folder" in annotate(own, status=1)
    assert victim.read_text() == "mine"
    assert "2 markers" in annotate(own, "--output", own.parent / "points.jsonl")


@pytest.mark.parametrize("there", ["mine", "{}", "\x00", "[" * 100_000])
@pytest.mark.parametrize("named", ["file", "--output"])
def test_what_is_no_file_of_markers_is_not_replaced(own: Path, there: str, named: str) -> None:
    write(own, str(own / "points.jsonl"))
    (own / "points.jsonl").write_text(there)
    more = ["--output", own / "points.jsonl"] if named == "--output" else []
    assert "is not a file of markers" in annotate(own, *more, status=1)
    assert (own / "points.jsonl").read_text() == there


def test_neither_a_folder_nor_a_pipe_is_replaced(own: Path) -> None:
    write(own, str(own / "points.jsonl"))
    os.mkfifo(own / "points.jsonl")
    assert "is not a file of markers" in annotate(own, status=1)
    assert "is not a file of markers" in annotate(own, "--output", own, status=1)


def test_where_nothing_is_found_what_was_found_before_stays(own: Path) -> None:
    write(own, "t.jsonl", marked=False)
    file = own.parent / "home" / "annotations" / "t.jsonl"
    assert "nothing is written" in annotate(own, status=3)
    assert not file.exists()
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(MARKER) + "\n")
    assert "nothing is written" in annotate(own, status=3)
    assert json.loads(file.read_text()) == MARKER


def test_a_file_beside_the_task_is_written_and_nothing_half_done_is_left(own: Path) -> None:
    write(own, str(own / "points.jsonl"))
    (own / "points.jsonl").write_text(json.dumps(MARKER) + "\n")
    assert "2 markers" in annotate(own)
    found = [json.loads(line) for line in (own / "points.jsonl").read_text().splitlines()]
    assert {row["doc_id"] for row in found} == {"val_0"}
    assert {path.name for path in own.iterdir()} == {
        "data",
        "points.jsonl",
        "rows.parquet",
        "t.yaml",
    }


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1" + "0" * 400, "1" * 5000, "1e999"])
def test_coordinates_that_are_no_pixels_are_refused(own: Path, value: str) -> None:
    write(own, "t.jsonl")
    file = own.parent / "home" / "annotations" / "t.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(MARKER).replace('"x": 1', f'"x": {value}'))
    said = vlmbench("show", "t", "-i", own, "--output", own, status=1).words
    assert "t.jsonl:1" in said


def test_an_image_that_cannot_be_decoded_is_named(own: Path) -> None:
    write(own, "t.jsonl")
    Home(own).task("t2", [{"question": "?", "answer": 0, "image": "a.png"}], bench={
        "regions": {"choices": {"kind": "point", "column": "points_choices"}, "missing": "skip"},
        "markers": "drawn", "points": {"kind": "markers", "file": "t2.jsonl"},
    })  # fmt: skip
    (own / "data" / "a.png").write_bytes(b"no picture")
    said = vlmbench("annotate", "t2", "-i", own, status=1).words
    assert "document 'test-0'" in said
    assert "cannot decode image" in said
