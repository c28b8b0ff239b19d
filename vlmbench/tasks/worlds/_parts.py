"""Parts: the same part on another instance, and the same functional part on another category.

Both views are rolled by up to half a turn, which of the shown parts is right is drawn last, and
the first view is aimed so that REF's position is random: no position tells anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from types import MappingProxyType

import numpy as np

from vlmbench.tasks.worlds._markers import draw_markers
from vlmbench.tasks.worlds._mesh import Floats
from vlmbench.tasks.worlds._place import (
    in_frame,
    listed,
    nearest_apart,
    portrait,
    reference_pixel,
)
from vlmbench.tasks.worlds._random import random_thing
from vlmbench.tasks.worlds._render import View, look, render
from vlmbench.tasks.worlds._scene import Scene, Thing
from vlmbench.tasks.worlds._shapes import COMPOSITES, solid
from vlmbench.tasks.worlds._world import (
    ATTEMPTS,
    LETTERS,
    PAIRED,
    SIZE,
    Column,
    Draw,
    Row,
    StuckError,
    World,
)

SAME_PART = (
    "A point is circled on the first image, labeled with REF. Which point circled on the second "
    "image is the corresponding part of the other object?"
)
SAME_USE = (
    "A point is circled on the first image, labeled with REF. Which point circled on the second "
    "image has the same function on the other object?"
)
_CHOICES = [f"Point {letter}" for letter in LETTERS]

FUNCTIONS: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "grip": {
            "mug": ("handle",),
            "pan": ("handle",),
            "kettle": ("handle",),
            "hammer": ("handle",),
            "bottle": ("neck",),
            "lamp": ("stand",),
        },
        "contain": {
            "mug": ("body",),
            "kettle": ("body",),
            "bottle": ("body",),
            "pan": ("inside",),
            "table": ("chest",),
        },
        "pour": {"mug": ("rim",), "pan": ("rim",), "kettle": ("spout",), "bottle": ("opening",)},
        "open": {"kettle": ("lid",), "table": ("knob",)},
        "support": {"chair": ("seat",), "table": ("top",)},
        "stand": {
            "mug": ("base",),
            "pan": ("base",),
            "kettle": ("base",),
            "bottle": ("base",),
            "lamp": ("base",),
            "chair": ("left_foot", "right_foot"),
            "table": ("front_leg",),
        },
    }
)
"""Function to the parts of each category that serve it."""

_ASKED = ("mug", "pan", "kettle", "bottle", "table")
# Only categories with four functions are asked about: if some of the shown parts served none,
# where parts lie would tell which.

USES: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        (category, part): use
        for use, by_category in FUNCTIONS.items()
        for category, parts in by_category.items()
        for part in parts
    }
)


def part_portrait(rng: np.random.Generator, category: str) -> Scene:
    thing = random_thing(rng, categories=[category], scale=(0.9, 1.0))
    return portrait(rng, thing, roll=np.pi)


def _world_points(thing: Thing, part: str) -> Floats:
    """(k, 3) world positions of a part's equivalent points."""
    points = solid(thing.category, thing.shape).parts[part]
    return points @ thing.rotation.T * thing.scale + thing.position


def _spot(view: View, part: str) -> tuple[Floats, Floats] | None:
    """Pixel (2,) and world (3,) position of a part where it is seen nearest, or None if hidden."""
    world = _world_points(view.scene.things[0], part)
    xy, depth = view.scene.camera.project(world, SIZE)
    usable = view.visible(world) & in_frame(xy)
    if not usable.any():
        return None
    best = int(np.argmin(np.where(usable, depth, np.inf)))
    # A point on the very edge would be marked next to the thing: it must show there.
    shows = view.ids[int(xy[best, 1]), int(xy[best, 0])] == 0
    return (xy[best], world[best]) if shows else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choices:
    """The second object with four visible parts, of which the gold one is asked for."""

    scene: Scene
    parts: list[str]
    points: Floats


