"""Bad data is named (document, field, file) before any model is touched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from awkward import REFUSED, phone
from home import Home, task_keys
from PIL import Image

from vlmbench.spec import Condition, load_file
from vlmbench.tasks import apply_conditions, check_documents, load_documents, rule_scores
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
        ({"id": None}, ["row 1 has no 'id'", "id_column"]),
        ({"question": None}, ["d1", "doc_to_text", "would print None"]),
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


@pytest.mark.parametrize("name", REFUSED)
def test_an_image_that_shows_nothing_certain_is_named(tmp_path, name):
    path = write(tmp_path, [row(0), row(1, image=name)])
    (tmp_path / "data" / name).write_bytes(REFUSED[name]())
    (message,) = problems(path)
    assert "document 'd1'" in message
    assert f"cannot decode image 'image: {name}'" in message


def test_regions_are_pixels_of_the_upright_image(tmp_path):
    """Stored on its side, the image is 24 wide and 40 high; shown it is 40 wide and 24 high."""
    upright, stored = ([[0, 0, 4, 4], box] for box in ([30, 4, 40, 24], [4, 30, 24, 40]))
    path = write(tmp_path, [row(0, image="b.jpeg", boxes=upright)])
    (tmp_path / "data" / "b.jpeg").write_bytes(phone(6).data)
    check(path)
    (message,) = problems(write(tmp_path, [row(0, image="b.jpeg", boxes=stored)]))
    assert "lies outside image 0 of 40 x 24 pixels" in message
    assert "upright" in message


ALIKE = {
    "doc_to_text": "<image><image><image>Which is like the first?",
    "doc_to_image": ["first", "second", "third"],
    "bench": {
        "id_column": "id",
        "regions": {
            "reference": {"kind": "image", "images": [0]},
            "choices": {"kind": "image", "images": [1, 2]},
        },
    },
}


def strokes(density: float, seed: int) -> Image.Image:
    """Return black strokes on a transparent ground that is black underneath."""
    drawn = np.random.default_rng(seed).random((32, 32)) < density
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[drawn] = (0, 0, 0, 255)
    return Image.fromarray(pixels)


def depths(level: float, seed: int) -> Image.Image:
    """Return 16-bit greys, all above 255."""
    noise = np.random.default_rng(seed).normal(0, 400, (32, 32))
    return Image.fromarray((level * 65535 + noise).clip(256, 65535).astype(np.uint16))


@pytest.mark.parametrize("draw", [strokes, depths])
@pytest.mark.parametrize("rule", ["colour_histogram", "thumbnail"])
def test_a_rule_tells_drawings_and_deep_greys_apart(tmp_path, draw, rule):
    """Read as stored, all strokes are black on black and all greys white: every choice ties."""
    home, rows = Home(tmp_path), []
    for index in range(10):
        answer = index % 2
        levels = zip(("first", "second", "third"), ((0.25, 0.6)[answer], 0.25, 0.6), strict=True)
        shown = {
            name: home.image(f"{name}{index}.png", draw(level, 3 * index + ord(name[0])))
            for name, level in levels
        }
        rows.append({"id": f"d{index}", "answer": answer, **shown})
    documents = load_documents(load_file(home.task("alike", rows, **ALIKE)), "reported", tmp_path)
    scores = np.array([rule_scores(rule, document) for document in documents])
    assert (scores[:, 0] != scores[:, 1]).all()
    assert scores.argmax(axis=1).tolist() == [document.gold for document in documents]


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
    with pytest.raises(VlmbenchError, match="'test' has no documents"):
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
