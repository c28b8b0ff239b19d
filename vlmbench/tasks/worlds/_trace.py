"""Rays through a scene's pixels and what they meet, by ray casting with embree."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vlmbench.tasks.worlds._mesh import Floats, Singles
from vlmbench.tasks.worlds._scene import Scene, Thing
from vlmbench.tasks.worlds._shapes import solid
from vlmbench.types import require_extra

Bools = NDArray[np.bool_]

FAR = 10.0
"""Metres along the line of sight past which nothing is drawn."""

FLOOR = -1
NOTHING = -2


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """Nearest surface along each ray: distance, facet and position within it."""

    distance: Singles
    facet: NDArray[np.int32]
    u: Singles
    v: Singles


def require_embree() -> None:
    """Raise VlmbenchError where Embree, which casts all rays, is not installed."""
    require_extra("embreex", "worlds", "drawing rendered documents")


class Tracer:
    """The triangles of a scene's things, ready for casting.

    Attributes:
        normals: (f, 3, 3) unit normals at the corners.
        owner: (f,) index of the thing a facet belongs to.
    """

    @staticmethod
    @lru_cache(maxsize=8)  # several cameras look at the same things
    def of(things: tuple[Thing, ...]) -> Tracer:
        """Return the tracer of things, perhaps one that is there already."""
        return Tracer(things)

    def __init__(self, things: tuple[Thing, ...]) -> None:
        require_embree()
        from embreex import rtcore_scene
        from embreex.mesh_construction import TriangleMesh

        triangles, normals, owner = [], [], []
        for index, thing in enumerate(things):
            mesh = solid(thing.category, thing.shape)
            turn = thing.rotation
            triangles.append(mesh.triangles @ (turn.T * thing.scale) + thing.position)
            normals.append(mesh.normals @ turn.T)
            owner.append(np.full(len(mesh.triangles), index, np.int16))
        self.normals = np.concatenate(normals).astype(np.float32)
        self.owner = np.concatenate(owner)
        self._scene = rtcore_scene.EmbreeScene()
        TriangleMesh(self._scene, np.concatenate(triangles).astype(np.float32))

    def cast(self, origins: Singles, directions: Singles) -> Hits:
        """Return the nearest facet along each ray; facet -1 and infinite distance for none."""
        origins = np.ascontiguousarray(origins, np.float32)
        found = self._scene.run(origins, np.ascontiguousarray(directions, np.float32), output=1)
        distance = np.where(found["primID"] >= 0, found["tfar"], np.float32(np.inf))
        return Hits(distance, found["primID"], found["u"], found["v"])

    def blocked(self, origins: Singles, directions: Singles) -> Bools:
        """Return (n,) whether anything lies along each ray."""
        origins = np.ascontiguousarray(origins, np.float32)
        directions = np.ascontiguousarray(directions, np.float32)
        return np.asarray(self._scene.run(origins, directions, query="OCCLUDED") == 0)


@lru_cache(maxsize=4)
def centres(size: int) -> Floats:
    """(size * size, 2) positions of the pixels' centres."""
    column, row = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
    return np.stack([column.ravel(), row.ravel()], axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class Rays:
    """Rays through pixel positions and what they meet: direction, surface, id, distance, depth."""

    directions: Singles
    hits: Hits
    ids: NDArray[np.int16]
    distance: Singles
    depth: Singles


def meet(scene: Scene, tracer: Tracer, pixels: Floats, size: int) -> Rays:
    """Cast rays through (n, 2) pixel positions."""
    camera = scene.camera
    offset = np.ones((len(pixels), 3))
    offset[:, :2] = (pixels - size / 2) * (2 / size * np.tan(camera.field_of_view / 2))
    length = np.sqrt(np.einsum("ij,ij->i", offset, offset))
    directions = ((offset / length[:, None]) @ camera.axes).astype(np.float32)
    origin = camera.origin
    hits = tracer.cast(np.broadcast_to(origin.astype(np.float32), directions.shape), directions)
    distance, ids = hits.distance, np.full(len(pixels), NOTHING, np.int16)
    struck = hits.facet >= 0
    ids[struck] = tracer.owner[hits.facet[struck]]
    if scene.floor is not None:
        falling = np.maximum(-directions[:, 2], np.float32(1e-6))
        floor = np.float32(origin[2]) / falling
        lower = (floor < distance) & (floor < FAR * length)
        distance = np.where(lower, floor, distance)
        ids[lower] = FLOOR
    depth = np.where(ids != NOTHING, distance / length, 0.0).astype(np.float32)
    return Rays(directions, hits, ids, distance, depth)
