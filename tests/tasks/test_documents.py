"""Bad data is named (document, field, file) before any model is touched."""

from __future__ import annotations

from pathlib import Path

import pytest
from home import Home, task_keys
from PIL import Image

from vlmbench.spec import Condition, load_file
from vlmbench.tasks import apply_conditions, check_documents, load_documents
from vlmbench.types import VlmbenchError

BENCH = {
    "id_column": "id", "markers": "drawn",
    "regions": {"choices": {"kind": "box", "image": 0, "column": "boxes"}},
}  # fmt: skip
KEYS = {
    "doc_to_choice": "choices", "bench": BENCH,
    "dataset_kwargs": {"data_files": {"test": "data/mine.jsonl"}},
}  # fmt: skip
DRAWN = task_keys(
    "drawn", dataset_path=None, doc_to_image=["image_1"], doc_to_choice=list("ABCD"),
    doc_to_target="gold",
    bench={"id_column": "doc_id", "generator": {"world": "naming", "test": 6}},
)  # fmt: skip


def row(index: int, **changes: object) -> dict[str, object]:
    return {
        "id": f"d{index}", "question": "Which?", "image": "a.png", "choices": ["A", "B"],
        "answer": index % 2, "boxes": [[0, 0, 4, 4], [4, 4, 20, 10]],
    } | changes  # fmt: skip


def write(folder: Path, rows: list[dict[str, object]], **keys: object) -> Path:
    home = Home(folder)
    home.image("a.png", Image.new("RGB", (20, 10), (40, 90, 160)))
    return home.task("mine", rows, **KEYS | keys)


def check(path: Path, limit: int | None = None) -> str:
    return check_documents(load_documents(load_file(path), "reported", path.parent, limit))


def problems(path: Path) -> list[str]:
    with pytest.raises(VlmbenchError) as caught:
        check(path)
    return [str(problem) for problem in caught.value.problems]


def test_good_documents_pass(tmp_path):
    path = write(tmp_path, [row(i) for i in range(3)])
    documents = load_documents(load_file(path), "reported", tmp_path)
    first = documents[0]
    assert (first.doc_id, first.choices, first.gold) == ("d0", ("A", "B"), 0)
    assert first.candidates[1].xy == (4, 4, 20, 10)
    assert documents.prompt(first) == "<image>Which?"
    assert first.marked  # no unmarked images are named


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image": "gone.png"}, ["d1", "gone.png", "doc_to_image", "mine.yaml"]),
        ({"answer": 2}, ["d1", "doc_to_target", "mine.yaml", "2"]),
        ({"answer": "C"}, ["d1", "doc_to_target", "'C'"]),
        ({"id": "d0"}, ["d0", "rows 0 and 1", "id_column"]),
        ({"boxes": [[0, 0, 4, 4], [4, 4, 21, 10]]}, ["d1", "21", "20 x 10", "regions"]),
        ({"boxes": [[0, 0, 4, 4]]}, ["d1", "1 regions for 2 choices"]),
        ({"boxes": [[0, 0, 4], [1, 1, 2]]}, ["d1", "coordinates", "boxes"]),
        ({"question": "<image>?"}, ["d1", "2 <image> for 1 images", "doc_to_text"]),
        ({"choices": ["A", "A"]}, ["d1", "doc_to_choice", "twice"]),
    ],
)
def test_every_fault_names_document_field_and_file(tmp_path, changes, words):
    path = write(tmp_path, [row(0), row(1, **changes), row(2)])
    (message,) = problems(path)
    for word in words:
        assert word in message


def test_corrupt_image(tmp_path):
    path = write(tmp_path, [row(0), row(1, image="broken.png")])
    data = tmp_path / "data"
    (data / "broken.png").write_bytes((data / "a.png").read_bytes()[:40])
    messages = problems(path)
    assert any("d1" in m and "broken.png" in m and "decode" in m for m in messages)


def test_all_faults_come_at_once_and_repeats_are_counted(tmp_path):
    rows = [row(i, image=f"gone{i}.png") for i in range(30)]
    messages = problems(write(tmp_path, rows))
    assert len(messages) == 21
    assert "10 more documents" in messages[-1]


def test_unknown_placeholder_names_the_columns(tmp_path):
    path = write(tmp_path, [row(0)], doc_to_text="<image>{{ qestion }}")
    (message,) = problems(path)
    assert "no column `qestion`" in message
    assert "Did you mean `question`? Columns: id, question, image" in message
    assert "mine.yaml" in message


def test_empty_split(tmp_path):
    path = write(tmp_path, [row(0)])
    (tmp_path / "data" / "mine.jsonl").write_text("")
    with pytest.raises(VlmbenchError, match="'test' holds no documents"):
        check(path)


def test_missing_data_file_names_it(tmp_path):
    path = write(tmp_path, [row(0)])
    (tmp_path / "data" / "mine.jsonl").unlink()
    (message,) = problems(path)
    assert "mine.jsonl" in message


def test_digest_follows_content_not_place(tmp_path):
    folders = [tmp_path / name for name in ("one", "two", "three")]
    digests = [check(write(folder, [row(0), row(1)])) for folder in folders[:2]]
    assert digests[0] == digests[1]
    path = write(folders[2], [row(0), row(1)])
    Image.new("RGB", (20, 10), (41, 90, 160)).save(folders[2] / "data" / "a.png")
    assert check(path) != digests[0]
    assert check(path, limit=1) != check(path)


def test_a_limit_draws_no_more_of_a_world_and_changes_no_document(tmp_path):
    task = load_file(Home(tmp_path).write("drawn.yaml", DRAWN))
    part = load_documents(task, "reported", tmp_path / "part", limit=2)
    kept = {path.name for path in (tmp_path / "part").rglob("*.*")}
    assert kept == {"test-first-2.json", "test-first-2.parquet"}
    whole = load_documents(task, "reported", tmp_path / "whole")
    assert (len(part), part.total, len(whole), whole.total) == (2, 6, 6, 6)
    assert list(part) == list(whole)[:2]


def test_blank_keeps_sizes_and_questions(tmp_path):
    path = write(tmp_path, [row(0), row(1)])
    documents = load_documents(load_file(path), "reported", tmp_path)
    blank = apply_conditions(list(documents), Condition(image="blank"))
    picture = blank[0].images[0].decode()
    assert picture.size == (20, 10)
    assert picture.getcolors() == [(200, (127, 127, 127))]
    assert blank[0].images[0].digest == blank[1].encoder_images[0].digest
    assert blank[0].candidates == documents[0].candidates
    assert apply_conditions([documents[0]], Condition()) == [documents[0]]
