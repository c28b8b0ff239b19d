"""Draws scenes: colour, depth and object ids, with shadows.

Edges are smoothed by casting three more rays in the pixels where colour or object changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vlmbench.tasks.worlds._mesh import Floats, Singles
from vlmbench.tasks.worlds._scene import Scene
from vlmbench.tasks.worlds._texture import pattern
from vlmbench.tasks.worlds._trace import (
    FAR,
    FLOOR,
    NOTHING,
    Bools,
    Hits,
    Rays,
    Tracer,
    centres,
    meet,
)

_SUBPIXELS = np.array([(-0.33, -0.17), (0.33, -0.0), (-0.0, 0.33)])


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class View:
    """What the camera of a scene meets, without colour.

    Attributes:
        scene: What was looked at.
        depth: (h, w) float32, metres along the line of sight; 0 where nothing was hit.
        ids: (h, w) int16, index into `scene.things`; -1 for floor and backdrop.
        tracer: The scene's triangles.
    """

    scene: Scene
    depth: Singles
    ids: NDArray[np.int16]
    tracer: Tracer

    def project(self, points: ArrayLike) -> Floats:
        """Return (n, 2) pixel positions (x, y) of (n, 3) world points."""
        return self.scene.camera.project(points, len(self.ids))[0]

    def visible(self, points: ArrayLike, *, margin: float = 0.0, slack: float = 0.03) -> Bools:
        """Return (n,) whether each world point is in the image and nothing stands before it.

        Args:
            points: (n, 3) world positions.
            margin: Pixels to keep from the image's border.
            slack: Metres by which a point may lie below the surface that is seen.
        """
        at = np.atleast_2d(np.asarray(points, float))
        xy, depth = self.scene.camera.project(at, len(self.ids))
        inside = ((xy >= margin) & (xy < len(self.ids) - margin)).all(axis=1) & (depth > 0)
        origin = self.scene.camera.origin
        away = at - origin
        distance = np.sqrt(np.einsum("ij,ij->i", away, away))
        hits = self.tracer.cast(np.broadcast_to(origin, at.shape), away / distance[:, None])
        return np.asarray(inside & (hits.distance >= distance - slack))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Rendered(View):
    """A view with its picture.

    Attributes:
        rgb: (h, w, 3) uint8.
    """

    rgb: NDArray[np.uint8]


def render(scene: Scene, size: int = 96, *, smooth: bool = True) -> Rendered:
    """Draw a scene.

    Args:
        scene: What to draw.
        size: Side of the square image in pixels.
        smooth: Whether to anti-alias.
    """
    tracer, rays = _met(scene, size)
    pixels, colour, ids = centres(size), _shade(scene, tracer, rays), rays.ids
    if smooth:
        edge = _edges(colour.reshape(size, size, 3), ids.reshape(size, size)).ravel()
        around = (pixels[edge][:, None] + _SUBPIXELS[None]).reshape(-1, 2)
        more = _shade(scene, tracer, meet(scene, tracer, around, size))
        colour[edge] = more.reshape(-1, len(_SUBPIXELS), 3).mean(axis=1)
    rgb = np.clip(colour * 255 + 0.5, 0, 255).astype(np.uint8).reshape(size, size, 3)
    return Rendered(
        scene=scene,
        rgb=rgb,
        depth=rays.depth.reshape(size, size),
        ids=np.maximum(ids, FLOOR).reshape(size, size),
        tracer=tracer,
    )


def look(scene: Scene, size: int = 96) -> View:
    """Find what is seen where, several times faster than `render` draws it."""
    tracer, rays = _met(scene, size)
    ids = np.maximum(rays.ids, FLOOR).reshape(size, size)
    return View(scene=scene, depth=rays.depth.reshape(size, size), ids=ids, tracer=tracer)


@lru_cache(maxsize=4)  # what a world has looked at it often draws next
def _met(scene: Scene, size: int) -> tuple[Tracer, Rays]:
    """Return a scene's triangles and what the rays through its pixels meet."""
    tracer = Tracer.of(scene.things)
    return tracer, meet(scene, tracer, centres(size), size)


def _edges(colour: Singles, ids: NDArray[np.int16]) -> Bools:
    """(h, w): pixels whose right, left, upper or lower neighbour differs clearly."""
    edge = np.zeros(ids.shape, bool)
    # Green carries most of the brightness; red plus blue catches what it misses.
    for plane, step in (
        (ids, 0.5),
        (colour[..., 1], 0.06),
        (colour[..., 0] + colour[..., 2], 0.12),
    ):
        down = np.abs(plane[1:] - plane[:-1]) > step
        right = np.abs(plane[:, 1:] - plane[:, :-1]) > step
        edge[1:] |= down
        edge[:-1] |= down
        edge[:, 1:] |= right
        edge[:, :-1] |= right
    return edge


