"""Groups of views with what is known of them, drawn as the worlds draw: an encoder's lessons.

Their seeds are the caller's. No short list of numbers is the seed of a document, since those have
a spawn key as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vlmbench.tasks.worlds._art import STYLE_NAMES, scene_tone
from vlmbench.tasks.worlds._depth import depth_scenes
from vlmbench.tasks.worlds._markers import draw_markers
from vlmbench.tasks.worlds._matching import other_view, surface_points, telling_points
from vlmbench.tasks.worlds._odd import like_objects, random_around
from vlmbench.tasks.worlds._parts import part_portrait
from vlmbench.tasks.worlds._place import inner_point, reference_pixel
from vlmbench.tasks.worlds._points import (
    POINT,
    UNKNOWN,
    known_points,
    part_spots,
    random_points,
    unknown_points,
)
from vlmbench.tasks.worlds._random import random_scene
from vlmbench.tasks.worlds._render import Rendered, look, render
from vlmbench.tasks.worlds._shapes import CATEGORIES, COMPOSITES
from vlmbench.tasks.worlds._world import SIZE, Image

Lesson = Literal["part", "pair", "depth", "odd", "style", "marked"]
LESSONS: tuple[Lesson, ...] = get_args(Lesson)

POINTS = 40
"""Points of an image of which something is known."""

MARKS = ("A", "B", "C", "D", "REF")
"""Labels of markers, in the order in which `POINT` counts them, from 1."""

DIFFICULTY = 0.5
_MARKED = 0.35
"""Share of images with markers drawn, among those whose lesson is not about them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TaughtView:
    """One image and what is known of it.

    Attributes:
        pixels: (96, 96, 3) uint8.
        points: (40,) `POINT`.
        lesson: What its group was drawn for.
        category: Number of the only thing's category; `UNKNOWN` if it shows several.
        colour: Number of the only thing's colour; `UNKNOWN` if it shows several.
        style: Number of the style it is drawn in; `UNKNOWN` if it is rendered.
        thing: Which of two like objects of its group it shows; `UNKNOWN` elsewhere.
    """

    pixels: Image
    points: NDArray[np.void]
    lesson: Lesson
    category: int = UNKNOWN
    colour: int = UNKNOWN
    style: int = UNKNOWN
    thing: int = UNKNOWN


def taught_group(rng: np.random.Generator, lesson: Lesson) -> tuple[TaughtView, ...]:
    """Draw the images of one lesson: four of two like objects, two of a scene, else one."""
    draw = {
        "part": _part,
        "pair": _pair,
        "depth": _depth,
        "odd": _odd,
        "style": _style,
        "marked": _marked,
    }[lesson]
    return draw(rng)


def _view(
    rng: np.random.Generator,
    image: Rendered,
    points: NDArray[np.void],
    lesson: Lesson,
    *,
    marked: float = _MARKED,
    thing: int = UNKNOWN,
) -> TaughtView:
    """Return a rendered view with its points, on some of which markers may be drawn."""
    pixels, only = image.rgb, image.scene.things[0]
    if rng.random() < marked:
        pixels, points = _with_markers(rng, pixels, points)
    alone = len(image.scene.things) == 1
    return TaughtView(
        pixels=pixels,
        points=points,
        lesson=lesson,
        category=CATEGORIES.index(only.category) if alone else UNKNOWN,
        colour=int(points["colour"].max()) if alone else UNKNOWN,
        thing=thing,
    )


def _with_markers(
    rng: np.random.Generator, pixels: Image, points: NDArray[np.void]
) -> tuple[Image, NDArray[np.void]]:
    """Draw REF, or letters from A on, at random points that lie on things."""
    on_things = np.flatnonzero(points["category"] != UNKNOWN)
    names = MARKS[4:] if rng.random() < 0.3 else MARKS[: rng.integers(1, 5)]
    chosen = rng.permutation(on_things)[: len(names)]
    labelled = points.copy()
    labelled["letter"][chosen] = [MARKS.index(name) + 1 for name in names[: len(chosen)]]
    return draw_markers(pixels, points["xy"][chosen], names[: len(chosen)]), labelled


def _filled(
    rng: np.random.Generator, image: Rendered, points: NDArray[np.void], *, floor: float = 0.1
) -> NDArray[np.void]:
    """Return `POINTS` points: as many of the given as there is room for, then random ones."""
    more = max(0, POINTS - len(points))
    extra = known_points(image, random_points(rng, image, more, floor=floor))
    return np.concatenate([points[:POINTS], extra])


