"""Depth: which of two marked points is nearer to the camera?

Where the two things show in the image and how large they look is drawn before which of them is
the nearer; then each is set at its depth on a pole that reaches the floor. So neither height
in the image nor apparent size tells: the pole's foot, overlap and shadow do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmbench.tasks.worlds._markers import draw_markers
from vlmbench.tasks.worlds._mesh import Floats
from vlmbench.tasks.worlds._place import inner_point, listed
from vlmbench.tasks.worlds._random import random_backdrop, random_floor, random_light, random_thing
from vlmbench.tasks.worlds._render import look, render
from vlmbench.tasks.worlds._scene import Camera, Scene, Surface, Thing, vector
from vlmbench.tasks.worlds._shapes import solid
from vlmbench.tasks.worlds._world import ATTEMPTS, SIZE, Draw, Row, StuckError, World

QUESTION = (
    "Two points are circled on the image, labeled by A and B. Which point is closer to the camera?"
)


_MARKED = 2  # the first two things of a scene carry the markers


def _camera(rng: np.random.Generator) -> Camera:
    """A camera high enough that things low in the image stay above the floor at any depth."""
    elevation = float(rng.uniform(0.25, 0.4))
    distance = 3.2
    lowest = np.sin(elevation) + 0.19 * np.cos(elevation)  # fall per metre of depth, at y = 72
    height = float(rng.uniform(0.3, 0.6) + 4.4 * lowest)
    return Camera(
        target=(0.0, 0.0, height - distance * float(np.sin(elevation))),
        distance=distance,
        azimuth=float(rng.uniform(-np.pi, np.pi)),
        elevation=elevation,
        field_of_view=0.74,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Placed:
    """A thing on a pole: what it is, where it shows, and how far away and how large that is."""

    thing: Thing
    grey: Floats
    pixel: Floats
    depth: float
    extent: float

    def standing(self, camera: Camera) -> tuple[Thing, Thing]:
        """Return the thing so that it shows as it is said to, and its pole."""
        span = 2 * np.tan(camera.field_of_view / 2) / SIZE  # metres per pixel at a depth of one
        scale = float(self.extent * span * self.depth)
        right, down, forward = camera.axes
        offset = (self.pixel - SIZE / 2) * span
        centre = camera.origin + self.depth * (forward + offset[0] * right + offset[1] * down)
        tall = float(solid(self.thing.category, self.thing.shape).triangles[..., 2].max())
        base = max(float(centre[2]) - tall * scale / 2, 0.05)
        at = (float(centre[0]), float(centre[1]), base)
        grey, width = vector(self.grey), 0.35 * scale
        pole = Thing(
            category="plinth",
            colour="white",
            surface=Surface(texture="plain", rgb=grey, second=grey),
            shape=(width, base, 0.0, 0.0),
            position=(at[0], at[1], 0.0),
            scale=max(width, base),
        )
        return replace(self.thing, position=at, scale=scale), pole


def _placed(
    rng: np.random.Generator, camera: Camera, pixel: Floats, depth: float, extent: float
) -> _Placed:
    """Draw a thing to show at a pixel and depth with an extent in pixels."""
    thing = random_thing(rng, azimuth=camera.azimuth)
    grey = np.clip(rng.uniform(0.4, 0.8) + rng.normal(0, 0.02, 3), 0, 1)
    return _Placed(thing=thing, grey=grey, pixel=pixel, depth=depth, extent=extent)


def _marked_pixels(rng: np.random.Generator) -> Floats:
    """(2, 2) where the two marked things show: the upper one, then the lower.

    They keep apart sideways, so that no pole can hide the other thing: whether a scene is usable
    must not depend on which of the two is nearer.
    """
    while True:
        pixels = rng.uniform((16, 22), (80, 68), (2, 2))
        if abs(pixels[0, 0] - pixels[1, 0]) > 26 and abs(pixels[0, 1] - pixels[1, 1]) > 5:
            return pixels[np.argsort(pixels[:, 1])]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scenes:
    """A scene whose things 0 and 1 are the nearer and the farther one to be marked.

    In `swapped` these two have changed depths, and show at the same places in the same sizes.
    """

    plain: Scene
    swapped: Scene


def depth_scenes(rng: np.random.Generator, *, lower_is_nearer: bool, margin: float) -> _Scenes:
    """Draw a scene, with and without its depths swapped."""
    camera = _camera(rng)
    upper, lower = _marked_pixels(rng)
    near = float(rng.uniform(2.2, 3.0))
    far = near + margin + float(rng.uniform(0, 0.7))
    extents = rng.uniform(17, 27, 2)
    pixels = (lower, upper) if lower_is_nearer else (upper, lower)
    marked = [
        _placed(rng, camera, pixel, depth, extent)
        for pixel, depth, extent in zip(pixels, (near, far), extents, strict=True)
    ]
    others = []
    for _ in range(int(rng.integers(1, 4))):
        pixel, depth = rng.uniform((8, 20), (88, 74)), float(rng.uniform(2.4, 4.4))
        others.append(_placed(rng, camera, pixel, depth, float(rng.uniform(12, 24))))
    around: dict[str, Any] = {
        "camera": camera,
        "light": random_light(rng),
        "floor": random_floor(rng),
        "backdrop": random_backdrop(rng),
    }

    def built(depths: tuple[float, float]) -> Scene:
        two = [replace(one, depth=depth) for one, depth in zip(marked, depths, strict=True)]
        pairs = [one.standing(camera) for one in (*two, *others)]
        things = (*(thing for thing, _ in pairs), *(pole for _, pole in pairs))
        return Scene(things=things, **around)

    return _Scenes(plain=built((near, far)), swapped=built((far, near)))


def _found(draw: Draw) -> tuple[_Scenes, Floats]:
    """Draw scenes until one fits; return it and (2, 2) points on its nearer and farther thing."""
    rng, margin = draw.rng, _margin(draw)
    for _ in range(ATTEMPTS):
        scenes = depth_scenes(rng, lower_is_nearer=bool(draw.variant), margin=margin)
        view = look(scenes.plain)
        spots = [inner_point(rng, view.ids == i) for i in range(_MARKED)]
        if spots[0] is None or spots[1] is None:
            continue
        points = np.array(spots)
        near, far = _at(view.depth, points)
        lower_is_nearer = bool(points[0, 1] > points[1, 1])
        if far - near >= 0.8 * margin and lower_is_nearer == bool(draw.variant):
            return scenes, points
    raise StuckError("depth: no scene fits")


def _margin(draw: Draw) -> float:
    """Return by how many metres the two depths differ at least, about."""
    return 0.9 - 0.7 * draw.difficulty


def _at(values: NDArray[Any], points: Floats) -> NDArray[Any]:
    """Return the values of a map (h, w) at points (n, 2): (n,)."""
    found: NDArray[Any] = values[points[:, 1].astype(int), points[:, 0].astype(int)]
    return found


def _row(draw: Draw) -> Row:
    scenes, points = _found(draw)
    return _drawn(scenes.plain, points if draw.gold == 0 else points[::-1])


def _swapped(draw: Draw) -> Row | None:
    """Draw the same scene with the two depths swapped, if both things still show at their points.

    Nothing may hide them, and they must be as far apart as in any document of the world.
    """
    scenes, points = _found(draw)
    view = look(scenes.swapped)
    near, far = _at(view.depth, points)[::-1]
    if _at(view.ids, points).tolist() != [0, 1] or far - near < 0.8 * _margin(draw):
        return None
    shown = points if draw.gold == 0 else points[::-1]
    return {**_drawn(scenes.swapped, shown), "gold": 1 - draw.gold}


def _drawn(scene: Scene, shown: Floats) -> Row:
    """Return the row of a scene with its points A and B."""
    image = render(scene)
    return {
        "question": QUESTION,
        "choices": ["A is closer", "B is closer"],
        "image_1": draw_markers(image.rgb, shown, "AB"),
        "unmarked_1": image.rgb,
        "depth_1": np.round(image.depth * 1000).astype(np.uint16),
        "points": listed(shown),
    }


DEPTH = World(
    name="depth",
    version=1,
    summary="Which of two marked points is nearer to the camera?",
    n_choices=2,
    images=1,
    variants=2,
    columns={"image_1": "image", "unmarked_1": "image", "depth_1": "depth", "points": "points"},
    row=_row,
    markers={"image_1": ("points", ("A", "B"))},
    counterfactual=_swapped,
)
