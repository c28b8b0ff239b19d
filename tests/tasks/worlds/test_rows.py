"""Every world: balanced gold, points on things, images that fit their columns."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from vlmbench.tasks.worlds import WORLDS
from vlmbench.tasks.worlds._rows import _dealt, drawn_row
from vlmbench.types import VlmbenchError

COUNT = 12


@lru_cache(maxsize=16)
def rows(world: str) -> list[dict[str, Any]]:
    spec = WORLDS[world]
    return [drawn_row(spec, seed=1, split="test", index=i, count=COUNT) for i in range(COUNT)]


@pytest.mark.parametrize("world", WORLDS)
def test_rows_fill_their_columns(world: str) -> None:
    spec = WORLDS[world]
    for row in rows(world):
        assert set(row) | {"blank"} == set(spec.all_columns)
        assert len(row["choices"]) == spec.n_choices == len(set(row["choices"]))
        images = [name for name, column in spec.columns.items() if column == "image"]
        assert "image_1" in images
        for name in images:
            assert row[name].shape == (96, 96, 3)
            assert row[name].dtype == np.uint8
            assert row[name].std() > 3, f"{name} is empty"
    assert len({row["doc_id"] for row in rows(world)}) == COUNT
    gold = Counter(row["gold"] for row in rows(world))
    assert set(gold.values()) == {COUNT // spec.n_choices}


@pytest.mark.parametrize("count", [300, 301])
def test_gold_and_variant_are_dealt_evenly(count: int) -> None:
    dealt = Counter(_dealt(0, (7, 2), count, 4, 2))
    assert len(dealt) == 8
    assert max(dealt.values()) - min(dealt.values()) <= 1
    assert _dealt(0, (7, 2), count, 4, 2) != _dealt(1, (7, 2), count, 4, 2)


@pytest.mark.parametrize("world", [name for name, w in WORLDS.items() if "points" in w.columns])
def test_points_are_marked_inside_the_image_and_apart(world: str) -> None:
    for row in rows(world):
        points = np.array(row["points"])
        assert points.shape == (WORLDS[world].n_choices, 2)
        assert ((points >= 5) & (points <= 91)).all()
        gaps = np.linalg.norm(points[:, None] - points[None], axis=2)
        assert gaps[np.triu_indices(len(points), 1)].min() > 8
        last = WORLDS[world].images
        changed = (row[f"image_{last}"] != row[f"unmarked_{last}"]).any(axis=2)
        for x, y in points:
            ring = changed[int(y) - 4 : int(y) + 5, int(x) - 4 : int(x) + 5]
            assert ring.sum() > 15, "no ring about a point"


def test_the_depth_map_says_what_gold_says() -> None:
    for row in rows("depth"):
        near_to_far = [int(row["depth_1"][int(y), int(x)]) for x, y in row["points"]]
        assert min(near_to_far) > 0
        assert int(np.argmin(near_to_far)) == row["gold"]
        assert abs(near_to_far[0] - near_to_far[1]) > 300  # millimetres
        assert row["depth_1"].dtype == np.uint16


def test_parts_are_seen_on_the_thing_that_is_marked() -> None:
    from vlmbench.tasks.worlds import look
    from vlmbench.tasks.worlds._parts import _choices, _reference
    from vlmbench.tasks.worlds._world import Draw

    found = 0
    for seed in range(30):
        draw = Draw(rng=np.random.default_rng(seed), gold=seed % 4, variant=0, difficulty=0.5)
        second = _choices(draw, "bottle", use=False)
        if second is None:
            continue
        ids = look(second.scene).ids
        assert all(ids[int(y), int(x)] == 0 for x, y in second.points)
        first = _reference(draw, "bottle", second.parts[draw.gold])
        assert first is not None
        scene, (x, y) = first
        assert look(scene).ids[int(y), int(x)] == 0
        found += 1
    assert found > 5


def test_correspondence_asks_for_the_same_part() -> None:
    for row in rows("semantic_correspondence"):
        assert row["point_parts"][row["gold"]] == row["reference_part"]
        assert len(set(row["point_parts"])) == 4


def test_affordance_asks_another_category_for_the_same_function() -> None:
    from vlmbench.tasks.worlds._parts import _same_use

    for row in rows("object_affordance"):
        reference = tuple(row["reference_part"].split("."))
        shown = [tuple(part.split(".")) for part in row["point_parts"]]
        assert all(part[0] != reference[0] for part in shown)
        assert [_same_use(reference, part) for part in shown].index(True) == row["gold"]
        assert sum(_same_use(reference, part) for part in shown) == 1


def test_matching_points_are_the_same_place() -> None:
    """Both views' rays through REF and through the gold point end at one place of the scene."""
    from vlmbench.tasks.worlds import look, random_scene, render
    from vlmbench.tasks.worlds._matching import (
        _first_view,
        _four_alike,
        other_view,
        surface_points,
    )
    from vlmbench.tasks.worlds._world import Draw

    checked = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        draw = Draw(rng=rng, gold=seed % 4, variant=0, difficulty=0.5)
        scene = random_scene(rng, things=3)
        second = render(other_view(rng, scene, 0.5))
        four = _four_alike(rng, second, 0.5)
        if four is None:
            continue
        places = surface_points(second, four)
        found = _first_view(draw, scene, places[draw.gold])
        if found is None:
            continue
        first = look(found[0])
        (x, y), gold = found[1], places[draw.gold]
        # Pixel centres are up to .7 pixels from the point, hence the tolerance in metres.
        pixel = np.array([[np.floor(x) + 0.5, np.floor(y) + 0.5]])
        gap = np.linalg.norm(surface_points(first, pixel)[0] - gold)
        others = np.delete(places, draw.gold, axis=0)
        assert gap < np.linalg.norm(others - gold, axis=1).min()
        assert first.ids[int(y), int(x)] >= 0
        checked += gap < 0.06
    assert checked >= 6


def test_art_has_the_style_of_the_reference_at_gold() -> None:
    for row in rows("art_style"):
        assert row["styles"][0] == row["styles"][1 + row["gold"]]
        assert row["styles"][0] != row["styles"][2 - row["gold"]]


@pytest.mark.parametrize("world", ["naming", "pointing"])
def test_the_label_stands_at_gold(world: str) -> None:
    for row in rows(world):
        assert row["choice_labels"][row["gold"]] == row["label"] == row["choices"][row["gold"]]
    assert {row["attribute"] for row in rows(world)} == {"shape", "colour"}


def test_difficulty_is_used() -> None:
    def gap(difficulty: float) -> float:
        spec = WORLDS["depth"]
        gaps = []
        for i in range(16):
            row = drawn_row(
                spec, seed=3, split="test", index=i, count=16, options={"difficulty": difficulty}
            )
            (ax, ay), (bx, by) = row["points"]
            a, b = row["depth_1"][int(ay), int(ax)], row["depth_1"][int(by), int(bx)]
            gaps.append(abs(int(a) - int(b)))
        return float(np.mean(gaps))

    assert gap(0.0) > gap(1.0) + 300


@pytest.mark.parametrize("world", WORLDS)
def test_unknown_options_are_refused(world: str) -> None:
    with pytest.raises(VlmbenchError, match="difficulty"):
        WORLDS[world].options({"dificulty": 0.3})
    with pytest.raises(VlmbenchError, match="from 0"):
        WORLDS[world].options({"difficulty": 1.5})
    with pytest.raises(VlmbenchError) as caught:
        WORLDS[world].options({"difficulty": "hard", "colour": 1})
    assert len(caught.value.problems) == 2
