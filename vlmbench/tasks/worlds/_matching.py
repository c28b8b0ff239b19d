"""Low-level matching: where is the REF point of one view in another view of the same scene?

The second view is rolled by up to half a turn, taken from another side and in other light. Four
points of like colour are drawn there first, then which of them is right; the first view is aimed
so that REF's position is random: no position tells anything.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vlmbench.tasks.worlds._markers import draw_markers
from vlmbench.tasks.worlds._mesh import Floats
from vlmbench.tasks.worlds._place import MARGIN, listed, nearest_apart, reference_pixel
from vlmbench.tasks.worlds._random import random_light, random_scene
from vlmbench.tasks.worlds._render import Rendered, View, look, render
from vlmbench.tasks.worlds._scene import Scene, vector
from vlmbench.tasks.worlds._world import (
    ATTEMPTS,
    LETTERS,
    PAIRED,
    SIZE,
    Draw,
    Image,
    Row,
    StuckError,
    World,
)

QUESTION = (
    "A point is circled on the first image, labeled with REF. Which point circled on the second "
    "image, taken from another side, is the same point?"
)
_CHOICES = [f"Point {letter}" for letter in LETTERS]


def other_view(rng: np.random.Generator, scene: Scene, difficulty: float) -> Scene:
    """The same things from elsewhere, rolled, in other light."""
    camera = scene.camera
    turn = 0.15 + 0.5 * difficulty
    return replace(
        scene,
        camera=replace(
            camera,
            azimuth=camera.azimuth + float(rng.uniform(0.5, 1) * turn * rng.choice([-1, 1])),
            elevation=float(np.clip(camera.elevation + rng.uniform(-0.2, 0.3), 0.3, 1.1)),
            distance=camera.distance * float(rng.uniform(0.85, 1.15)),
            target=vector(np.asarray(camera.target) + rng.uniform(-0.2, 0.2, 3)),
            roll=float(rng.uniform(-np.pi, np.pi)),
        ),
        light=random_light(rng),
    )


def surface_points(image: View, pixels: Floats) -> Floats:
    """World positions (n, 3) of what is seen at (n, 2) pixel positions."""
    camera = image.scene.camera
    depth = image.depth[pixels[:, 1].astype(int), pixels[:, 0].astype(int)]
    scale = 2 / SIZE * np.tan(camera.field_of_view / 2)
    local = np.column_stack([(pixels - SIZE / 2) * scale, np.ones(len(pixels))])
    return np.asarray(camera.origin + (local * depth[:, None]) @ camera.axes)


def telling_points(rng: np.random.Generator, image: Rendered) -> Floats:
    """(n, 2) random pixel centres on things, where the picture has some structure."""
    spread = _local_spread(image.rgb.mean(axis=2))
    spread[image.ids < 0] = 0.0
    edge = int(MARGIN) + 1
    framed = np.zeros_like(spread)
    framed[edge:-edge, edge:-edge] = spread[edge:-edge, edge:-edge]
    rows, columns = np.nonzero(framed > 8)
    pick = rng.permutation(len(rows))[:80]
    return np.stack([columns[pick], rows[pick]], axis=1).astype(float) + 0.5


def _local_spread(tone: Floats) -> Floats:
    """(h, w) standard deviation over the 7 x 7 pixels about each pixel."""
    from scipy.ndimage import uniform_filter

    mean = uniform_filter(tone, 7)
    return np.asarray(np.sqrt(np.maximum(uniform_filter(tone * tone, 7) - mean * mean, 0.0)))


def _row(draw: Draw) -> Row:
    rng = draw.rng
    for _ in range(ATTEMPTS):
        scene = random_scene(rng, things=(3, 5))
        second = render(other_view(rng, scene, draw.difficulty))
        candidates = _four_alike(rng, second, draw.difficulty)
        if candidates is None:
            continue
        found = _first_view(draw, scene, surface_points(second, candidates)[draw.gold])
        if found is None:
            continue
        first, reference = render(found[0]), found[1]
        return {
            "question": QUESTION,
            "choices": list(_CHOICES),
            "image_1": draw_markers(first.rgb, reference[None], ["REF"]),
            "image_2": draw_markers(second.rgb, candidates, LETTERS),
            "unmarked_1": first.rgb,
            "unmarked_2": second.rgb,
            "reference": listed(reference[None])[0],
            "points": listed(candidates),
        }
    raise StuckError("low_level_matching: no points fit")


def _four_alike(rng: np.random.Generator, image: Rendered, difficulty: float) -> Floats | None:
    """Pick four points (4, 2) apart from each other, on spots of like mean colour."""
    pixels = telling_points(rng, image)
    if len(pixels) < 8:
        return None
    means = np.array([_mean_colour(image.rgb, point) for point in pixels])
    unlike = np.abs(means - means[0]).sum(axis=1)
    share = 0.4 - 0.4 * difficulty
    pool = np.argsort(unlike, kind="stable")[: max(8, round(share * len(pixels)))]
    for _ in range(20):
        four: Floats = pixels[rng.choice(pool, 4, replace=False)]
        if nearest_apart(four) > 11:
            return four
    return None


def _first_view(draw: Draw, scene: Scene, point: Floats) -> tuple[Scene, Floats] | None:
    """Aim the first view so that a world point (3,) shows at a random pixel (2,); return both."""
    for _ in range(4):
        pixel = reference_pixel(draw.rng)
        aimed = replace(scene, camera=scene.camera.aimed(point, pixel, SIZE))
        if look(aimed).visible(point, slack=0.02)[0]:
            return aimed, pixel
        nudge = float(draw.rng.uniform(-0.25, 0.25))
        azimuth = scene.camera.azimuth + nudge
        scene = replace(scene, camera=replace(scene.camera, azimuth=azimuth))
    return None


def _mean_colour(rgb: Image, point: Floats) -> Floats:
    """Mean colour of the 7 x 7 pixels about a point."""
    x, y = int(point[0]), int(point[1])
    return np.asarray(rgb[y - 3 : y + 4, x - 3 : x + 4].reshape(-1, 3).mean(axis=0))


LOW_LEVEL_MATCHING = World(
    name="low_level_matching",
    version=1,
    summary="Which point of a second view is the REF point of the first?",
    n_choices=4,
    images=2,
    variants=1,
    columns={
        "image_1": "image",
        "image_2": "image",
        "unmarked_1": "image",
        "unmarked_2": "image",
        "reference": "point",
        "points": "points",
    },
    row=_row,
    markers=PAIRED,
)
