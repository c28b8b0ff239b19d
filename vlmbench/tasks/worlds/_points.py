"""What the ray caster knows of points of an image: labels that an encoder can be taught by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vlmbench.tasks.worlds._mesh import Floats
from vlmbench.tasks.worlds._parts import FUNCTIONS, USES
from vlmbench.tasks.worlds._place import in_frame
from vlmbench.tasks.worlds._render import View
from vlmbench.tasks.worlds._scene import COLOURS, Thing
from vlmbench.tasks.worlds._shapes import CATEGORIES, COMPOSITES, solid
from vlmbench.tasks.worlds._trace import NOTHING, meet
from vlmbench.tasks.worlds._world import SIZE

UNKNOWN = -100
"""Label of a point that has none of its kind; numbers that a point does not have are NaN."""

PARTS: tuple[tuple[str, str], ...] = tuple(
    (category, part)
    for category in COMPOSITES
    for part in solid(category, (0.5, 0.5, 0.5, 0.5)).parts
)
"""Every named part with its category."""

POINT = np.dtype(
    [
        ("xy", np.float32, 2),
        ("category", np.int64),
        ("colour", np.int64),
        ("part", np.int64),
        ("use", np.int64),
        ("letter", np.int64),
        ("match", np.bool_),
        ("depth", np.float32),
        ("foot", np.float32, 2),
    ]
)
"""One point of an image: its position in pixels and what is known of it.

`category`, `colour`, `part` and `use` count the names of what is seen there; `letter` is the
marker drawn on it, counted from 1, and 0 without one; `match` says that the point of the same
number in the other view of a pair is the same point of the scene. `depth` is the logarithm of
metres along the line of sight, and `foot` leads to the floor right below, or as far beyond the
image's border as it is followed, in image sides.
"""

_BEYOND = 10.0
"""Pixels out of the image to which a foot is followed: farther ones do not show where they are."""

_NEAR = 0.1
"""How far from a part's points its surface goes, in object units."""

_USES = np.array([list(FUNCTIONS).index(USES[key]) if key in USES else UNKNOWN for key in PARTS])


def unknown_points(xy: Floats) -> NDArray[np.void]:
    """Return (n,) `POINT`s at (n, 2) pixel positions of which nothing is known, markers apart."""
    points = np.zeros(len(xy), POINT)
    points["xy"] = xy
    for name in ("category", "colour", "part", "use"):
        points[name] = UNKNOWN
    for name in ("depth", "foot"):
        points[name] = np.nan
    return points


def known_points(view: View, xy: Floats) -> NDArray[np.void]:
    """Return (n,) `POINT`s at (n, 2) pixel positions with all that is seen there."""
    rays = meet(view.scene, view.tracer, xy, SIZE)
    points = unknown_points(xy)
    struck = rays.ids != NOTHING
    points["depth"][struck] = np.log(rays.depth[struck])
    for index, thing in enumerate(view.scene.things):
        here = np.flatnonzero(rays.ids == index)
        if len(here):
            at = view.scene.camera.origin + rays.directions[here] * rays.distance[here, None]
            points[here] = _on_thing(points[here], view, thing, at)
    return points


def _on_thing(points: NDArray[np.void], view: View, thing: Thing, at: Floats) -> NDArray[np.void]:
    """Return points with what is known of them as parts of the thing they lie on."""
    below = view.scene.camera.project(at * (1, 1, 0), SIZE)[0]
    points["foot"] = (np.clip(below, -_BEYOND, SIZE + _BEYOND) - points["xy"]) / SIZE
    if thing.category not in CATEGORIES:
        return points  # a pole is furniture
    points["category"] = CATEGORIES.index(thing.category)
    points["colour"] = list(COLOURS).index(thing.colour)
    local = (at - thing.position) @ thing.rotation / thing.scale
    if thing.category in COMPOSITES:
        places = solid(thing.category, thing.shape).parts
        away = [
            np.linalg.norm(local[:, None] - some, axis=2).min(axis=1) for some in places.values()
        ]
        numbers = np.array([PARTS.index((thing.category, name)) for name in places])
        nearest = np.argmin(away, axis=0)
        close = np.min(away, axis=0) < _NEAR
        points["part"] = np.where(close, numbers[nearest], UNKNOWN)
        points["use"] = np.where(close, _USES[numbers[nearest]], UNKNOWN)
    return points


def part_spots(rng: np.random.Generator, view: View, index: int, each: int) -> NDArray[np.void]:
    """Return `POINT`s at visible points of the named parts of a thing: `each` of every part seen.

    A part that has fewer points gives some twice, so that all parts count alike.
    """
    thing = view.scene.things[index]
    parts = solid(thing.category, thing.shape).parts
    names = np.array([name for name, some in parts.items() for _ in some])
    world = np.concatenate(list(parts.values())) @ thing.rotation.T * thing.scale + thing.position
    xy = view.project(world)
    seen = np.flatnonzero(view.visible(world) & in_frame(xy))
    columns, rows = xy[seen].astype(int).T
    seen = seen[view.ids[rows, columns] == index]
    shown = [name for name in parts if name in names[seen]]
    spots = [spot for name in shown for spot in rng.choice(seen[names[seen] == name], each)]
    points = known_points(view, xy[spots].reshape(-1, 2))
    points["part"] = [PARTS.index((thing.category, names[spot])) for spot in spots]
    points["use"] = _USES[points["part"]]
    return points


def random_points(
    rng: np.random.Generator, view: View, count: int, *, floor: float = 0.1
) -> Floats:
    """Return (count, 2) random pixel positions: about an equal share on each thing, some off."""
    found = []
    shown = [index for index in range(len(view.scene.things)) if (view.ids == index).sum() >= 12]
    where = [*shown, -1] if shown else [-1]
    share = [(1 - floor) / len(shown)] * len(shown) + [floor] if shown else [1.0]
    for index, some in zip(where, rng.multinomial(count, share), strict=True):
        rows, columns = np.nonzero(view.ids == index)
        if not len(rows):
            rows, columns = np.indices(view.ids.shape).reshape(2, -1)
        pick = rng.integers(len(rows), size=some)
        found.append(np.stack([columns[pick], rows[pick]], axis=1) + rng.random((some, 2)))
    return np.concatenate(found)
