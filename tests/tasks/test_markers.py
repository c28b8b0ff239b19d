"""Markers stand where they should, can be read at any size, and do not hide each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from vlmbench.spec import DrawnHere
from vlmbench.tasks._markers import blink_style, draw, mark

GREY = (127, 127, 127)
RED, BLUE = (255, 0, 0), (0, 0, 255)
PLAIN = replace(blink_style((400, 300)), rim=0.0, smooth=False)
"""A style with hard edges: what is drawn has exactly one colour."""


def grey(width: int, height: int) -> np.ndarray:
    return np.full((height, width, 3), GREY, np.uint8)


def where(pixels: np.ndarray, colour: tuple[int, int, int]) -> set[tuple[int, int]]:
    """Return (x, y) of every pixel of a colour."""
    rows, columns = np.nonzero((pixels == colour).all(axis=2))
    return set(zip(columns.tolist(), rows.tolist(), strict=True))


def label_box(place: tuple[float, ...], side: str) -> tuple[int, int, int, int]:
    """Return (x0, y0, x1, y1) of a label of 21 x 11 pixels on an image of 200 x 160."""
    tile = np.full((11, 21, 3), BLUE, np.uint8)
    style = replace(PLAIN, side=side, tile=lambda _: tile)
    columns, rows = zip(*where(draw(grey(200, 160), [place], ["A"], style), BLUE), strict=True)
    box = min(columns), min(rows), max(columns) + 1, max(rows) + 1
    assert (box[2] - box[0], box[3] - box[1]) == (21, 11)
    return box


def test_a_ring_is_the_pixels_at_its_radius_from_the_point() -> None:
    ring = where(draw(grey(200, 160), [(80.5, 70.5)], ["A"], PLAIN), RED)
    expected = {
        (x, y)
        for x in range(200)
        for y in range(160)
        if abs(np.hypot(x - 80, y - 70) - PLAIN.radius) < PLAIN.stroke / 2
    }
    assert ring == expected
    assert len(ring) > 60


@pytest.mark.parametrize("at", [(80.5, 70.5), (80.0, 70.25), (79.87, 70.61)])
def test_blended_edges_keep_the_middle_between_pixels(at: tuple[float, float]) -> None:
    pixels = draw(grey(200, 160), [at], ["A"], blink_style((400, 300))).astype(float)
    ink = np.clip(pixels[..., 0] - pixels[..., 1], 0, None)
    rows, columns = np.indices(ink.shape)
    middle = [(axis + 0.5).ravel() @ ink.ravel() / ink.sum() for axis in (columns, rows)]
    assert middle == pytest.approx(at, abs=0.03)


def test_a_disc_is_filled_and_a_square_is_not() -> None:
    disc = where(draw(grey(200, 160), [(80.5, 70.5)], ["A"], replace(PLAIN, shape="disc")), RED)
    square = where(draw(grey(200, 160), [(80.5, 70.5)], ["A"], replace(PLAIN, shape="square")), RED)
    assert {(80, 70), (85, 70), (80, 76)} <= disc
    half, reach = PLAIN.stroke / 2, PLAIN.radius
    assert square == {
        (x, y)
        for x in range(200)
        for y in range(160)
        if abs(max(abs(x - 80), abs(y - 70)) - reach) < half
    }


@pytest.mark.parametrize("shape", ["ring", "disc", "square"])
def test_a_box_is_outlined_along_its_edges_in_every_style(shape: str) -> None:
    style = replace(PLAIN, shape=shape, colour=BLUE, stroke=2.0)
    outline = where(draw(grey(200, 160), [(40.0, 50.0, 90.0, 80.0)], ["A"], style), BLUE)
    xs, ys = {x for x, _ in outline}, {y for _, y in outline}
    assert (min(xs), max(xs), min(ys), max(ys)) == (39, 90, 49, 80)
    assert not {(x, y) for x in range(42, 88) for y in range(52, 78)} & outline
    assert len(outline) == 52 * 32 - 48 * 28


@pytest.mark.parametrize(
    ("side", "axis", "sign"), [("above", 1, -1), ("below", 1, 1), ("left", 0, -1), ("right", 0, 1)]
)
def test_the_label_stands_on_the_side_asked_for(side: str, axis: int, sign: int) -> None:
    box = label_box((100.5, 80.5), side)
    middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    away = [middle[0] - 100.5, middle[1] - 80.5]
    assert sign * away[axis] > PLAIN.radius
    assert abs(away[1 - axis]) <= 1


@pytest.mark.parametrize(
    ("place", "side"), [((100.5, 8.5), "above"), ((100.5, 152.5), "below"), ((5.5, 80.5), "left")]
)
def test_a_label_without_room_moves_to_another_side(place: tuple[float, float], side: str) -> None:
    x0, y0, x1, y1 = label_box(place, side)
    gap = max(x0 - place[0], place[0] - x1, y0 - place[1], place[1] - y1)
    assert gap > PLAIN.radius


def test_labels_cover_neither_each_other_nor_a_ring() -> None:
    rng = np.random.default_rng(3)
    ring = len(where(draw(grey(400, 300), [(200.5, 150.5)], ["A"], PLAIN), RED))
    for _ in range(30):
        first = rng.uniform((60, 60), (300, 220))
        turns = rng.uniform(0, 2 * np.pi) + np.arange(3) * 2 * np.pi / 3
        ring_of_three = first + 1.8 * PLAIN.radius * np.stack([np.cos(turns), np.sin(turns)], 1)
        places = [tuple(np.floor(place) + 0.5) for place in ring_of_three]
        pixels = draw(grey(400, 300), places, "ABC", PLAIN)
        assert len(where(pixels, RED)) == 3 * ring


@pytest.mark.parametrize("size", [(64, 48), (96, 96), (400, 300), (4000, 3000), (4000, 250)])
def test_markers_are_as_large_as_the_image_needs(size: tuple[int, int]) -> None:
    style = blink_style(size)
    seen = 336 / max(size)  # what a usual model makes of the longer side
    assert 2 * style.radius * max(seen, 1.0) >= 6.5
    high, wide, _ = style.tile("A").shape
    assert high * max(seen, 1.0) >= 8
    assert max(2 * style.radius, high) <= min(size) / 3
    assert wide < high


def test_lengths_that_are_given_are_taken() -> None:
    style = blink_style((400, 300), DrawnHere(radius=7, label_size=20, colour=BLUE, side="right"))
    assert (style.radius, style.colour, style.side) == (7, BLUE, "right")
    assert style.tile("A").shape[0] > blink_style((400, 300)).tile("A").shape[0]


@pytest.mark.parametrize("ground", [(0, 0, 0), (255, 255, 255), RED, (200, 30, 30), (0, 160, 0)])
def test_a_ring_can_be_seen_on_any_colour(ground: tuple[int, int, int]) -> None:
    picture = Image.new("RGB", (300, 200), ground)
    marked = np.asarray(mark(picture, [(150.5, 120.5)], ["A"])).astype(int)
    around = marked[110:132, 140:162]
    unlike = np.abs(around - ground).sum(axis=2) > 150
    assert unlike.sum() > 40
    assert tuple(marked[120, 150]) == ground


def test_a_label_larger_than_the_picture_is_refused() -> None:
    assert mark(Image.new("RGB", (30, 20)), [(15.5, 10.5)], ["REF"]).size == (30, 20)
    with pytest.raises(
        ValueError, match=r"'REF' takes \d+ x \d+ pixels, and the image has 16 x 20"
    ):
        mark(Image.new("RGB", (16, 20)), [(8.5, 10.5)], ["REF"])


@pytest.mark.parametrize("place", [(-50.5, 10.5), (400.5, 400.5), (0.5, 0.5)])
def test_places_at_and_beyond_the_edge_do_no_harm(place: tuple[float, float]) -> None:
    assert draw(grey(60, 40), [place], ["A"], PLAIN).shape == (40, 60, 3)