def _choices(draw: Draw, category: str, *, use: bool) -> _Choices | None:
    """Try one view of the second object.

    Which four parts are shown is settled before which of them is right, so that their positions
    do not tell.
    """
    view = look(part_portrait(draw.rng, category))
    names = solid(category, view.scene.things[0].shape).parts
    if use:
        names = {name: names[name] for name in names if (category, name) in USES}
    spots = {name: spot[0] for name in names if (spot := _spot(view, name)) is not None}
    fours = list(combinations(spots, 4))
    apart = 12 - 3 * draw.difficulty
    for pick in draw.rng.permutation(len(fours)):
        four = fours[pick]
        if nearest_apart(np.stack([spots[name] for name in four])) < apart:
            continue
        # Shuffled, so that the part at the gold place is any of the four.
        parts = [four[i] for i in draw.rng.permutation(4)]
        points = np.stack([spots[name] for name in parts])
        return _Choices(scene=view.scene, parts=parts, points=points)
    return None


def _partners(category: str, part: str) -> list[tuple[str, str]]:
    """Parts of other categories that serve as `part` of `category` does."""
    return [key for key in USES if key[0] != category and _same_use(key, (category, part))]


def _reference(draw: Draw, category: str, part: str) -> tuple[Scene, Floats] | None:
    """Find a view of the first object that shows `part`; return it and REF's pixel."""
    for _ in range(30):
        scene = part_portrait(draw.rng, category)
        camera = replace(scene.camera, distance=scene.camera.distance * 1.15)
        spot = _spot(look(replace(scene, camera=camera)), part)
        if spot is None:
            continue
        pixel = reference_pixel(draw.rng)
        scene = replace(scene, camera=camera.aimed(spot[1], pixel, SIZE))
        view = look(scene)
        hit = view.ids[int(pixel[1]), int(pixel[0])] == 0 and view.visible(spot[1])[0]
        if hit and _share_in_frame(scene) > 0.7:
            return scene, pixel
    return None


def _share_in_frame(scene: Scene) -> float:
    """Share of the first thing's corners that project into the image."""
    thing = scene.things[0]
    corners = solid(thing.category, thing.shape).triangles[::4, 0]
    xy = scene.camera.project(corners @ thing.rotation.T * thing.scale + thing.position, SIZE)[0]
    return float(((xy > 0) & (xy < SIZE)).all(axis=1).mean())


def _same_use(a: tuple[str, str], b: tuple[str, str]) -> bool:
    """Whether two parts serve the same function."""
    return a in USES and USES[a] == USES.get(b)


def _finish(first: Scene, part: str, reference: Floats, second: _Choices) -> Row:
    """Draw both views."""
    one, two = render(first).rgb, render(second.scene).rgb
    return {
        "choices": list(_CHOICES),
        "image_1": draw_markers(one, reference[None], ["REF"]),
        "image_2": draw_markers(two, second.points, LETTERS),
        "unmarked_1": one,
        "unmarked_2": two,
        "reference": listed(reference[None])[0],
        "points": listed(second.points),
        "reference_part": f"{first.things[0].category}.{part}",
        "point_parts": [f"{second.scene.things[0].category}.{name}" for name in second.parts],
    }


def _row(draw: Draw, *, use: bool) -> Row:
    """Draw a document that asks for the same part or, with `use`, for one of the same function."""
    asked = _ASKED if use else COMPOSITES
    category = asked[draw.rng.integers(len(asked))]
    for _ in range(ATTEMPTS):
        second = _choices(draw, category, use=use)
        if second is None:
            continue
        other, part = category, second.parts[draw.gold]
        if use:
            partners = _partners(category, part)
            other, part = partners[draw.rng.integers(len(partners))]
        found = _reference(draw, other, part)
        if found is not None:
            question = SAME_USE if use else SAME_PART
            return {"question": question, **_finish(found[0], part, found[1], second)}
    raise StuckError(f"no parts of a {category} fit")


_COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "image_1": "image",
        "image_2": "image",
        "unmarked_1": "image",
        "unmarked_2": "image",
        "reference": "point",
        "points": "points",
        "reference_part": "string",
        "point_parts": "strings",
    }
)

SEMANTIC_CORRESPONDENCE = World(
    name="semantic_correspondence",
    version=1,
    summary="Which point marks the same part on another instance of the category?",
    n_choices=4,
    images=2,
    variants=1,
    columns=_COLUMNS,
    row=partial(_row, use=False),
    markers=PAIRED,
)

OBJECT_AFFORDANCE = World(
    name="object_affordance",
    version=1,
    summary="Which point marks the part with the same function on another category?",
    n_choices=4,
    images=2,
    variants=1,
    columns=_COLUMNS,
    row=partial(_row, use=True),
    markers=PAIRED,
)
