"""Odd one out: two views of one object and one of another; which image shows the other?

Colour, texture, floor and light are the same in all three images; only shape tells.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vlmbench.tasks.worlds._random import (
    FRONTAL,
    random_backdrop,
    random_floor,
    random_light,
    random_thing,
)
from vlmbench.tasks.worlds._render import View, look, render
from vlmbench.tasks.worlds._scene import Camera, Light, Scene, Surface, Thing, Vector
from vlmbench.tasks.worlds._shapes import CATEGORIES, random_shape
from vlmbench.tasks.worlds._solids import Shape
from vlmbench.tasks.worlds._world import SIZE, Draw, Row, World

QUESTION = "Two of the images show the same object. Which image shows a different object?"

_AREA = 1500.0
"""Pixels that the thing should cover, if its extent allows."""


def _other_shape(rng: np.random.Generator, shape: Shape, apart: float) -> Shape:
    """Draw parameters whose first two (which every category has) differ by at least `apart`."""
    for _ in range(200):
        other = random_shape(rng)
        if np.abs(np.subtract(other, shape))[:2].min() >= apart:
            break
    return other


def like_objects(rng: np.random.Generator, difficulty: float) -> tuple[Thing, Thing]:
    """Return two objects with the same surface: the harder, the more often of one category."""
    thing = random_thing(rng, scale=(0.85, 1.0))
    if rng.random() < difficulty:
        shape = _other_shape(rng, thing.shape, 0.6 - 0.4 * difficulty)
        return thing, replace(thing, shape=shape)
    others = [category for category in CATEGORIES if category != thing.category]
    category = others[rng.integers(len(others))]
    return thing, replace(thing, category=category, shape=random_shape(rng))


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What all images of a document share: light, floor, backdrop, and where sides are told from.

    Attributes:
        light: Of every image.
        floor: Of every image.
        backdrop: Of every image.
        start: Azimuth in radians that the cameras' are counted from.
    """

    light: Light
    floor: Surface
    backdrop: tuple[Vector, Vector]
    start: float

    def view(self, rng: np.random.Generator, shown: Thing) -> Scene:
        """Draw a view of a thing, from a random side."""
        reach = 0.9 if shown.category in FRONTAL else np.pi
        azimuth = float(self.start + rng.uniform(-np.pi, np.pi))
        camera = Camera(
            target=(0.0, 0.0, 0.36),
            distance=2.6,
            azimuth=azimuth,
            elevation=float(rng.uniform(0.25, 0.8)),
            field_of_view=0.74,
        )
        turned = replace(shown, turn=(0.0, 0.0, float(azimuth + rng.uniform(-reach, reach))))
        scene = Scene(
            things=(turned,),
            camera=camera,
            light=self.light,
            floor=self.floor,
            backdrop=self.backdrop,
        )
        return _resized(rng, scene, look(scene))


def random_around(rng: np.random.Generator) -> Around:
    """Draw what all images of a document share."""
    return Around(
        light=random_light(rng),
        floor=random_floor(rng),
        backdrop=random_backdrop(rng),
        start=float(rng.uniform(-np.pi, np.pi)),
    )


def _resized(rng: np.random.Generator, scene: Scene, view: View) -> Scene:
    """Move the camera so that the thing covers much the same area in every image, near the middle.

    Otherwise a pan among cubes is told by its few pixels of colour.
    """
    rows, columns = np.nonzero(view.ids == 0)
    extent = max(np.ptp(rows), np.ptp(columns)) + 1
    area = _AREA * float(rng.uniform(0.85, 1.15))
    nearer = min(np.sqrt(area / len(rows)), 80 / extent)
    camera = scene.camera
    middle = np.array([np.ptp(columns) / 2 + columns.min(), np.ptp(rows) / 2 + rows.min()])
    point = camera.target
    shift = (middle - SIZE / 2) * nearer
    camera = replace(camera, distance=camera.distance / float(nearer))
    pixel = SIZE / 2 - shift + rng.uniform(-5, 5, 2)
    return replace(scene, camera=camera.aimed(point, pixel, SIZE))


def _row(draw: Draw) -> Row:
    return _with_odd(draw, draw.gold)


def _moved(draw: Draw) -> Row:
    """Draw the same views with the odd object in the next image, the last one's being the first."""
    odd = (draw.gold + 1) % 3
    return {**_with_odd(draw, odd), "gold": odd}


def _with_odd(draw: Draw, odd: int) -> Row:
    """Draw a document whose odd object is in that image; all else hangs on the draw alone."""
    rng = draw.rng
    things = like_objects(rng, draw.difficulty)
    around = random_around(rng)
    images = [render(around.view(rng, things[index == odd])).rgb for index in range(3)]
    return {
        "question": QUESTION,
        "choices": ["the first image", "the second image", "the third image"],
        **{f"image_{i + 1}": image for i, image in enumerate(images)},
    }


OBJECT_3D = World(
    name="object_3d",
    first_name="odd_one_out",
    version=1,
    summary="Which of three images shows another object than the other two?",
    n_choices=3,
    images=3,
    variants=1,
    columns={"image_1": "image", "image_2": "image", "image_3": "image"},
    row=_row,
    counterfactual=_moved,
)
