"""Low-level matching: where is the REF point of one view in another view of the same scene?

The second view is rolled by up to half a turn, taken from another side and in other light; the
wrong points look alike, and how near a choice lies to REF's own position is balanced by rank.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import uniform_filter

from vlmbench.tasks.worlds._markers import draw_markers
from vlmbench.tasks.worlds._mesh import Floats
from vlmbench.tasks.worlds._place import MARGIN, in_frame, listed, nearest_apart
from vlmbench.tasks.worlds._scene import (
    Scene,
    random_light,
    random_scene,
    vector,
)
from vlmbench.tasks.worlds._world import ATTEMPTS, LETTERS, SIZE, Draw, Image, Row, Stuck, World

if TYPE_CHECKING:
    from vlmbench.tasks.worlds._render import Rendered, View

QUESTION = (
    "A point is circled on the first image, labeled with REF. Which point circled on the second "
    "image, taken from another side, is the same point?"
)
_CHOICES = [f"Point {letter}" for letter in LETTERS]


def _other_view(rng: np.random.Generator, scene: Scene, difficulty: float) -> Scene:
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


def _surface_points(image: View, pixels: Floats) -> Floats:
    """World positions (n, 3) of what is seen at (n, 2) pixel positions."""
    camera = image.scene.camera
    depth = image.depth[pixels[:, 1].astype(int), pixels[:, 0].astype(int)]
    scale = 2 / SIZE * np.tan(camera.field_of_view / 2)
    local = np.column_stack([(pixels - SIZE / 2) * scale, np.ones(len(pixels))])
    return np.asarray(camera.origin + (local * depth[:, None]) @ camera.axes)


def _telling_points(rng: np.random.Generator, image: Rendered) -> Floats:
    """(n, 2) random pixel centres on things, where the picture has some structure to go by."""
    spread = _local_spread(image.rgb.mean(axis=2))
    spread[image.ids < 0] = 0.0
    edge = int(MARGIN) + 1
    framed = np.zeros_like(spread)
    framed[edge:-edge, edge:-edge] = spread[edge:-edge, edge:-edge]
    rows, columns = np.nonzero(framed > 8)
    pick = rng.permutation(len(rows))[:80]
    return np.stack([columns[pick], rows[pick]], axis=1) + 0.5


def _local_spread(tone: Floats) -> Floats:
    """(h, w) standard deviation over the 7 x 7 pixels about each pixel."""
    mean = uniform_filter(tone, 7)
    return np.sqrt(np.maximum(uniform_filter(tone * tone, 7) - mean * mean, 0.0))


def _row(draw: Draw) -> Row:
    from vlmbench.tasks.worlds._render import render

    rng = draw.rng
    for _ in range(ATTEMPTS):
        scene = random_scene(rng, things=(3, 5))
        first = render(scene)
        second = render(_other_view(rng, scene, draw.difficulty))
        pixels = _telling_points(rng, first)
        if len(pixels) < 8:
            continue
        there_at = _surface_points(first, pixels)
        there = second.project(there_at)
        kept = second.visible(there_at, slack=0.02) & in_frame(there)
        pixels, there = pixels[kept], there[kept]
        if len(pixels) < 5:
            continue
        found = _choose(rng, pixels, there, second.rgb, draw)
        if found is None:
            continue
        reference, candidates = found
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
    raise Stuck("low_level_matching: no points fit")


def _choose(
    rng: np.random.Generator, pixels: Floats, there: Floats, rgb: Image, draw: Draw
) -> tuple[Floats, Floats] | None:
    """Pick REF (2,) in the first view and A-D (4, 2) in the second; REF's own place is gold.

    Distractors come from those most like the gold in mean colour; `variant` of them lie nearer to
    REF's own position than the gold does, so that staying put is worth chance.
    """
    means = np.array([_mean_colour(rgb, point) for point in there])
    for gold in rng.permutation(len(pixels))[:16]:
        distance = np.hypot(*(there - pixels[gold]).T)
        unlike = np.abs(means - means[gold]).sum(axis=1)
        clear = np.hypot(*(there - there[gold]).T) > 13
        pools = []
        for side in (distance < distance[gold], distance > distance[gold]):
            able = np.flatnonzero(clear & side)
            able = able[np.argsort(unlike[able], kind="stable")]
            pools.append(able[: max(6, round(len(able) * (1 - 0.8 * draw.difficulty)))])
        if len(pools[0]) < draw.variant or len(pools[1]) < 3 - draw.variant:
            continue
        for _ in range(6):
            nearer = rng.choice(pools[0], draw.variant, replace=False) if draw.variant else []
            farther = rng.choice(pools[1], 3 - draw.variant, replace=False) if len(pools[1]) else []
            wrong = rng.permutation(np.concatenate([nearer, farther]).astype(int))
            candidates = there[np.insert(wrong, draw.gold, gold)]
            if nearest_apart(candidates) > 12:
                return pixels[gold], candidates
    return None


def _mean_colour(rgb: Image, point: Floats) -> Floats:
    """Mean colour of the 7 x 7 pixels about a point."""
    x, y = int(point[0]), int(point[1])
    return np.asarray(rgb[y - 3 : y + 4, x - 3 : x + 4].reshape(-1, 3).mean(axis=0))


LOW_LEVEL_MATCHING = World(
    name="low_level_matching",
    summary="Which point of a second view is the REF point of the first?",
    n_choices=4,
    images=2,
    variants=4,
    columns={
        "image_1": "image",
        "image_2": "image",
        "unmarked_1": "image",
        "unmarked_2": "image",
        "reference": "point",
        "points": "points",
    },
    row=_row,
)
