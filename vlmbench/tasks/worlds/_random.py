"""Random surfaces, light, things and whole scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vlmbench.tasks.worlds._scene import (
    COLOURS,
    TEXTURES,
    Camera,
    Light,
    Scene,
    Surface,
    Texture,
    Thing,
    Vector,
    vector,
)
from vlmbench.tasks.worlds._shapes import CATEGORIES, random_shape

# Facing away these are unrecognisable bars, so their front stays within 50 degrees of the camera.
FRONTAL: frozenset[str] = frozenset({"star", "cross", "ring"})


def random_surface(
    rng: np.random.Generator, colour: str, textures: Sequence[Texture] = TEXTURES
) -> Surface:
    """Draw a jittered surface whose main colour is `colour`; its second one is a shade of it."""
    base = np.asarray(COLOURS[colour]) * rng.uniform(0.88, 1.06) + rng.normal(0, 0.025, 3)
    base = np.clip(base, 0.02, 1.0)
    # Lightening would turn orange into peach and red into pink, so patterns darken.
    second = base * rng.uniform(0.4, 0.6)
    return Surface(
        texture=textures[int(rng.integers(len(textures)))],
        rgb=vector(base),
        second=vector(second),
        frequency=float(rng.uniform(2.5, 5.0)),
        turn=float(rng.uniform(0, np.pi)),
    )


def random_floor(rng: np.random.Generator) -> Surface:
    """Draw a muted floor, so that it never outshines the named colours."""
    grey = rng.uniform(0.3, 0.75)
    first = np.clip(grey + rng.normal(0, 0.04, 3), 0, 1)
    second = np.clip(first * rng.uniform(0.55, 0.9), 0, 1)
    return Surface(
        texture=TEXTURES[int(rng.integers(len(TEXTURES)))],
        rgb=vector(first),
        second=vector(second),
        frequency=float(rng.uniform(1.0, 3.0)),
        turn=float(rng.uniform(0, np.pi)),
    )


def random_light(rng: np.random.Generator) -> Light:
    """Draw a lamp from anywhere above, slightly warm or cold."""
    around, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.2)
    direction = [np.cos(around) * np.cos(height), np.sin(around) * np.cos(height), np.sin(height)]
    warm = rng.uniform(-0.08, 0.08)
    return Light(
        direction=vector(direction),
        tint=vector(np.array([1 + warm, 1.0, 1 - warm]) * rng.uniform(0.85, 1.1)),
        ambient=float(rng.uniform(0.5, 0.7)),
        gloss=float(rng.uniform(0.0, 0.35)),
    )


def random_backdrop(rng: np.random.Generator) -> tuple[Vector, Vector]:
    """Draw the two muted colours of the backdrop."""
    low = np.clip(rng.uniform(0.35, 0.85) + rng.normal(0, 0.05, 3), 0, 1)
    return vector(low), vector(np.clip(low * rng.uniform(0.6, 1.2), 0, 1))


def random_yaw(rng: np.random.Generator, category: str, azimuth: float) -> float:
    """Draw a yaw, near the camera's own for shapes that have only one telling side."""
    if category in FRONTAL:
        return float(azimuth + rng.uniform(-0.9, 0.9))
    return float(rng.uniform(-np.pi, np.pi))


def random_thing(
    rng: np.random.Generator,
    *,
    categories: Sequence[str] = CATEGORIES,
    colours: Sequence[str] = tuple(COLOURS),
    textures: Sequence[Texture] = TEXTURES,
    azimuth: float = 0.0,
    scale: tuple[float, float] = (0.7, 1.0),
) -> Thing:
    """Draw one object standing at the origin."""
    category = categories[int(rng.integers(len(categories)))]
    colour = colours[int(rng.integers(len(colours)))]
    return Thing(
        category=category,
        colour=colour,
        surface=random_surface(rng, colour, textures),
        shape=random_shape(rng),
        turn=(0.0, 0.0, random_yaw(rng, category, azimuth)),
        scale=float(rng.uniform(*scale)),
    )


def random_scene(
    rng: np.random.Generator,
    *,
    things: int | tuple[int, int] = (1, 4),
    categories: Sequence[str] = CATEGORIES,
    colours: Sequence[str] = tuple(COLOURS),
    textures: Sequence[Texture] = TEXTURES,
    roll: float = 0.0,
) -> Scene:
    """Draw objects standing apart on a textured floor, from a random viewpoint, in random light.

    Args:
        rng: Source of every choice.
        things: How many objects, or the inclusive range to draw from.
        categories: Categories to draw from.
        colours: Colour names to draw from.
        textures: Object textures to draw from.
        roll: Largest camera roll in radians.
    """
    low, high = (things, things) if isinstance(things, int) else things
    count = int(rng.integers(low, high + 1))
    azimuth = float(rng.uniform(-np.pi, np.pi))
    spread = 0.0 if count == 1 else 0.42 * np.sqrt(count) + 0.1
    placed: list[Thing] = []
    for _ in range(count * 30):
        if len(placed) == count:
            break
        thing = random_thing(
            rng, categories=categories, colours=colours, textures=textures, azimuth=azimuth
        )
        x, y = rng.uniform(-1, 1, 2) * spread
        if all(
            np.hypot(x - other.position[0], y - other.position[1])
            > 0.5 * (thing.scale + other.scale) * 0.92
            for other in placed
        ):
            placed.append(replace(thing, position=(float(x), float(y), 0.0)))
    camera = Camera(
        target=(0.0, 0.0, float(rng.uniform(0.25, 0.45))),
        distance=float((1.85 + 1.3 * spread) * rng.uniform(0.95, 1.2)),
        azimuth=azimuth,
        elevation=float(rng.uniform(0.25, 0.8)),
        roll=float(rng.uniform(-roll, roll)) if roll else 0.0,
        field_of_view=float(rng.uniform(0.6, 0.8)),
    )
    return Scene(
        things=tuple(placed),
        camera=camera,
        light=random_light(rng),
        floor=random_floor(rng),
        backdrop=random_backdrop(rng),
    )
