"""Choosing points in rendered images, and scenes of a single object."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vlmbench.tasks.worlds._mesh import Floats
from vlmbench.tasks.worlds._random import random_backdrop, random_floor, random_light
from vlmbench.tasks.worlds._scene import Camera, Scene, Thing
from vlmbench.tasks.worlds._world import SIZE

MARGIN = 6.0
"""Pixels that a marked point keeps from the image's border."""


def inner_point(
    rng: np.random.Generator, mask: NDArray[np.bool_], *, clear: float = 2.5
) -> tuple[float, float] | None:
    """Return the centre of a random pixel well inside a mask, or None if the mask is too thin.

    Args:
        rng: Source of the choice.
        mask: (h, w) pixels of one thing.
        clear: Pixels that must lie between the point and the mask's edge.
    """
    from scipy.ndimage import distance_transform_edt

    edge = int(MARGIN)
    framed = mask[edge:-edge, edge:-edge]
    rows, columns = np.flatnonzero(framed.any(axis=1)), np.flatnonzero(framed.any(axis=0))
    if min(len(rows), len(columns)) < 2 * clear:
        return None
    top, left = int(rows[0]), int(columns[0])
    # The frame counts as an edge too, which is why there is padding.
    cropped = np.pad(framed[top : rows[-1] + 1, left : columns[-1] + 1], 1)
    depth = distance_transform_edt(cropped)
    if depth.max() < clear:
        return None
    rows, columns = np.nonzero(depth >= max(clear, 0.6 * depth.max()))
    pick = rng.integers(len(rows))
    return float(columns[pick] + left + edge) - 0.5, float(rows[pick] + top + edge) - 0.5


def nearest_apart(points: Floats) -> float:
    """Return the smallest distance in pixels between any two of (n, 2) points."""
    gaps = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    return float(gaps[np.triu_indices(len(points), 1)].min())


def reference_pixel(rng: np.random.Generator) -> Floats:
    """Draw where REF should be in the first image.

    The first view is aimed afterwards, so that REF's position knows nothing of what it marks; a
    centred object would betray its middle and its ends.
    """
    return np.clip(rng.normal(SIZE / 2, 9.0, 2), SIZE / 4, 3 * SIZE / 4)


def portrait(rng: np.random.Generator, thing: Thing, *, roll: float = 0.0) -> Scene:
    """Set one thing on a random floor, in random light, seen from a random side.

    Args:
        rng: Source of every choice.
        thing: Stands at the origin.
        roll: Largest camera roll in radians.
    """
    camera = Camera(
        target=(
            *rng.uniform(-0.08, 0.08, 2).tolist(),
            float(rng.uniform(0.25, 0.45)) * thing.scale,
        ),
        distance=float(rng.uniform(1.7, 2.1)) * thing.scale,
        azimuth=float(rng.uniform(-np.pi, np.pi)),
        elevation=float(rng.uniform(0.3, 0.85)),
        roll=float(rng.uniform(-roll, roll)),
        field_of_view=float(rng.uniform(0.68, 0.8)),
    )
    return Scene(
        things=(thing,),
        camera=camera,
        light=random_light(rng),
        floor=random_floor(rng),
        backdrop=random_backdrop(rng),
    )


def facing(scene: Scene, yaw: float) -> Scene:
    """Turn the only thing of a scene to `yaw` radians relative to the camera."""
    (thing,) = scene.things
    return replace(scene, things=(replace(thing, turn=(0.0, 0.0, scene.camera.azimuth + yaw)),))


def listed(points: Floats) -> list[list[float]]:
    """Round points to hundredths of a pixel, as plain lists."""
    return [[round(float(x), 2), round(float(y), 2)] for x, y in points]


def in_frame(points: Floats) -> NDArray[np.bool_]:
    """(n,) whether points keep `MARGIN` pixels from the border."""
    return np.asarray(((points >= MARGIN) & (points <= SIZE - MARGIN)).all(axis=1))
