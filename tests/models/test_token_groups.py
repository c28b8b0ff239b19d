"""Which tokens a prompt's groups hold: closed-form grids, choices found and not found."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from vlmbench.models import place, prepare
from vlmbench.models._token_groups import (
    choice_spans,
    known_grids,
    region_cells,
    token_groups,
)
from vlmbench.spec import ImagePolicy
from vlmbench.types import Region

SQUARE = Image.new("RGB", (32, 32))
WIDE = Image.new("RGB", (48, 32))


def region(kind: str, *xy: float, image: int = 0) -> Region:
    return Region(image=image, kind=kind, xy=xy)


def words(text: str, choices: list[str]) -> list[str]:
    return [text[start:stop] for start, stop in choice_spans(text, choices)]


def test_a_lettered_line_counts_whole_and_an_article_does_not():
    text = "\nA cup stands here. What is it?\n(A) a red cup\n(B) a bed\nAnswer with the letter: A"
    assert words(text, ["A", "B"]) == ["(A) a red cup", "(B) a bed"]
    assert words(text, [" (A)", "(B)"]) == ["(A) a red cup", "(B) a bed"]
    assert words("Which?\nA. one\nB: two", ["A", "B"]) == ["A. one", "B: two"]


def test_unlisted_choices_count_where_they_stand_last_as_words():
    assert words("The redder, red or blue? ASSISTANT:", ["red", "blue", "green"]) == ["red", "blue"]
    assert words("A thing: A or B? ASSISTANT:", ["A", "B"]) == ["A", "B"]
    assert choice_spans("A thing: A or B? ASSISTANT:", ["A"]) == [(9, 10)]


def test_grids_are_known_only_where_the_count_says_so():
    grid = {"merge": 1, "whole": True}
    assert known_grids([SQUARE, SQUARE], 32, None, **grid) == [(4, 4), (4, 4)]
    assert known_grids([SQUARE], 15, None, **grid) is None  # no square
    assert known_grids([WIDE], 16, None, **grid) is None  # may be cut or padded
    assert known_grids([SQUARE, SQUARE.resize((16, 16))], 32, None, **grid) is None
    assert known_grids([SQUARE], 16, None, merge=1, whole=False) is None  # tiles
    assert known_grids([], 0, None, **grid) is None


def test_packed_grids_are_taken_if_they_agree_with_the_count():
    assert known_grids([WIDE], 6, [[1, 4, 6]], merge=2, whole=False) == [(2, 3)]
    assert known_grids([WIDE], 7, [[1, 4, 6]], merge=2, whole=False) is None


@pytest.mark.parametrize(
    ("where", "cells"),
    [
        (region("box", 8, 8, 16, 16), [5]),
        (region("box", 7.5, 8, 16, 16), [4, 5]),
        (region("point", 11.5, 11.5), [5]),  # pixel centre 12, 12: the middle of a cell
        (region("point", 8, 8), [0, 1, 4, 5]),
        (region("point", 0, 31), [12]),  # the cells beyond the edge do not exist
        (region("image"), list(range(16))),
        (region("image", image=1), list(range(16, 32))),
        (region("box", 24, 24, 32, 32, image=1), [31]),
    ],
)
def test_cells_of_regions(where, cells):
    assert region_cells([where], [SQUARE, SQUARE], [(4, 4), (4, 4)]).tolist() == cells


def test_groups_are_all_tokens_once():
    is_image = np.array([0, 1, 1, 1, 0, 0, 0, 0], dtype=bool)
    listed = np.array([1, 0, 0, 0, 0, 1, 1, 0], dtype=bool)  # the first stands before the image
    groups = token_groups(is_image, np.array([2]), listed)
    assert groups.image.tolist() == [1, 2, 3]
    assert groups.regions.tolist() == [3]
    assert groups.choices.tolist() == [5, 6]
    assert groups.text.tolist() == [0, 4, 7]
    assert groups.question.tolist() == [4, 5, 6, 7]
    assert groups.counts.tolist() == [3, 1, 2, 3]
    blind = token_groups(np.zeros(8, dtype=bool), None, listed)
    assert blind.question.tolist() == list(range(8))
    assert blind.counts.tolist() == [0, 0, 3, 5]


@pytest.mark.parametrize(
    "policy",
    [
        ImagePolicy(letterbox=96),
        ImagePolicy(letterbox=96, padding="even"),
        ImagePolicy(several="join"),
        ImagePolicy(several="join", letterbox=96, join_margin=6),
    ],
    ids=str,
)
def test_a_placed_box_is_where_its_pixels_went(policy):
    """Paint the box, prepare the images, and look where the paint is."""
    sizes = [(24, 12), (12, 30)]
    box = region("box", 3, 6, 9, 12, image=1)
    images = [Image.new("RGB", size) for size in sizes]
    images[1].paste((255, 255, 255), (3, 6, 9, 12))
    (placed,) = place([box], sizes, policy)
    shown = np.asarray(prepare(images, policy)[placed.image])[..., 0]
    ys, xs = np.nonzero(shown > 127)
    edges = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
    np.testing.assert_allclose(placed.xy, edges, atol=1)


def test_a_placed_point_and_a_placed_image():
    point, whole = region("point", 0, 0), region("image")
    placed = place([point, whole], [(48, 24)], ImagePolicy(letterbox=96))
    assert placed[0].xy == (0.5, 24.5)  # the centre of pixel (0, 0) moves to 1, 25
    assert placed[1] == region("box", 0, 24, 96, 72)
    assert place([point, whole], [(48, 24)], ImagePolicy()) == [point, whole]
