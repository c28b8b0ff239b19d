"""Triangle soups from a few parametric pieces: revolved, extruded, boxed and tubular.

Object space is right-handed with z up; lengths are in object units until a solid is normalised.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Triangles with one normal per corner.

    Attributes:
        triangles: (f, 3, 3) corner positions.
        normals: (f, 3, 3) unit normals at the corners, pointing outward.
    """

    triangles: Floats
    normals: Floats

    def moved(self, shift: ArrayLike = (0, 0, 0), rotation: Floats | None = None) -> Piece:
        """Return the piece rotated about the origin, then shifted."""
        turn = np.eye(3) if rotation is None else rotation
        return Piece(self.triangles @ turn.T + np.asarray(shift, float), self.normals @ turn.T)


@dataclass(frozen=True, slots=True, eq=False)
class Solid:
    """A closed shape with named places on its surface.

    Attributes:
        triangles: (f, 3, 3) corner positions.
        normals: (f, 3, 3) unit normals.
        parts: Name to (k, 3) equivalent points of that part (k > 1 where it goes all round).
    """

    triangles: Floats
    normals: Floats
    parts: Mapping[str, Floats] = field(default_factory=dict)


def assemble(pieces: Iterable[Piece], parts: Mapping[str, ArrayLike] | None = None) -> Solid:
    """Join pieces, scaled to largest extent 1, centred in x and y and standing on z = 0."""
    pieces = tuple(pieces)
    triangles = np.concatenate([piece.triangles for piece in pieces])
    corners = triangles.reshape(-1, 3)
    low, high = corners.min(axis=0), corners.max(axis=0)
    size = float((high - low).max())
    shift = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    points = {
        name: (np.atleast_2d(np.asarray(at, float)) - shift) / size
        for name, at in (parts or {}).items()
    }
    normals = np.concatenate([piece.normals for piece in pieces])
    return Solid((triangles - shift) / size, normals, points)


def rotation(axis: str, angle: float) -> Floats:
    """Return the (3, 3) matrix that turns by `angle` radians about an axis (right-handed)."""
    c, s = np.cos(angle), np.sin(angle)
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[[i, j], [i, j]] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix


def around(radius: float, height: float, count: int = 12) -> Floats:
    """Return (count, 3) points on a horizontal circle about the z axis."""
    angle = np.arange(count) * (2 * np.pi / count)
    return np.stack(
        [radius * np.cos(angle), radius * np.sin(angle), np.full(count, float(height))], axis=1
    )


def _cross(triangles: Floats) -> Floats:
    """(f, 3) cross products of two sides: `np.cross` is several times slower on so few."""
    (ax, ay, az), (bx, by, bz) = (
        (triangles[:, 1] - triangles[:, 0]).T,
        (triangles[:, 2] - triangles[:, 0]).T,
    )
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=1)


def _flat(triangles: Floats) -> Piece:
    """Give every triangle its own facet normal, dropping those without area."""
    cross = _cross(triangles)
    length = np.sqrt(np.einsum("ij,ij->i", cross, cross))
    keep = length > 1e-12
    normals = cross[keep] / length[keep, None]
    return Piece(triangles[keep], np.repeat(normals[:, None], 3, axis=1))


def _quads(a: Floats, b: Floats, c: Floats, d: Floats) -> Floats:
    """Split quads with corners a, b, c, d (each (n, 3)) into (2n, 3, 3) triangles."""
    return np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])


def revolve(profile: ArrayLike, segments: int = 28, *, smooth: bool = False) -> Piece:
    """Turn a profile of (radius, z) about the z axis; list it bottom to top along the outside.

    Args:
        profile: (m, 2) radius and height.
        segments: Facets around the axis.
        smooth: Also smooth the normals along the profile (spheres, tori).
    """
    line = np.asarray(profile, float)
    step = np.diff(line, axis=0)
    outward = np.stack([step[:, 1], -step[:, 0]], axis=1)
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-12)
    low = high = outward
    if smooth:
        inner = outward[:-1] + outward[1:]
        inner /= np.maximum(np.linalg.norm(inner, axis=1, keepdims=True), 1e-12)
        low = np.concatenate([outward[:1], inner])
        high = np.concatenate([inner, outward[-1:]])
    angle = np.arange(segments + 1) * (2 * np.pi / segments)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)  # (segments + 1, 2)

    def swept(radius_height: Floats, at: Floats) -> Floats:
        xy = radius_height[:, None, :1] * at[None]
        z = np.broadcast_to(radius_height[:, None, 1:], (*xy.shape[:2], 1))
        return np.concatenate([xy, z], axis=2).reshape(-1, 3)

    a, b = swept(line[:-1], ring[:-1]), swept(line[:-1], ring[1:])
    c, d = swept(line[1:], ring[1:]), swept(line[1:], ring[:-1])
    na, nb = swept(low, ring[:-1]), swept(low, ring[1:])
    nc, nd = swept(high, ring[1:]), swept(high, ring[:-1])
    triangles, normals = _quads(a, b, c, d), _quads(na, nb, nc, nd)
    cross = _cross(triangles)
    keep = np.einsum("ij,ij->i", cross, cross) > 1e-20
    return Piece(triangles[keep], normals[keep])