def _shade(scene: Scene, tracer: Tracer, rays: Rays) -> Singles:
    """Return (n, 3) colours of what rays meet."""
    colour = _backdrop(scene, rays.directions)
    seen = np.flatnonzero(rays.ids != NOTHING)
    if len(seen):
        view = rays.directions[seen]
        at = scene.camera.origin.astype(np.float32) + view * rays.distance[seen, None]
        normals = _normals(tracer, rays.hits, rays.ids, rays.directions)[seen]
        albedo = _albedo(scene, rays.ids[seen], at)
        lit = _light(scene, tracer, at, normals, view, albedo)
        colour[seen] = _fade(lit, colour[seen], rays.depth[seen])
    return colour


def _backdrop(scene: Scene, directions: Singles) -> Singles:
    """Blend the two backdrop colours by how steeply a ray rises."""
    low, high = np.asarray(scene.backdrop, np.float32)
    share = np.clip(directions[:, 2:] * 1.5 + 0.3, 0, 1)
    return np.asarray(low + (high - low) * share)


def _fade(lit: Singles, behind: Singles, depth: Singles) -> Singles:
    """Let the floor pass into the backdrop before it ends at `FAR`."""
    far = np.flatnonzero(depth > 0.6 * FAR)
    share = ((depth[far] - 0.6 * FAR) / (0.4 * FAR))[:, None]
    lit[far] += (behind[far] - lit[far]) * share
    return lit


def _normals(tracer: Tracer, hits: Hits, ids: NDArray[np.int16], directions: Singles) -> Singles:
    """(n, 3) interpolated unit normals, turned to the viewer; the floor's where there is none."""
    normals = np.zeros_like(directions)
    normals[:, 2] = 1.0
    thing = np.flatnonzero(ids >= 0)
    if len(thing):
        corners = tracer.normals[hits.facet[thing]]
        u, v = hits.u[thing, None], hits.v[thing, None]
        smooth = corners[:, 0] * (1 - u - v) + corners[:, 1] * u + corners[:, 2] * v
        length = np.sqrt(np.einsum("ij,ij->i", smooth, smooth))
        facing = np.einsum("ij,ij->i", smooth, directions[thing])
        smooth *= (np.where(facing > 0, -1, 1) / np.maximum(length, 1e-9))[:, None]
        normals[thing] = smooth
    return normals


def _albedo(scene: Scene, ids: NDArray[np.int16], at: Singles) -> Singles:
    """(n, 3) surface colours at world points."""
    albedo = np.zeros_like(at)
    surfaces = [
        (FLOOR, scene.floor),
        *((i, thing.surface) for i, thing in enumerate(scene.things)),
    ]
    for index, surface in surfaces:
        here = np.flatnonzero(ids == index)
        if surface is None or not len(here):
            continue
        if index == FLOOR:
            local = at[here]
        else:
            thing = scene.things[index]
            into = (thing.rotation / thing.scale).astype(np.float32)
            local = (at[here] - np.asarray(thing.position, np.float32)) @ into
        share = pattern(surface.texture, local * np.float32(surface.frequency), surface.turn)
        first, second = np.asarray([surface.rgb, surface.second], np.float32)
        albedo[here] = first + (second - first) * share[:, None]
    return albedo


def _light(
    scene: Scene, tracer: Tracer, at: Singles, normals: Singles, view: Singles, albedo: Singles
) -> Singles:
    """(n, 3) Lambert shading with shadow, sky light from above and a highlight."""
    light = scene.light
    lamp = np.asarray(light.direction, np.float32)
    facing = normals @ lamp
    towards = np.flatnonzero(facing > 0)
    start = at[towards] + normals[towards] * np.float32(2e-3)
    lit = towards[~tracer.blocked(start, np.broadcast_to(lamp, start.shape))]
    strength = np.float32(light.ambient) * (0.75 + 0.25 * normals[:, 2])
    strength[lit] += np.float32((1 - light.ambient) * 1.15) * facing[lit]
    colour = albedo * strength[:, None] * np.asarray(light.tint, np.float32)
    halfway = lamp - view[lit]
    along = np.einsum("ij,ij->i", normals[lit], halfway)
    shine = np.maximum(along, 0) ** 2 / np.einsum("ij,ij->i", halfway, halfway)
    shine = shine * shine * shine  # Blinn's cosine to the power 24
    colour[lit] += (np.float32(light.gloss) * (shine * shine) ** 2)[:, None]
    return colour
