"""The model is shown what it is asked about: markers on its images, or numbers in its prompt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from home import Home, noise

from vlmbench.spec import Condition, load_file
from vlmbench.tasks import Documents, apply_conditions, check_documents, load_documents
from vlmbench.types import Document, VlmbenchError

POINTS = {"kind": "point", "image": 1, "column": "points"}
REF = {"kind": "point", "image": 0, "column": "ref"}
BOXES = {"kind": "box", "image": 1, "column": "points"}
SIZE = (96, 64)
PROMPT = (
    "<image><image> Both are {{ w }}x{{ h }}. REF is ({{ ref[0] }}, {{ ref[1] }}), "
    "A {{ points[0] }}, B x={{ points[1][0] }}, y={{ points[1][1] }}."
)


def task(
    folder: Path, markers: object, *, row: Mapping[str, Any] | None = None, **keys: Any
) -> Documents:
    """Open a task of one document on two images."""
    home = Home(folder)
    for index, name in enumerate(("l.png", "r.png")):
        home.image(name, noise(index, SIZE))
    rows = [{"left": "l.png", "right": "r.png", "ref": [12, 40], "points": [[8, 8], [60, 41]],
             "answer": 1, "w": 96, "h": 64, **(row or {})}]  # fmt: skip
    regions = keys.pop("regions", {"reference": REF, "choices": POINTS})
    given = {"doc_to_text": "<image><image>Which?", "doc_to_image": ["left", "right"], **keys}
    path = home.task("t", rows, bench={"regions": regions, "markers": markers}, **given)
    return load_documents(load_file(path), "reported", folder)


def pixels(document: Document, image: int, *, clean: bool = False) -> np.ndarray:
    images = document.encoder_images if clean else document.images
    return np.asarray(images[image].decode())


def problem(documents: Documents) -> str:
    with pytest.raises(VlmbenchError) as caught:
        check_documents(documents)
    (found,) = caught.value.problems
    return str(found)


# --- markers -------------------------------------------------------------------------------------


def test_the_model_sees_markers_and_the_encoder_does_not(tmp_path: Path) -> None:
    document = task(tmp_path, {})[0]
    assert not document.marked
    for index, points in enumerate(([(12, 40)], [(8, 8), (60, 41)])):
        clean = pixels(document, index, clean=True)
        assert (clean == np.asarray(noise(index, SIZE))).all()
        changed = (pixels(document, index) != clean).any(axis=2)
        assert 0.01 < changed.mean() < 0.4
        for x, y in points:
            assert not changed[y, x]  # the ring leaves the place itself free
            assert changed[y, x + 4]
            assert changed[y, x - 4]


def test_only_images_that_hold_places_are_drawn_on(tmp_path: Path) -> None:
    document = task(tmp_path, {}, regions={"choices": POINTS})[0]
    assert document.images[0] is document.encoder_images[0]
    assert document.images[1] != document.encoder_images[1]


def test_labels_are_the_choices_without_brackets(tmp_path: Path) -> None:
    plain, bracketed, other = (
        pixels(task(tmp_path / name, {}, doc_to_choice=choices)[0], 1)
        for name, choices in (("a", ["A", "B"]), ("b", ["(A)", "(B)"]), ("c", ["X", "Y"]))
    )
    assert (plain == bracketed).all()
    assert (plain != other).any()


def test_boxes_are_outlined(tmp_path: Path) -> None:
    boxes = {"points": [[8, 8, 30, 40], [50, 10, 90, 60]]}
    document = task(tmp_path, {}, regions={"choices": BOXES}, row=boxes)[0]
    changed = (pixels(document, 1) != pixels(document, 1, clean=True)).any(axis=2)
    assert changed[30, 8]
    assert changed[30, 90]
    assert changed[59, 70]
    assert not changed[30, 12:28].any()
    assert not changed[35:55, 54:86].any()


@pytest.mark.parametrize(
    "other",
    [{"colour": [0, 0, 255]}, {"shape": "disc"}, {"radius": 6}, {"side": "below"},
     {"label_size": 12}, "drawn"],
)  # fmt: skip
def test_the_documents_digest_covers_what_the_model_sees(tmp_path: Path, other: object) -> None:
    first, second = (
        check_documents(task(tmp_path / name, markers))
        for name, markers in (("a", {}), ("b", other))
    )
    assert first != second
    assert first == check_documents(task(tmp_path / "c", {}))


def test_the_encoder_sees_markers_only_where_the_data_has_them(tmp_path: Path) -> None:
    assert task(tmp_path / "a", "drawn")[0].marked
    assert not task(tmp_path / "b", "text")[0].marked


def test_conditions_change_the_marked_images(tmp_path: Path) -> None:
    document = task(tmp_path, {})[0]
    (masked,) = apply_conditions([document], Condition.parse("mask-0.5"))
    kept = (pixels(masked, 1) != 127).any(axis=2)
    assert (pixels(masked, 1)[kept] == pixels(document, 1)[kept]).all()
    assert (pixels(masked, 1, clean=True)[kept] == pixels(document, 1, clean=True)[kept]).all()
    (evidence,) = apply_conditions([document], Condition.parse("evidence"))
    assert (pixels(evidence, 1)[41, 60] == 127).all()


@pytest.mark.parametrize(
    ("row", "keys", "words"),
    [
        ({}, {"doc_to_choice": ["A", "左"]}, ["'左' cannot be written", "doc_to_choice"]),
        ({}, {"doc_to_choice": ["A", "..."]}, ["'...' cannot be written"]),
        ({}, {"doc_to_choice": ["A", "the mug behind the tall glass"]},
         ["image 'right: r.png'", "the label 'the mug", "has 96 x 64", "`label_size`"]),
        ({"points": [[8, 8], [96, 41]]}, {}, ["lies outside image 1"]),
        ({"points": None}, {}, ["holds None", "regions.choices"]),
        ({"right": "broken.png"}, {}, ["cannot decode image 'right: broken.png'"]),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_names_file_document_and_remedy(
    tmp_path: Path, row: dict[str, Any], keys: dict[str, Any], words: list[str]
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    message = problem(task(tmp_path, {}, row=row, **keys))
    for word in ("t.yaml", "'test-0'", *words):
        assert word in message


# --- coordinates in the prompt -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({}, PROMPT),
        ({"ref": [12.4, 39.6]}, PROMPT.replace("{{ ref[0] }}, {{ ref[1] }}", "12, 40")),
        ({}, "<image><image>{{ w }} by {{ h }} pixels: {{ ref }} is which of {{ points }}?"),
    ],
)
def test_coordinates_in_the_prompt_are_found(tmp_path: Path, row: dict, text: str) -> None:
    check_documents(task(tmp_path, "text", row=row, doc_to_text=text))


@pytest.mark.parametrize(
    ("old", "new", "lacks"),
    [
        (PROMPT, "<image><image>Which?", "the point 12, 40; the point 8, 8; the point 60, 41; the"),
        ("{{ ref[0] }}, {{ ref[1] }}", "{{ ref[1] }}, {{ ref[0] }}", "give the point 12, 40\n"),
        ("A {{ points[0] }}", "A {{ points[1] }}", "give the point 8, 8\n"),
        ("{{ ref[0] }}", "{{ ref[0] / 96 }}", "give the point 12, 40\n"),
        ("{{ points[1][0] }}, y", "[{{ points[1][0] }}], [y]", "give the point 60, 41\n"),
        ("{{ w }}x{{ h }}", "small", "the size of image 0, 96 x 64; the size of image 1, 96 x 64"),
    ],
)
def test_coordinates_or_sizes_that_are_missing_are_named(
    tmp_path: Path, old: str, new: str, lacks: str
) -> None:
    message = problem(task(tmp_path, "text", doc_to_text=PROMPT.replace(old, new)))
    for word in (
        "t.yaml",
        "doc_to_text",
        "'test-0'",
        "the prompt does not give",
        lacks,
        "(12, 40)",
    ):
        assert word in message


def test_boxes_in_the_prompt_are_four_numbers(tmp_path: Path) -> None:
    row = {"points": [[8, 8, 30, 40], [50, 10, 90, 60]]}
    keys = {"regions": {"choices": BOXES}, "row": row}
    text = "<image><image>{{ w }} x {{ h }}: A {{ points[0] }}, B {{ points[1] }}?"
    check_documents(task(tmp_path / "a", "text", doc_to_text=text, **keys))
    text = text.replace("points[1]", "points[1][:2]")
    assert "the box 50, 10, 90, 60\n" in problem(
        task(tmp_path / "b", "text", doc_to_text=text, **keys)
    )
