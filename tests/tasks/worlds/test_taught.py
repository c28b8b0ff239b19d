from __future__ import annotations

import numpy as np
import pytest

from vlmbench.tasks.worlds import (
    CATEGORIES,
    COMPOSITES,
    FUNCTIONS,
    LESSONS,
    MARKS,
    PARTS,
    UNKNOWN,
    render,
    solid,
    taught_group,
)
from vlmbench.tasks.worlds._matching import surface_points
from vlmbench.tasks.worlds._parts import part_portrait
from vlmbench.tasks.worlds._points import known_points, part_spots, random_points
from vlmbench.tasks.worlds._random import random_scene


def groups(lesson: str, count: int):
    return [taught_group(np.random.default_rng([7, i]), lesson) for i in range(count)]


def test_points_know_what_the_picture_shows_there() -> None:
    rng = np.random.default_rng(1)
    image = render(random_scene(rng, things=3))
    points = known_points(image, random_points(rng, image, 200, floor=0.3).round() + 0.5)
    points = points[(points["xy"] < 96).all(axis=1)]
    columns, rows = points["xy"].astype(int).T
    things = image.ids[rows, columns]
    names = [CATEGORIES.index(thing.category) for thing in image.scene.things]
    expected = np.where(things >= 0, np.array(names)[things], UNKNOWN)
    assert (points["category"] == expected).all()
    seen = image.depth[rows, columns] > 0
    assert np.exp(points["depth"][seen]) == pytest.approx(
        image.depth[rows, columns][seen], abs=1e-4
    )
    assert np.isnan(points["depth"][~seen]).all()


def test_a_foot_is_where_the_floor_below_shows() -> None:
    rng = np.random.default_rng(2)
    image = render(random_scene(rng, things=3))
    points = known_points(image, random_points(rng, image, 60, floor=0).round() + 0.5)
    points = points[(points["category"] != UNKNOWN) & (points["xy"] < 96).all(axis=1)]
    below = image.project(surface_points(image, points["xy"].astype(float)) * (1, 1, 0))
    assert len(points) > 30
    assert below.clip(-10, 106) == pytest.approx(points["xy"] + points["foot"] * 96, abs=0.05)
    assert np.isnan(known_points(image, np.array([[48.0, 94.0]]))["foot"]).all()


@pytest.mark.parametrize("category", COMPOSITES)
def test_spots_show_the_part_they_are_labelled_with(category: str) -> None:
    seen, away = set(), []
    for seed in range(16):
        rng = np.random.default_rng(seed)
        image = render(part_portrait(rng, category))
        thing = image.scene.things[0]
        for spot in part_spots(rng, image, 0, 2):
            owner, name = PARTS[spot["part"]]
            assert owner == category
            seen.add(name)
            places = solid(category, thing.shape).parts[name]
            world = places @ thing.rotation.T * thing.scale + thing.position
            away.append(np.linalg.norm(image.project(world) - spot["xy"], axis=1).min())
    assert len(seen) >= len(solid(category, thing.shape).parts) - 1
    assert max(away) < 1e-3


def test_a_part_reaches_no_farther_than_its_surroundings() -> None:
    rng = np.random.default_rng(5)
    image = render(part_portrait(rng, "kettle"))
    thing = image.scene.things[0]
    points = known_points(image, random_points(rng, image, 300, floor=0).round() + 0.5)
    points = points[points["category"] != UNKNOWN]
    world = surface_points(image, np.minimum(points["xy"].astype(float), 95.5))
    local = (world - thing.position) @ thing.rotation / thing.scale
    away = np.stack(
        [
            np.linalg.norm(local[:, None] - places, axis=2).min(axis=1)
            for places in solid("kettle", thing.shape).parts.values()
        ]
    )
    named = points["part"] != UNKNOWN
    assert (named == (away.min(axis=0) < 0.1)).mean() > 0.97  # rays at an edge may miss
    assert 0.1 < named.mean() < 0.9


def test_a_use_is_that_of_the_part() -> None:
    uses = list(FUNCTIONS)
    for (view,) in groups("part", 20):
        for point in view.points:
            if point["part"] == UNKNOWN:
                continue
            category, part = PARTS[point["part"]]
            served = [use for use in uses if part in FUNCTIONS[use].get(category, ())]
            assert [uses[point["use"]]] == served if served else point["use"] == UNKNOWN


def test_views_of_a_pair_share_points_of_the_scene() -> None:
    for one, two in groups("pair", 4):
        both = one.points["match"] & two.points["match"]
        assert both.sum() >= 8
        assert (one.points["match"] == two.points["match"]).all()
        for name in ("category", "colour", "part"):
            assert (one.points[name][both] == two.points[name][both]).mean() > 0.9
        assert (one.points["xy"][both] != two.points["xy"][both]).all()


def test_views_of_the_depth_lesson_differ_only_in_what_depth_changes() -> None:
    for one, two in groups("depth", 6):
        same = (one.pixels == two.pixels).all(axis=2).mean()
        assert 0.5 < same < 1
        assert (one.points["part"] == UNKNOWN).all()


def test_a_letter_stands_where_its_ring_is_drawn() -> None:
    marked = [view for (view,) in groups("marked", 12) if view.points["letter"].any()]
    assert len(marked) >= 6
    for view in marked:
        for point in view.points[view.points["letter"] > 0]:
            x, y = (int(at) for at in point["xy"])
            around = view.pixels[y - 4 : y + 5, x - 4 : x + 5].reshape(-1, 3).astype(int)
            assert (np.abs(around - (235, 20, 20)).sum(axis=1) < 6).sum() >= 8
            assert point["letter"] <= len(MARKS)


def test_each_lesson_has_its_images() -> None:
    sizes = {lesson: {len(group) for group in groups(lesson, 3)} for lesson in LESSONS}
    assert sizes == {
        "part": {1},
        "pair": {2},
        "depth": {2},
        "odd": {4},
        "style": {1},
        "marked": {1},
    }
    (four,) = groups("odd", 1)
    assert four[0].points["colour"].max() == four[2].points["colour"].max()
    assert (four[0].pixels != four[1].pixels).any()
    (style,) = groups("style", 1)[0]
    assert style.style != UNKNOWN
    assert np.isnan(style.points["depth"]).all()
