"""Joined coordinates: right where known, absent where not, never doubtful."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from vlmbench.spec import load_file
from vlmbench.tasks import Documents, check_documents, load_documents, require_regions
from vlmbench.types import Document, VlmbenchError

TASKS = Path(__file__).parents[3] / "tasks" / "hidden_in_plain_sight"
SPOTS = [(20.0, 30.0), (120.0, 25.0), (40.0, 95.0), (130.0, 90.0)]


def documents(name: str) -> Documents:
    return load_documents(load_file(TASKS / f"{name}.yaml"), "reported", Path("unused"))


def places(document: Document) -> list[tuple[float, ...]]:
    return [region.xy for region in document.candidates]


@pytest.fixture
def own(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the published data that a test may spoil."""
    home = tmp_path / "data"
    shutil.copytree(published, home, ignore=shutil.ignore_patterns("cache"))
    monkeypatch.setenv("VLMBENCH_DATA", str(home))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    return home


# --- VPBench -------------------------------------------------------------------------------------


def test_semantic_points_come_from_the_unmarked_originals(home: Path) -> None:
    found = list(documents("blink_semantic_correspondence"))
    for index, document in enumerate(found[:5]):
        assert document.reference is not None
        assert document.reference.xy == (30.0, 40.0)
        assert places(document) == SPOTS
        # The pair that belongs to this document, although VPBench lists them in reverse.
        original = home / "longlian/VPBench/BLINK_semantic_data/semantic_correspondence/images"
        assert document.encoder_images[1].data == (original / f"cat/t{index}.jpg").read_bytes()
        assert document.encoder_images[0].size == (160, 120)
        assert document.images[0].size == (320, 240)
        assert not document.marked
    assert found[5].candidates == ()


def test_depth_points(home: Path) -> None:
    found = list(documents("blink_relative_depth"))
    assert [places(document) for document in found] == [SPOTS[:2]] * 5 + [[]]
    assert found[0].reference is None


def spoil(own: Path, change) -> None:
    path = own / "longlian/VPBench/BLINK_depth_data/depth/perceptioneval_depth_dev.json"
    rows = json.loads(path.read_text())
    path.write_text(json.dumps(change(rows) or rows))


def test_a_row_whose_answer_differs_is_no_partner(own: Path) -> None:
    def flip(rows):
        rows[0]["human_answer_2"] = "A" if rows[0]["human_answer_2"] == "B" else "B"

    spoil(own, flip)
    found = list(documents("blink_relative_depth"))
    assert [bool(document.candidates) for document in found] == [True] * 4 + [False] * 2


def test_of_two_fitting_rows_the_named_one_is_taken_else_none(own: Path) -> None:
    def repeat(rows):  # so close that the ring is there for both
        again = dict(rows[-1], point_A=[21.0, 31.0], question_id="val_Relative_Depth_1")
        rows.append(again)

    spoil(own, repeat)
    assert places(documents("blink_relative_depth")[0])[0] == (21.0, 31.0)

    def unname(rows):
        rows[-1]["question_id"] = "other"

    spoil(own, unname)
    assert documents("blink_relative_depth")[0].candidates == ()


def test_points_without_a_ring_are_not_believed(own: Path) -> None:
    def move(rows):
        rows[-1]["point_B"] = [80.0, 60.0]

    spoil(own, move)
    found = list(documents("blink_relative_depth"))
    assert [bool(document.candidates) for document in found] == [False] + [True] * 4 + [False]


def test_a_pair_asked_about_twice_is_told_apart_by_its_rings(own: Path) -> None:
    def repeat(rows):
        rows.append(dict(rows[-1], point_A=[60.0, 60.0]))

    spoil(own, repeat)
    assert places(documents("blink_relative_depth")[0]) == SPOTS[:2]


def test_a_picture_of_another_shape_is_no_partner(own: Path) -> None:
    path = own / "longlian/VPBench/BLINK_depth_data/depth/images/0.jpg"
    Image.open(path).resize((160, 140)).save(path)
    assert documents("blink_relative_depth")[0].candidates == ()


def test_a_release_for_other_documents_is_refused(own: Path) -> None:
    def move(rows):
        for row in rows:
            row["human_answer_2"] = "C"

    spoil(own, move)
    with pytest.raises(VlmbenchError, match="none of 6 documents"):
        documents("blink_relative_depth")