def _part(rng: np.random.Generator) -> tuple[TaughtView, ...]:
    """A rolled portrait, every other time as the reference is: farther, and aimed at a part."""
    scene = part_portrait(rng, COMPOSITES[rng.integers(len(COMPOSITES))])
    if rng.random() < 0.5:
        scene = replace(scene, camera=replace(scene.camera, distance=scene.camera.distance * 1.15))
        view = look(scene)
        target = surface_points(view, random_points(rng, view, 1, floor=0))[0]
        scene = replace(scene, camera=scene.camera.aimed(target, reference_pixel(rng), SIZE))
    image = render(scene)
    return (_view(rng, image, _filled(rng, image, part_spots(rng, image, 0, 3)), "part"),)


def _pair(rng: np.random.Generator) -> tuple[TaughtView, ...]:
    """Two views of a scene, as low-level matching draws them, with points in common."""
    while True:
        scene = random_scene(rng, things=(3, 5))
        second = render(other_view(rng, scene, DIFFICULTY))
        pixels = telling_points(rng, second)
        if len(pixels) < 8:
            continue
        world = surface_points(second, pixels)
        camera = scene.camera.aimed(world[0], reference_pixel(rng), SIZE)
        first = render(replace(scene, camera=camera))
        common = np.flatnonzero(first.visible(world, slack=0.02))[: POINTS - 8]
        if len(common) < 8:
            continue
        views = []
        for image, xy in ((first, first.project(world[common])), (second, pixels[common])):
            points = known_points(image, xy)
            points["match"] = True
            views.append(_view(rng, image, _filled(rng, image, points), "pair"))
        return tuple(views)


def _depth(rng: np.random.Generator) -> tuple[TaughtView, ...]:
    """Things on poles, as the depth world draws them, and the same with two depths swapped.

    Nothing else tells the two apart, so neither can be known by its looks.
    """
    lower_is_nearer = bool(rng.random() < 0.5)
    scenes = depth_scenes(rng, lower_is_nearer=lower_is_nearer, margin=0.55)
    views = []
    for scene in (scenes.plain, scenes.swapped):
        image = render(scene)
        points = known_points(image, random_points(rng, image, POINTS, floor=0.1))
        # These views may be mirrored, and some objects have parts on the left.
        points["part"] = points["use"] = UNKNOWN
        views.append(_view(rng, image, points, "depth", marked=0.15))
    return tuple(views)


def _odd(rng: np.random.Generator) -> tuple[TaughtView, ...]:
    """Two views each of two objects that share surface and surroundings."""
    things = like_objects(rng, DIFFICULTY)
    around = random_around(rng)
    views = []
    for which in (0, 0, 1, 1):
        image = render(around.view(rng, things[which]))
        spots = np.zeros(0, POINT)
        if things[which].category in COMPOSITES:
            spots = part_spots(rng, image, 0, 2)
        views.append(_view(rng, image, _filled(rng, image, spots), "odd", marked=0, thing=which))
    return tuple(views)


def _style(rng: np.random.Generator) -> tuple[TaughtView, ...]:
    """A scene in one of the eight styles."""
    from vlmbench.tasks.worlds._style import paint  # loads scipy

    style = int(rng.integers(len(STYLE_NAMES)))
    points = unknown_points(rng.uniform(0, SIZE, (POINTS, 2)))
    pixels = paint(rng, scene_tone(rng), STYLE_NAMES[style])
    return (TaughtView(pixels=pixels, points=points, lesson="style", style=style),)


def _marked(rng: np.random.Generator) -> tuple[TaughtView, ...]:
    """A scene of one to four things, most of them with markers well inside some."""
    image = render(random_scene(rng, things=(1, 4)))
    inner = [
        spot
        for index in range(len(image.scene.things))
        if (spot := inner_point(rng, image.ids == index, clear=2.0)) is not None
    ]
    points = np.zeros(0, POINT)
    pixels = image.rgb
    if inner:
        points = known_points(image, np.asarray(inner, float))
        if rng.random() < 0.85:
            pixels, points = _with_markers(rng, pixels, points)
    view = _view(rng, image, _filled(rng, image, points), "marked", marked=0)
    return (replace(view, pixels=pixels),)