def box(size: Sequence[float], centre: ArrayLike = (0, 0, 0)) -> Piece:
    """Return an axis-aligned box of the given (x, y, z) extents about `centre`."""
    half = np.asarray(size, float) / 2
    outline = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    piece = extrude(np.asarray(outline) * half[:2], 2 * float(half[2]))
    return piece.moved(centre)


def extrude(outline: ArrayLike, height: float, *, taper: float = 1.0) -> Piece:
    """Extend an outline along z, centred on z = 0, with flat facets.

    Args:
        outline: (m, 2) counter-clockwise, star-shaped about the origin.
        height: Extent along z.
        taper: Scale of the upper outline (0 makes a pyramid).
    """
    flat = np.asarray(outline, float)
    lower = np.column_stack([flat, np.full(len(flat), -height / 2)])
    upper = np.column_stack([flat * taper, np.full(len(flat), height / 2)])
    lower_next, upper_next = np.roll(lower, -1, axis=0), np.roll(upper, -1, axis=0)
    bottom = np.broadcast_to([0.0, 0.0, -height / 2], lower.shape)
    top = np.broadcast_to([0.0, 0.0, height / 2], lower.shape)
    return _flat(
        np.concatenate(
            [
                _quads(lower, lower_next, upper_next, upper),
                np.stack([bottom, lower_next, lower], axis=1),
                np.stack([top, upper, upper_next], axis=1),
            ]
        )
    )


def tube(path: ArrayLike, radius: float | Sequence[float], segments: int = 10) -> Piece:
    """Sweep a circle along a path, closed at both ends.

    Args:
        path: (m, 3) centre line.
        radius: One radius, or one for each point of the path.
        segments: Facets around the path.
    """
    line = np.asarray(path, float)
    radii = np.broadcast_to(np.asarray(radius, float), (len(line),))
    tangent = np.gradient(line, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    # A fixed side vector is enough: no path here is parallel to the one that is picked.
    side = np.eye(3)[np.abs(tangent).sum(axis=0).argmin()]
    u = np.cross(tangent, side)
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    v = np.cross(tangent, u)
    angle = np.arange(segments + 1) * (2 * np.pi / segments)
    direction = (
        np.cos(angle)[None, :, None] * u[:, None] + np.sin(angle)[None, :, None] * v[:, None]
    )  # (m, segments + 1, 3)
    ring = line[:, None] + radii[:, None, None] * direction
    corners = [ring[:-1, :-1], ring[:-1, 1:], ring[1:, 1:], ring[1:, :-1]]
    normals = [direction[:-1, :-1], direction[:-1, 1:], direction[1:, 1:], direction[1:, :-1]]
    sides = Piece(
        _quads(*(corner.reshape(-1, 3) for corner in corners)),
        _quads(*(normal.reshape(-1, 3) for normal in normals)),
    )
    caps = [_cap(line[end], ring[end], tangent[end] * sign) for end, sign in ((0, -1), (-1, 1))]
    return Piece(
        np.concatenate([sides.triangles, *(cap.triangles for cap in caps)]),
        np.concatenate([sides.normals, *(cap.normals for cap in caps)]),
    )


def _cap(centre: Floats, ring: Floats, normal: Floats) -> Piece:
    """Close a tube's end with a fan."""
    triangles = np.stack([np.broadcast_to(centre, ring[:-1].shape), ring[:-1], ring[1:]], axis=1)
    return Piece(triangles, np.broadcast_to(normal, triangles.shape).copy())
