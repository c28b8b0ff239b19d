"""Procedural patterns through space: one number in [0, 1] for every point."""

from __future__ import annotations

from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from vlmbench.tasks.worlds._mesh import Singles
from vlmbench.tasks.worlds._scene import Texture

Reals = NDArray[np.floating]


def pattern(texture: Texture, points: Singles, turn: float) -> Singles:
    """Return (n,) the share of the second colour at (n, 3) points, in units of one repeat.

    Args:
        texture: Which pattern.
        points: Positions multiplied by the pattern's frequency.
        turn: Angle about z in radians; it also tells one noise from another.
    """
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    x = points[:, 0] * c - points[:, 1] * s
    y = points[:, 0] * s + points[:, 1] * c
    z = points[:, 2] + np.float32(0.137)  # so that no plane of symmetry falls on a boundary
    share: NDArray[np.floating]
    match texture:
        case "plain":
            share = np.zeros(len(points))
        case "stripes":
            along = x * np.float32(np.cos(3 * turn)) + z * np.float32(np.sin(3 * turn)) + y * 0.5
            share = np.floor(along) % 2
        case "checker":
            share = (np.floor(x * 0.8) + np.floor(y * 0.8) + np.floor(z * 0.8)) % 2
        case "dots":
            off = [(axis * 0.9 - np.round(axis * 0.9)) ** 2 for axis in (x, y, z)]
            share = (off[0] + off[1] + off[2] < 0.13) * 1.0
        case "noise":
            value = value_noise(x * 1.3, y * 1.3, z * 1.3, int(turn * 1000))
            share = np.clip(value * 4 - 1.5, 0, 1)
        case _:
            assert_never(texture)
    return np.asarray(share, np.float32)


def value_noise(x: Reals, y: Reals, z: Reals, seed: int) -> Singles:
    """Return (n,) smooth noise in [0, 1]: hashed lattice values, blended trilinearly."""
    cells, blends = [], []
    for axis, prime in ((x, 73856093), (y, 19349663), (z, 83492791)):
        base = np.floor(axis)
        away = axis - base
        blend = away * away * (3 - 2 * away)
        corner = base.astype(np.int64) * prime
        cells.append((corner, corner + prime))
        blends.append((1 - blend, blend))
    total = np.zeros(len(x), np.float32)
    for i in (0, 1):
        for j in (0, 1):
            for k in (0, 1):
                weight = blends[0][i] * blends[1][j] * blends[2][k]
                total += weight * _hash(cells[0][i] + cells[1][j] + cells[2][k] + seed * 2654435)
    return total


def _hash(mixed: NDArray[np.int64]) -> Singles:
    """Return a fixed pseudo-random number in [0, 1) for every integer."""
    mixed = mixed & 0xFFFFFFFF
    mixed = (mixed ^ (mixed >> 15)) * 739982445 & 0xFFFFFFFF
    mixed = (mixed ^ (mixed >> 12)) * 695872825 & 0xFFFFFFFF
    return ((mixed ^ (mixed >> 15)) & 0xFFFFFF).astype(np.float32) * np.float32(2.0**-24)
