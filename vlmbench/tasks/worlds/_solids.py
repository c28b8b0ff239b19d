"""Simple solids, each with some variety between instances.

A shape is four numbers in [0, 1], so that two instances of a category have a distance and can be
blended; what each number does is the category's own affair.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from vlmbench.tasks.worlds._mesh import Piece, Solid, assemble, box, extrude, revolve, rotation

Shape = tuple[float, float, float, float]
"""Instance parameters, each in [0, 1]."""


def between(low: float, high: float, at: float) -> float:
    """Return the number a share `at` of the way from `low` to `high`."""
    return low + (high - low) * at


def disc(radius: float, height: float) -> Piece:
    """Return a plain cylinder standing on z = 0."""
    return revolve([(0, 0), (radius, 0), (radius, height), (0, height)])


def vessel(radius_low: float, radius_high: float, height: float, wall: float) -> Piece:
    """Return an open pot: outside, rim, inside and inner floor."""
    return revolve(
        [
            (0, 0),
            (radius_low, 0),
            (radius_high, height),
            (radius_high - wall, height),
            (radius_low - wall, wall),
            (0, wall),
        ]
    )


def _sphere(p: Shape) -> Solid:
    """Egg-shaped within bounds: squashed or stretched up to a fifth."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, 17)
    high = between(0.85, 1.15, p[0])
    pointed = 1 + between(-0.12, 0.12, p[1]) * np.sin(angle)
    profile = np.stack([np.cos(angle) * pointed, np.sin(angle) * high], axis=1)
    return assemble([revolve(profile, smooth=True)])


def _cube(p: Shape) -> Solid:
    return assemble([box([1, between(0.8, 1.2, p[0]), between(0.8, 1.2, p[1])])])


def _cylinder(p: Shape) -> Solid:
    return assemble([disc(between(0.28, 0.55, p[0]), between(0.9, 1.3, p[1]))])


def _cone(p: Shape) -> Solid:
    radius, height = between(0.35, 0.6, p[0]), between(0.9, 1.3, p[1])
    return assemble([revolve([(0, 0), (radius, 0), (0, height)])])


def _ring(p: Shape) -> Solid:
    """A torus leaning up from the floor."""
    thick = between(0.12, 0.24, p[0])
    angle = np.linspace(-np.pi, np.pi, 15)
    profile = np.stack([0.6 + thick * np.cos(angle), thick * np.sin(angle)], axis=1)
    lean = rotation("x", between(0.2, 1.2, p[1]))
    return assemble([revolve(profile, smooth=True).moved(rotation=lean)])


def _pyramid(p: Shape) -> Solid:
    half, height = between(0.45, 0.7, p[0]), between(0.8, 1.2, p[1])
    outline = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * half
    return assemble([extrude(outline, height, taper=0.0)])


def _star(p: Shape) -> Solid:
    """Five points, standing upright."""
    angle = np.pi / 2 + np.arange(10) * np.pi / 5
    radius = np.where(np.arange(10) % 2 == 0, 1.0, between(0.36, 0.5, p[0]))
    outline = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    piece = extrude(outline, between(0.3, 0.55, p[1]))
    return assemble([piece.moved(rotation=rotation("x", np.pi / 2))])


def _cross(p: Shape) -> Solid:
    """Two bars of equal length, standing upright."""
    wide, thick = between(0.25, 0.42, p[0]), between(0.25, 0.5, p[1])
    bars = [box([wide, thick, 1.0]), box([1.0, thick, wide])]
    return assemble(bars)


def plinth(p: Shape) -> Solid:
    """Return a square column, its width to its height as the first number to the second."""
    return assemble([box([p[0], p[0], p[1]])])


BUILDERS: Mapping[str, Callable[[Shape], Solid]] = MappingProxyType(
    {
        "sphere": _sphere,
        "cube": _cube,
        "cylinder": _cylinder,
        "cone": _cone,
        "ring": _ring,
        "pyramid": _pyramid,
        "star": _star,
        "cross": _cross,
    }
)
"""Every simple category, and what builds it."""
