"""Published layouts on disk become documents whose points lie where the release says."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from vlmbench.spec import Reader, load_file
from vlmbench.tasks import check_documents, load_documents
from vlmbench.tasks._markers import blink_style
from vlmbench.tasks.sources import read_source
from vlmbench.tasks.sources._hpatches import corners, project
from vlmbench.tasks.sources._nyuv2 import two_points
from vlmbench.types import VlmbenchError

TASKS = Path(__file__).parents[3] / "tasks" / "hidden_in_plain_sight"
SOURCES = {
    "spair71k_correspondence": "SPair-71k",
    "hpatches_matching": "hpatches-sequences-release",
    "funkpoint_affordance": "funkpoint_curated_dataset",
    "da2k_depth": "DA-2K",
    "nyuv2": "nyu_depth_v2",
}


def rows(layout: str, split: str = "test", **options) -> list[dict]:
    with tempfile.TemporaryDirectory() as cache:
        return read_source(Reader(layout=layout, **options), split, cache=Path(cache)).to_list()


def pixels(cell: dict) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(cell["bytes"])))


def fresh(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> Path:
    """A copy of one data set that a test may spoil."""
    shutil.copytree(published / name, tmp_path / name)
    monkeypatch.setenv("VLMBENCH_DATA", str(tmp_path))
    return tmp_path / name


@pytest.mark.parametrize("name", [*SOURCES, *(f"{name}_blind" for name in SOURCES)])
def test_every_source_task_loads_and_checks(home: Path, name: str) -> None:
    found = load_documents(load_file(TASKS / f"{name}.yaml"), "reported", home)
    check_documents(found)
    assert all(document.candidates and not document.marked for document in found)


@pytest.mark.parametrize(("name", "folder"), SOURCES.items())
def test_missing_data_is_answered_by_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, folder: str
) -> None:
    monkeypatch.setenv("VLMBENCH_DATA", str(tmp_path))
    with pytest.raises(VlmbenchError) as caught:
        load_documents(load_file(TASKS / f"{name}.yaml"), "reported", tmp_path)
    message = str(caught.value)
    assert str(tmp_path / folder) in message
    assert any(word in message for word in ("wget http", "git clone http", "hf download"))


@pytest.mark.parametrize("layout", ["spair71k", "hpatches", "funkpoint", "da2k", "nyuv2"])
def test_the_same_seed_gives_the_same_rows_and_letters_are_dealt_evenly(
    home: Path, layout: str
) -> None:
    first = rows(layout, seed=3)
    assert rows(layout, seed=3) == first
    assert rows(layout, seed=4) != first
    counts = Counter(row["gold"] for row in first)
    n_choices = len(first[0]["points"])
    assert max(counts.values()) - min(counts[i] for i in range(n_choices)) <= 1
    assert len({row["doc_id"] for row in first}) == len(first)


@pytest.mark.parametrize("layout", ["spair71k", "hpatches", "da2k"])
def test_markers_are_drawn_on_the_marked_images_only_and_about_the_points(
    home: Path, layout: str
) -> None:
    for row in rows(layout)[:3]:
        last = 2 if layout != "da2k" else 1
        plain, marked = pixels(row[f"unmarked_{last}"]), pixels(row[f"image_{last}"])
        changed = (plain != marked).any(axis=2)
        assert changed.any()
        height, width = changed.shape
        radius = blink_style((width, height)).radius
        for x, y in row["points"]:
            around = [
                (int(x + radius * dx), int(y + radius * dy))
                for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1))
                if 0 <= x + radius * dx < width and 0 <= y + radius * dy < height
            ]
            assert any(
                changed[max(0, b - 1) : b + 2, max(0, a - 1) : a + 2].any() for a, b in around
            )


def test_what_was_read_is_kept_until_a_file_changes(published, tmp_path, monkeypatch) -> None:
    root = fresh(published, tmp_path, monkeypatch, "DA-2K")
    cache = tmp_path / "cache"
    reader = Reader(layout="da2k")

    def read() -> list[dict]:
        return read_source(reader, "test", cache=cache).to_list()

    first = read()
    (path,) = cache.glob("*/test.parquet")
    written = path.stat().st_mtime_ns
    assert read() == first
    assert path.stat().st_mtime_ns == written
    changed, pixels = root / "images" / "0.jpg", bytearray((root / "images" / "0.jpg").read_bytes())
    pixels[-40] ^= 1
    times = changed.stat()
    changed.write_bytes(pixels)  # as large as before
    os.utime(changed, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert read() != first
    assert len(list(cache.glob("*/test.parquet"))) == 2
    assert not list(cache.glob("*/.test*"))


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "folder"])
def test_what_is_kept_and_has_changed_is_read_again(
    damage, published, tmp_path, monkeypatch
) -> None:
    fresh(published, tmp_path, monkeypatch, "DA-2K")
    cache, reader = tmp_path / "cache", Reader(layout="da2k")
    first = read_source(reader, "test", cache=cache).to_list()
    (path,) = cache.glob("*/test.parquet")
    data = path.read_bytes()
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    path.unlink()
    if damage == "folder":
        path.mkdir()
    else:
        path.write_bytes({"cut": data[:-9], "empty": b"", "flipped": bytes(flipped)}[damage])
    assert read_source(reader, "test", cache=cache).to_list() == first
    assert path.read_bytes() == data


def test_nothing_is_kept_of_a_source_that_fails(published, tmp_path, monkeypatch) -> None:
    root = fresh(published, tmp_path, monkeypatch, "DA-2K")
    (root / "images" / "2.jpg").write_bytes(b"no picture")
    cache = tmp_path / "cache"
    with pytest.raises(VlmbenchError, match=r"2\.jpg: it is not an image"):
        read_source(Reader(layout="da2k"), "test", cache=cache)
    assert not [path for path in cache.rglob("*") if path.is_file()]


# --- SPair-71k -----------------------------------------------------------------------------------


def test_spair_matches_key_points_by_index(home: Path) -> None:
    points = {(20.0, 30.0), (120.0, 25.0), (40.0, 95.0), (159.0, 119.0)}
    found = rows("spair71k")
    assert len(found) == 6
    for row in found:
        # Both pictures of the fixture are one, so the right candidate is REF's own place.
        assert row["points"][row["gold"]] == row["reference"]
        assert {tuple(point) for point in row["points"]} == points  # never both that touch
        assert row["category"] == "cat"


def test_spair_documents_are_drawn_from_all_pairs(home: Path) -> None:
    few = rows("spair71k", documents=2)
    assert len(few) == 2
    every = [row["doc_id"] for row in rows("spair71k", documents=None)]
    assert {row["doc_id"] for row in few} < set(every)
    assert every != sorted(every)


def test_a_missing_picture_of_a_pair_is_named(published, tmp_path, monkeypatch) -> None:
    root = fresh(published, tmp_path, monkeypatch, "SPair-71k")
    (root / "JPEGImages" / "cat" / "2008_000003.jpg").unlink()
    with pytest.raises(VlmbenchError) as caught:
        rows("spair71k")
    assert "2008_000003.jpg" in str(caught.value)
    assert "SPair-71k.tar.gz" in str(caught.value)


# --- HPatches ------------------------------------------------------------------------------------


def test_hpatches_maps_image_1_to_image_k(home: Path) -> None:
    right, wrong = [], []
    for row in rows("hpatches"):
        first, other = (pixels(row[f"unmarked_{i}"]).astype(float) for i in (1, 2))
        at = patch(first, row["reference"])
        for index, point in enumerate(row["points"]):
            difference = np.abs(patch(other, point) - at).mean()
            (right if index == row["gold"] else wrong).append(difference)
    assert len(right) == 10
    assert max(right) < 25 < np.median(wrong)


def patch(image: np.ndarray, point: list[float]) -> np.ndarray:
    x, y = (round(value) for value in point)
    padded = np.pad(image, ((4, 4), (4, 4), (0, 0)), mode="edge")
    return padded[y : y + 9, x : x + 9]


def test_projection_in_closed_form() -> None:
    matrix = np.array([[2.0, 0, 1], [0, 4.0, 3], [0, 0, 2]])
    points = np.array([[0.0, 0], [3, 5]])
    np.testing.assert_allclose(project(matrix, points), [[0.5, 1.5], [3.5, 11.5]])
    behind = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, -1]])
    assert np.isnan(project(behind, points)).all()


def test_corners_lie_on_corners() -> None:
    image = np.zeros((120, 160), np.uint8)
    image[40:80, 50:110] = 255
    found = corners(Image.fromarray(image))
    expected = np.array([[50, 40], [110, 40], [50, 80], [110, 80]])
    assert len(found) == 4
    distance = np.hypot(*(found[:, None] - expected[None]).transpose(2, 0, 1))
    assert sorted(distance.argmin(1)) == [0, 1, 2, 3]
    assert distance.min(1).max() < 4


def test_every_sequence_comes_before_any_comes_twice(home: Path) -> None:
    names = [row["doc_id"].split("-")[1] for row in rows("hpatches", documents=4)]
    assert set(names[:2]) == set(names[2:]) == {"i_lamp", "v_wall"}


def test_an_odd_homography_is_refused(published, tmp_path, monkeypatch) -> None:
    root = fresh(published, tmp_path, monkeypatch, "hpatches-sequences-release")
    for k in range(2, 7):
        (root / "v_wall" / f"H_1_{k}").write_text("1 0 0\n0 1 0\n")
    with pytest.raises(VlmbenchError, match="3 x 3"):
        rows("hpatches")


# --- FunKPoint -----------------------------------------------------------------------------------


def test_funkpoint_pairs_categories_and_scales_fractions(home: Path) -> None:
    found = rows("funkpoint", documents=None)
    assert len(found) == 4  # cup-jug twice, each way round; never cup-cup
    allowed = [[(2 * i + 1) / 12 * 160 - 0.5, (2 * i + 2) / 12 * 120 - 0.5] for i in range(5)]
    for row in found:
        assert row["action"] == "Pour"
        np.testing.assert_allclose(row["points"][row["gold"]], row["reference"])
        for point in row["points"]:
            assert np.abs(np.array(allowed) - point).max(1).min() < 1e-9


def test_an_annotation_without_a_column_is_refused(published, tmp_path, monkeypatch) -> None:
    root = fresh(published, tmp_path, monkeypatch, "funkpoint_curated_dataset")
    with (root / "all_samples.csv").open("w", newline="") as lines:
        csv.writer(lines).writerow(["action", "p1_x"])
    with pytest.raises(VlmbenchError, match="object_category, dataset_image_path, p1_y"):
        rows("funkpoint")


# --- DA-2K ---------------------------------------------------------------------------------------


def test_da2k_turns_rows_and_columns_and_letters(home: Path) -> None:
    found = rows("da2k", documents=None)
    assert len(found) == 6
    closer = [row["points"][row["gold"]] for row in found]
    assert Counter(map(tuple, closer)) == {(20.0, 30.0): 3, (50.0, 100.0): 3}
    assert {row["gold"] for row in found} == {0, 1}


def test_da2k_honours_closer_point(published, tmp_path, monkeypatch) -> None:
    root = fresh(published, tmp_path, monkeypatch, "DA-2K")
    path = root / "annotations.json"
    table = json.loads(path.read_text())
    for pairs in table.values():
        pairs[0]["closer_point"] = "point2"
    path.write_text(json.dumps(table))
    closer = [tuple(row["points"][row["gold"]]) for row in rows("da2k", documents=None)]
    assert Counter(closer) == {(130.0, 90.0): 3, (50.0, 100.0): 3}
    table["images/0.jpg"][0]["closer_point"] = "neither"
    path.write_text(json.dumps(table))
    with pytest.raises(VlmbenchError, match=r"images/0.jpg, pair 0: closer_point is 'neither'"):
        rows("da2k", documents=None, seed=9)


def test_large_pictures_are_reduced_with_their_points(published, tmp_path, monkeypatch) -> None:
    root = fresh(published, tmp_path, monkeypatch, "DA-2K")
    Image.new("RGB", (4096, 2048)).save(root / "images" / "big.jpg")
    pair = {"point1": [1000, 2000], "point2": [2047, 4095], "closer_point": "point1"}
    (root / "annotations.json").write_text(json.dumps({"images/big.jpg": [pair]}))
    (row,) = rows("da2k")
    assert pixels(row["image_1"]).shape == (512, 1024, 3)
    near, far = row["points"][row["gold"]], row["points"][1 - row["gold"]]
    # Pixel 2000 of 4096 has its centre at 2000.5, which is 500.125 of 1024: pixel 499.625.
    np.testing.assert_allclose(near, [499.625, 249.625])
    np.testing.assert_allclose(far, [1023, 511])


# --- NYU Depth V2 --------------------------------------------------------------------------------


def test_nyuv2_splits_and_axes(home: Path) -> None:
    train, validation, test = (rows("nyuv2", split) for split in ("train", "validation", "test"))
    # 16 frames, every third one a test frame; one in ten of the others, the last, validates.
    assert [row["doc_id"] for row in validation] == ["validation-0015"]
    assert len(train) == 10
    assert {row["doc_id"] for row in test} == {f"test-{i:04d}" for i in (2, 5, 8, 11, 14)}
    assert all(row["points"] is None for row in train)
    row = train[0]
    depth = pixels(row["depth_1"])
    assert depth.dtype == np.uint16
    assert depth.shape == (48, 64)
    assert pixels(row["image_1"]).shape == (48, 64, 3)
    with h5py.File(home / "nyu_depth_v2" / "nyu_depth_v2_labeled.mat") as file:
        stored = file["images"][0]
        assert stored.shape == (3, 64, 48)
        np.testing.assert_array_equal(pixels(row["image_1"])[10, 20], stored[:, 20, 10])
    # The left half of frame 0 is at 1.5 m; outside the crop nothing is known.
    assert depth[24, 20] == 1500
    assert depth[24, 50] == 4000
    assert depth[0].max() == depth[:, 0].max() == depth[:, -1].max() == 0


def test_nyuv2_gold_is_the_nearer_point(home: Path) -> None:
    for row in rows("nyuv2"):
        depth = pixels(row["depth_1"])
        at = [depth[int(y), int(x)] for x, y in row["points"]]
        assert at[row["gold"]] == min(at)
        assert max(at) >= 1.25 * min(at)


def test_two_points_are_far_apart_in_depth_or_absent() -> None:
    rng = np.random.default_rng(0)
    assert two_points(np.full((48, 64), 2.0, np.float32), rng) is None
    assert two_points(np.zeros((48, 64), np.float32), rng) is None
    halves = np.tile(np.repeat([3.0, 2.0], 32), (48, 1)).astype(np.float32)
    for _ in range(20):
        found = two_points(halves, rng)
        assert found is not None
        near, far = found
        assert near[0] > 32 > far[0]


def test_frames_without_a_question_are_left_out(published, tmp_path, monkeypatch) -> None:
    root = fresh(published, tmp_path, monkeypatch, "nyu_depth_v2")
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "r+") as file:
        file["depths"][2] = 1.0
    assert len(rows("nyuv2")) == 4
    assert len(rows("nyuv2", "train")) == 10


def test_the_split_file_is_asked_for(published, tmp_path, monkeypatch) -> None:
    root = fresh(published, tmp_path, monkeypatch, "nyu_depth_v2")
    (root / "splits.mat").unlink()
    with pytest.raises(VlmbenchError, match=r"splits\.mat"):
        rows("nyuv2")
    savemat(root / "splits.mat", {"trainNdxs": [[1]], "testNdxs": [[3]]})
    assert len(rows("nyuv2")) == 1


def test_broken_files_are_named(published, tmp_path, monkeypatch) -> None:
    frames = fresh(published, tmp_path, monkeypatch, "nyu_depth_v2") / "nyu_depth_v2_labeled.mat"
    frames.write_bytes(frames.read_bytes()[:1000])
    with pytest.raises(VlmbenchError, match="cannot be read: OSError"):
        rows("nyuv2")
    annotations = fresh(published, tmp_path, monkeypatch, "DA-2K") / "annotations.json"
    annotations.write_text("{")
    with pytest.raises(VlmbenchError, match="cannot be read: JSONDecodeError"):
        rows("da2k")


def test_unknown_split(home: Path) -> None:
    with pytest.raises(VlmbenchError, match="Splits: test"):
        rows("hpatches", "train")