def test_an_unsound_release_names_row_and_key(own: Path) -> None:
    def drop(rows):
        del rows[1]["point_A"]
        rows[2]["point_B"] = [500, 5]

    spoil(own, drop)
    with pytest.raises(VlmbenchError) as caught:
        documents("blink_relative_depth")
    assert "row 1: KeyError 'point_A'" in str(caught.value)
    assert "(500.0, 5.0) lies outside" in str(caught.value)


# --- recovered markers ---------------------------------------------------------------------------


def test_markers_join_by_id_and_uncertain_ones_are_left_out(home: Path) -> None:
    found = list(documents("blink_visual_correspondence"))
    doubled = [(2 * x, 2 * y) for x, y in SPOTS]
    assert [places(document) for document in found[:2]] == [doubled, doubled]
    assert found[0].reference is not None
    assert found[0].reference.xy == (60.0, 80.0)
    assert found[0].reference.image == 0
    assert [bool(document.candidates) for document in found] == [
        True,
        True,
        False,
        False,
        True,
        True,
    ]
    assert found[2].reference is None  # no half-known document
    assert all(document.marked for document in found)
    check_documents(documents("blink_visual_correspondence"))


def annotations(own: Path) -> Path:
    return own / "annotations" / "blink_visual_correspondence.jsonl"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "1: not valid JSON"),
        ('{"doc_id": "a"}', "1: image, label, x, y, confidence missing"),
        (
            '{"doc_id": "a", "image": 0, "label": "REF", "x": "1", "y": 2, "confidence": true}',
            "1: x, confidence missing or of the wrong type",
        ),
    ],
)
def test_bad_annotations_name_file_and_line(own: Path, line: str, message: str) -> None:
    path = annotations(own)
    path.write_text(line + "\n" + path.read_text())
    with pytest.raises(VlmbenchError) as caught:
        documents("blink_visual_correspondence")
    assert f"blink_visual_correspondence.jsonl:{message}" in str(caught.value)


def test_a_marker_given_twice_is_refused(own: Path) -> None:
    path = annotations(own)
    first = path.read_text().splitlines()[0]
    path.write_text(path.read_text() + first + "\n")
    with pytest.raises(VlmbenchError, match="'val_Visual_Correspondence_1' has the marker REF"):
        documents("blink_visual_correspondence")


def test_annotations_of_another_data_set_are_refused(own: Path) -> None:
    path = annotations(own)
    path.write_text(path.read_text().replace("val_", "test_"))
    with pytest.raises(VlmbenchError, match="none of its documents"):
        documents("blink_visual_correspondence")


def test_points_outside_their_image_are_refused(own: Path) -> None:
    path = annotations(own)
    path.write_text(path.read_text().replace('"x": 60.0', '"x": 900.0', 1))
    with pytest.raises(VlmbenchError, match="lies outside image 0 of 320 x 240"):
        check_documents(documents("blink_visual_correspondence"))


# --- absent --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "gone", "command"),
    [
        ("blink_relative_depth", "longlian", "hf download longlian/VPBench --repo-type dataset"),
        (
            "blink_visual_correspondence",
            "annotations",
            "vlmbench annotate blink_visual_correspondence",
        ),
    ],
)
def test_without_coordinates_a_task_can_be_asked_but_its_encoder_cannot(
    own: Path, name: str, gone: str, command: str
) -> None:
    shutil.rmtree(own / gone)
    found = documents(name)
    check_documents(found)
    assert len(found) == 6
    with pytest.raises(VlmbenchError) as caught:
        require_regions(found, list(found))
    assert command in str(caught.value)


def test_null_columns_are_refused_unless_the_task_allows_them(own: Path, tmp_path: Path) -> None:
    text = (TASKS / "blink_relative_depth.yaml").read_text()
    assert "      missing: skip\n" in text
    strict = tmp_path / "strict.yaml"
    text = text.replace("      missing: skip\n", "")
    strict.write_text(text.replace("_blink.yaml", str(TASKS / "_blink.yaml")))
    with pytest.raises(VlmbenchError, match="val_Relative_Depth_6"):
        check_documents(load_documents(load_file(strict), "reported", tmp_path))
