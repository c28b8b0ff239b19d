"""Markers drawn anew: in the task's own look as they were, in another one only where they stand."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from home import Home, noise
from PIL import Image

from vlmbench.registry import catalogue
from vlmbench.spec import MARKER_LOOKS, Condition, Located, TaskSpec, load_file
from vlmbench.tasks import apply_conditions, condition_sheet, load_documents
from vlmbench.tasks.worlds import WORLDS
from vlmbench.types import Document

LOOKS = [name for name in MARKER_LOOKS if name != "own"]
ABOUT = 16
"""Pixels about a point beyond which no marker of a world, nor its label, reaches."""


def pixels(image: Any) -> np.ndarray:
    return np.asarray(image.decode()).astype(int)


def shown(documents: list[Document], task: Located[TaskSpec], look: str) -> list[Document]:
    return apply_conditions(documents, Condition.parse(f"markers-{look}"), task=task)


def world(name: str, root: Path, count: int = 12) -> tuple[Located[TaskSpec], list[Document]]:
    (task,) = catalogue().select_tasks(name)
    return task, list(load_documents(task, "reported", root, count))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("worlds")


@pytest.fixture
def drawn(tmp_path: Path) -> tuple[Located[TaskSpec], list[Document]]:
    """A user's task whose markers vlmbench draws: a reference and two points, on noise."""
    home = Home(tmp_path)
    rows = [
        {"left": home.image(f"{i}l.png", noise(i, (200, 150))), "answer": i % 2,
         "right": home.image(f"{i}r.png", noise(10 + i, (180, 220))),
         "reference": [40.3, 70], "points": [[60, 50.5], [120, 160]]}
        for i in range(3)
    ]  # fmt: skip
    bench = {
        "regions": {"reference": {"kind": "point", "image": 0, "column": "reference"},
                    "choices": {"kind": "point", "image": 1, "column": "points"}},
        "markers": {"shape": "disc", "colour": [0, 200, 90], "side": "left"},
    }  # fmt: skip
    path = home.task(
        "mine", rows, bench=bench, doc_to_image=["left", "right"],
        doc_to_text="<image><image>Which is it, A or B?",
    )  # fmt: skip
    task: Located[TaskSpec] = load_file(path)  # type: ignore[assignment]
    return task, list(load_documents(task, "reported", tmp_path))


def same(before: Document, after: Document) -> bool:
    return all(
        np.array_equal(pixels(a), pixels(b))
        for a, b in zip(before.images, after.images, strict=True)
    )


@pytest.mark.parametrize("name", ["depth", "pointing"])
def test_redrawn_in_its_own_look_a_world_is_the_same_to_the_bit(name: str, root: Path) -> None:
    task, documents = world(name, root)
    assert all(map(same, documents, shown(documents, task, "own")))


def test_redrawn_in_their_own_look_a_users_markers_are_the_same_to_the_bit(drawn: Any) -> None:
    task, documents = drawn
    assert all(map(same, documents, shown(documents, task, "own")))
    assert not any(map(same, documents, shown(documents, task, "blue")))


@pytest.mark.parametrize(
    "name", ["semantic_correspondence", "low_level_matching", "object_affordance"]
)
def test_worlds_that_hold_places_to_a_hundredth_are_redrawn_at_them(name: str, root: Path) -> None:
    """A pixel at a shape's edge may differ, and a label stand on another side: nothing else."""
    task, documents = world(name, root)
    for before, after in zip(documents, shown(documents, task, "own"), strict=True):
        places = [before.reference, *before.candidates]
        for index, (a, b) in enumerate(zip(before.images, after.images, strict=True)):
            differing = (pixels(a) != pixels(b)).any(axis=2)
            near = about([p.xy for p in places if p and p.image == index], differing.shape)
            assert not (differing & ~near).any()
            clean = pixels(before.encoder_images[index])
            marked = (pixels(a) != clean).any(axis=2)
            assert differing.sum() < 0.5 * marked.sum()


def about(points: Any, shape: tuple[int, int], reach: int = ABOUT) -> np.ndarray:
    """Return which pixels lie within a square about one of some points."""
    rows, columns = np.indices(shape)
    near = np.zeros(shape, bool)
    for x, y in points:
        near |= (np.abs(columns - x) <= reach) & (np.abs(rows - y) <= reach)
    return near


@pytest.mark.parametrize("look", LOOKS)
def test_another_look_changes_pixels_near_markers_alone(look: str, root: Path) -> None:
    task, documents = world("depth", root)
    for before, after in zip(documents, shown(documents, task, look), strict=True):
        differing = (pixels(before.images[0]) != pixels(after.images[0])).any(axis=2)
        assert differing.any()
        if look != "jpeg30":
            near = about([p.xy for p in before.candidates], differing.shape)
            assert not (differing & ~near).any()
        assert after.encoder_images == before.encoder_images
        assert (after.candidates, after.gold) == (before.candidates, before.gold)


def test_looks_are_what_they_are_called(root: Path) -> None:
    task, documents = world("pointing", root, 6)
    plain = [pixels(document.encoder_images[0]) for document in documents]
    looks = {name: shown(documents, task, name) for name in MARKER_LOOKS}
    marked = {
        name: [
            (pixels(d.images[0]) != clean).any(axis=2).sum()
            for d, clean in zip(found, plain, strict=True)
        ]
        for name, found in looks.items()
    }
    assert sum(marked["small"]) < sum(marked["own"]) < sum(marked["large"])
    for own, blue, below in zip(looks["own"], looks["blue"], looks["below"], strict=True):
        x, y = (round(value) for value in own.row["point"])
        ring = pixels(own.images[0])[y, x + 3], pixels(blue.images[0])[y, x + 3]
        assert ring[0][0] > 200 > ring[0][2]
        assert ring[1][2] > 200 > ring[1][0]
        tag = (pixels(below.images[0])[y + 5 : y + 13, x - 4 : x + 5] == 255).all(axis=2)
        assert tag.any()  # white letters below the ring


def test_jpeg_is_what_the_model_is_given_and_squares_have_corners(root: Path) -> None:
    task, documents = world("depth", root, 2)
    own, square, jpeg = (shown(documents, task, name)[0] for name in ("own", "square", "jpeg30"))
    file = io.BytesIO()
    own.images[0].decode().save(file, format="JPEG", quality=30)
    assert np.array_equal(pixels(jpeg.images[0]), np.asarray(Image.open(file)))
    x, y = (int(value) for value in own.candidates[0].xy)
    corner = np.s_[y - 3, x - 3]
    assert not np.array_equal(pixels(own.images[0])[corner], pixels(square.images[0])[corner])


def test_every_world_with_images_without_markers_says_how_it_marks_them() -> None:
    for spec in WORLDS.values():
        unmarked = {name for name in spec.columns if name.startswith("unmarked")}
        assert {name.replace("image", "unmarked") for name in spec.markers} == unmarked
        for column, labels in spec.markers.values():
            assert spec.columns[column] == ("points" if len(labels) > 1 else spec.columns[column])


def test_the_sheet_of_conditions_shows_every_look(root: Path) -> None:
    (task,) = catalogue().select_tasks("depth")
    documents = list(load_documents(task, "reported", root, 4))
    page = condition_sheet(documents, task, side=32)
    assert page.size[0] > 4 * 32
    assert len(np.unique(np.asarray(page).reshape(-1, 3), axis=0)) > 1000
