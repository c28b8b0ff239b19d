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


def test_a_place_on_the_object_shows_where_its_point_is() -> None:
    rng = np.random.default_rng(2)
    image = render(random_scene(rng, things=1))
    thing = image.scene.things[0]
    points = known_points(image, random_points(rng, image, 50, floor=0))
    points = points[points["category"] != UNKNOWN]
    world = (points["place"] + (0, 0, 0.4)) @ thing.rotation.T * thing.scale + thing.position
    assert image.project(world) == pytest.approx(points["xy"], abs=0.01)
    below = image.project(world * (1, 1, 0)).clip(-10, 106)
    assert below == pytest.approx(points["xy"] + points["foot"] * 96, abs=0.05)
    lamp = image.scene.camera.axes @ np.array([0, 0, 1.0])
    floor = known_points(image, np.array([[48.0, 94.0]]))
    assert floor["normal"][0] == pytest.approx(lamp, abs=1e-5)


@pytest.mark.parametrize("category", COMPOSITES)
def test_spots_lie_on_the_part_they_are_labelled_with(category: str) -> None:
    seen, away = set(), []
    for seed in range(16):
        rng = np.random.default_rng(seed)
        image = render(part_portrait(rng, category))
        places = solid(category, image.scene.things[0].shape).parts
        for spot in part_spots(rng, image, 0, 2):
            owner, name = PARTS[spot["part"]]
            assert owner == category
            seen.add(name)
            at = spot["place"] + (0, 0, 0.4)
            away.append(np.linalg.norm(places[name] - at, axis=1).min())
    assert len(seen) >= len(places) - 1
    assert np.nanmedian(away) < 0.01
    # A ray through the very edge of a part may meet what is behind it.
    assert np.mean(np.nan_to_num(away, nan=1.0) < 0.06) > 0.9


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
        assert (one.points["category"][both] == two.points["category"][both]).mean() > 0.9
        away = np.abs(one.points["place"][both] - two.points["place"][both]).max(axis=1)
        assert np.nanmedian(away) < 0.01


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
        "depth": {1},
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
