"""Odd one out: two views of one object and one of another; which image shows the other?

Colour, texture, floor and light are the same in all three images; only shape tells.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vlmbench.tasks.worlds._scene import (
    FRONTAL,
    Camera,
    Scene,
    Thing,
    random_backdrop,
    random_floor,
    random_light,
    random_thing,
)
from vlmbench.tasks.worlds._shapes import CATEGORIES, Shape, random_shape
from vlmbench.tasks.worlds._world import Draw, Row, World

QUESTION = "Two of the images show the same object. Which image shows a different object?"


def _other_shape(rng: np.random.Generator, shape: Shape, apart: float) -> Shape:
    """Draw parameters whose first two (which every category has) differ by at least `apart`."""
    for _ in range(200):
        other = random_shape(rng)
        if np.abs(np.subtract(other, shape))[:2].min() >= apart:
            break
    return other


def _other(rng: np.random.Generator, thing: Thing, difficulty: float) -> Thing:
    """Another object with the same surface: the harder, the more often of the same category."""
    if rng.random() < difficulty:
        return replace(thing, shape=_other_shape(rng, thing.shape, 0.6 - 0.4 * difficulty))
    others = [category for category in CATEGORIES if category != thing.category]
    return replace(
        thing, category=others[rng.integers(len(others))], shape=random_shape(rng)
    )


def _row(draw: Draw) -> Row:
    from vlmbench.tasks.worlds._render import render

    rng = draw.rng
    thing = random_thing(rng, scale=(0.85, 1.0))
    other = _other(rng, thing, draw.difficulty)
    light, floor, backdrop = random_light(rng), random_floor(rng), random_backdrop(rng)
    start = rng.uniform(-np.pi, np.pi)
    images = []
    for index in range(3):
        shown = other if index == draw.gold else thing
        reach = 0.9 if shown.category in FRONTAL else np.pi
        azimuth = float(start + rng.uniform(-np.pi, np.pi))
        camera = Camera(
            target=(0.0, 0.0, float(rng.uniform(0.3, 0.42))),
            distance=float(rng.uniform(1.75, 2.05)),
            azimuth=azimuth,
            elevation=float(rng.uniform(0.25, 0.8)),
            field_of_view=0.74,
        )
        turned = replace(shown, turn=(0.0, 0.0, float(azimuth + rng.uniform(-reach, reach))))
        scene = Scene(
            things=(turned,), camera=camera, light=light, floor=floor, backdrop=backdrop
        )
        images.append(render(scene).rgb)
    return {
        "question": QUESTION,
        "choices": ["the first image", "the second image", "the third image"],
        **{f"image_{i + 1}": image for i, image in enumerate(images)},
    }


ODD_ONE_OUT = World(
    name="odd_one_out",
    summary="Which of three images shows another object than the other two?",
    n_choices=3,
    images=3,
    variants=1,
    columns={"image_1": "image", "image_2": "image", "image_3": "image"},
    row=_row,
)
