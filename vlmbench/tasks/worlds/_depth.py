"""Depth: which of two marked points is nearer to the camera?

Things stand on the floor or on plinths of any height, so that neither height in the image nor
size says which is nearer; where a plinth meets the floor does, and so do overlap and shadow.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vlmbench.tasks.worlds._markers import draw_markers
from vlmbench.tasks.worlds._mesh import Floats
from vlmbench.tasks.worlds._place import inner_point, listed, nearest_apart
from vlmbench.tasks.worlds._scene import (
    Camera,
    Scene,
    Surface,
    Thing,
    random_backdrop,
    random_floor,
    random_light,
    random_thing,
    vector,
)
from vlmbench.tasks.worlds._world import ATTEMPTS, Draw, Row, Stuck, World

QUESTION = (
    "Two points are circled on the image, labeled by A and B. Which point is closer to the camera?"
)


def _plinth(rng: np.random.Generator, at: tuple[float, float], width: float, height: float) -> Thing:
    """A grey column of the given width and height in metres."""
    grey = np.clip(rng.uniform(0.4, 0.8) + rng.normal(0, 0.02, 3), 0, 1)
    return Thing(
        category="plinth",
        colour="white",
        surface=Surface(texture="plain", rgb=vector(grey), second=vector(grey)),
        shape=(width, height, 0.0, 0.0),
        position=(*at, 0.0),
        scale=max(width, height),
    )


def _scene(rng: np.random.Generator) -> tuple[Scene, int]:
    """Draw a scene; return it and how many of its things may be marked (they come first)."""
    azimuth = float(rng.uniform(-np.pi, np.pi))
    camera = Camera(
        target=(0.0, 0.0, float(rng.uniform(0.55, 0.75))),
        distance=float(rng.uniform(3.5, 4.1)),
        azimuth=azimuth,
        elevation=float(rng.uniform(0.15, 0.4)),
        field_of_view=float(rng.uniform(0.66, 0.76)),
    )
    right, _, forward = camera.axes
    forward = forward * [1, 1, 0] / np.hypot(*forward[:2])
    things, plinths, taken = [], [], np.zeros((0, 2))
    for _ in range(int(rng.integers(4, 6)) * 3):
        if len(things) == 5:
            break
        along = rng.uniform(-1.3, 1.7)
        # The view widens with distance: places fill it evenly.
        across = rng.uniform(-1, 1) * 0.3 * (camera.distance + along)
        spot = along * forward + across * right
        if len(taken) and np.hypot(*(taken - spot[:2]).T).min() < 0.7:
            continue
        taken = np.vstack([taken, spot[:2]])
        thing = random_thing(rng, azimuth=azimuth, scale=(0.45, 0.95))
        height = 0.0 if rng.random() < 0.35 else float(rng.uniform(0.15, 1.2))
        at = (float(spot[0]), float(spot[1]))
        if height:
            plinths.append(_plinth(rng, at, thing.scale * 0.62, height))
        things.append(replace(thing, position=(*at, height)))
    scene = Scene(
        things=(*things, *plinths),
        camera=camera,
        light=random_light(rng),
        floor=random_floor(rng),
        backdrop=random_backdrop(rng),
    )
    return scene, len(things)


def _row(draw: Draw) -> Row:
    from vlmbench.tasks.worlds._render import View, look, render

    rng = draw.rng
    lower_is_nearer, larger_is_nearer = bool(draw.variant & 1), bool(draw.variant & 2)
    margin = 0.9 - 0.7 * draw.difficulty  # metres

    def pair(image: View, count: int) -> Floats | None:
        """Points (2, 2), the nearer first, for a random fitting pair of things."""
        masks = [image.ids == i for i in range(count)]
        areas = [int(mask.sum()) for mask in masks]
        points = [inner_point(rng, mask) for mask in masks]
        order = rng.permutation([(i, j) for i in range(count) for j in range(count) if i != j])
        for near, far in order:
            a, b = points[near], points[far]
            if a is None or b is None:
                continue
            depths = [float(image.depth[int(y), int(x)]) for x, y in (a, b)]
            ratio = areas[near] / areas[far]
            if (
                depths[1] - depths[0] >= margin
                and ((a[1] > b[1]) == lower_is_nearer and abs(a[1] - b[1]) > 3)
                and (ratio > 1.1 if larger_is_nearer else ratio < 0.9)
                and nearest_apart(np.array([a, b])) > 14
            ):
                return np.array([a, b])
        return None

    for _ in range(ATTEMPTS):
        scene, count = _scene(rng)
        found = pair(look(scene), count)
        if found is None:
            continue
        points = found if draw.gold == 0 else found[::-1]
        image = render(scene)
        millimetres = np.round(image.depth * 1000).astype(np.uint16)
        return {
            "question": QUESTION,
            "choices": ["A is closer", "B is closer"],
            "image_1": draw_markers(image.rgb, points, "AB"),
            "unmarked_1": image.rgb,
            "depth_1": millimetres,
            "points": listed(points),
        }
    raise Stuck("depth: no pair of things fits")


DEPTH = World(
    name="depth",
    summary="Which of two marked points is nearer to the camera?",
    n_choices=2,
    images=1,
    variants=4,
    columns={"image_1": "image", "unmarked_1": "image", "depth_1": "depth", "points": "points"},
    row=_row,
)
