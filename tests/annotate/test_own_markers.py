"""What vlmbench draws is read back: markers of a user's task, found by `annotate` in its images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from backgrounds import background, red_things
from home import Home, vlmbench
from PIL import Image
from rendered import Pen, visible

from vlmbench.annotate import annotate, marked_documents
from vlmbench.spec import load_file
from vlmbench.tasks import load_documents
from vlmbench.tasks._markers import blink_style

COUNT = 12
REGIONS = {
    "reference": {"kind": "point", "image": 0, "column": "ref"},
    "choices": {"kind": "point", "image": 1, "column": "points"},
}
QUESTION = {
    "doc_to_text": "<image><image>Which point matches REF?",
    "doc_to_image": ["left", "right"],
    "doc_to_choice": ["A", "B", "C", "D"],
}


def spots(rng: np.random.Generator, image: np.ndarray, count: int) -> list[list[float]]:
    """Draw places, between pixels too, whose rings are apart and not on their own colour."""
    size = (image.shape[1], image.shape[0])
    radius = blink_style(size).radius
    for _ in range(2000):
        at = rng.uniform((2 * radius, 4 * radius), np.array(size) - 2 * radius, (count, 2))
        away = np.hypot(*(at[:, None] - at[None]).transpose(2, 0, 1))[~np.eye(count, dtype=bool)]
        ring = Pen(style="pillow", scale=radius / 5)
        named = {str(i): (float(x), float(y)) for i, (x, y) in enumerate(at)}
        if away.min(initial=np.inf) > 6 * radius and visible(ring, named, image):
            return [list(point) for point in named.values()]
    raise AssertionError("no room")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A task without markers, and the images of its documents as a task that has them."""
    made = Home(tmp_path_factory.mktemp("home"))
    rows = []
    for number in range(COUNT):
        rng = np.random.default_rng([51, number])
        row = {"id": str(number), "answer": number % 4}
        for column, places, count in (("left", "ref", 1), ("right", "points", 4)):
            size = tuple(int(side) for side in rng.integers(200, 500, 2))
            radius = blink_style(size).radius
            picture = red_things(rng, background(rng, size), radius)
            row[column] = made.image(f"{number}{column}.png", Image.fromarray(picture))
            found = spots(rng, picture, count)
            row[places] = found[0] if places == "ref" else found
        rows.append(row)
    bench = {"id_column": "id", "regions": REGIONS}
    made.task("plain", rows, bench=bench | {"markers": {}}, **QUESTION)
    documents = load_documents(load_file(made.folder / "plain.yaml"), "reported", made.folder)
    for row, document in zip(rows, documents, strict=True):
        for column, image in zip(("left", "right"), document.images, strict=True):
            row[column] = made.image(f"{row['id']}{column}-marked.png", image.decode())
    made.task("marked", rows, bench=bench | {"markers": "drawn"}, **QUESTION)
    return made


def test_markers_are_found_where_they_were_drawn(home: Home) -> None:
    task = load_file(home.folder / "marked.yaml")
    documents = load_documents(task, "reported", home.folder)
    found, errors = 0, []
    for document, annotation in zip(
        documents, annotate(task, marked_documents(task, home.folder)), strict=True
    ):
        assert document.reference is not None
        truth = {(0, "REF"): document.reference.xy}
        truth |= {(1, c): r.xy for c, r in zip("ABCD", document.candidates, strict=True)}
        for image, marker in annotation.kept:
            errors.append(np.hypot(*np.subtract((marker.x, marker.y), truth[image, marker.label])))
            found += errors[-1] <= 3 and marker.confidence >= 0.5
    assert found >= 0.98 * 5 * COUNT  # BLINK's own: .995, a median error of .025 px, at most 1.6
    assert np.median(errors) < 0.05
    assert max(errors) < 1.6


def test_a_task_whose_coordinates_are_known_is_not_annotated(home: Home, tmp_path: Path) -> None:
    said = vlmbench("annotate", home.folder / "plain.yaml", "--output", tmp_path / "x", status=1)
    assert "plain.yaml" in said.words
    assert "metadata.vlmbench.markers: the images in the data carry no markers" in said.words
