"""Object categories: parametric solids with instance variety and named parts.

A shape is four numbers in [0, 1], so that two instances of a category have a distance and can be
blended; what each number does is the category's own affair.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType

import numpy as np

from vlmbench.tasks.worlds._mesh import (
    Piece,
    Solid,
    around,
    assemble,
    box,
    extrude,
    revolve,
    rotation,
    tube,
)

Shape = tuple[float, float, float, float]
"""Instance parameters, each in [0, 1]."""


def _between(low: float, high: float, at: float) -> float:
    return low + (high - low) * at


def _disc(radius: float, height: float) -> Piece:
    """A plain cylinder standing on z = 0."""
    return revolve([(0, 0), (radius, 0), (radius, height), (0, height)])


def _vessel(radius_low: float, radius_high: float, height: float, wall: float) -> Piece:
    """An open pot: outside, rim, inside and inner floor."""
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
    high = _between(0.85, 1.15, p[0])
    pointed = 1 + _between(-0.12, 0.12, p[1]) * np.sin(angle)
    profile = np.stack([np.cos(angle) * pointed, np.sin(angle) * high], axis=1)
    return assemble([revolve(profile, smooth=True)])


def _cube(p: Shape) -> Solid:
    return assemble([box([1, _between(0.8, 1.2, p[0]), _between(0.8, 1.2, p[1])])])


def _cylinder(p: Shape) -> Solid:
    return assemble([_disc(_between(0.28, 0.55, p[0]), _between(0.9, 1.3, p[1]))])


def _cone(p: Shape) -> Solid:
    radius, height = _between(0.35, 0.6, p[0]), _between(0.9, 1.3, p[1])
    return assemble([revolve([(0, 0), (radius, 0), (0, height)])])


def _ring(p: Shape) -> Solid:
    """A torus leaning up from the floor."""
    thick = _between(0.12, 0.24, p[0])
    angle = np.linspace(-np.pi, np.pi, 15)
    profile = np.stack([0.6 + thick * np.cos(angle), thick * np.sin(angle)], axis=1)
    lean = rotation("x", _between(0.2, 1.2, p[1]))
    return assemble([revolve(profile, smooth=True).moved(rotation=lean)])


def _pyramid(p: Shape) -> Solid:
    half, height = _between(0.45, 0.7, p[0]), _between(0.8, 1.2, p[1])
    outline = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * half
    return assemble([extrude(outline, height, taper=0.0)])


def _star(p: Shape) -> Solid:
    """Five points, standing upright."""
    angle = np.pi / 2 + np.arange(10) * np.pi / 5
    radius = np.where(np.arange(10) % 2 == 0, 1.0, _between(0.36, 0.5, p[0]))
    outline = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    piece = extrude(outline, _between(0.3, 0.55, p[1]))
    return assemble([piece.moved(rotation=rotation("x", np.pi / 2))])


def _cross(p: Shape) -> Solid:
    """Two bars of equal length, standing upright."""
    wide, thick = _between(0.25, 0.42, p[0]), _between(0.25, 0.5, p[1])
    bars = [box([wide, thick, 1.0]), box([1.0, thick, wide])]
    return assemble(bars)


def _mug(p: Shape) -> Solid:
    radius, height = _between(0.32, 0.46, p[0]), _between(0.7, 1.05, p[1])
    flare, reach = _between(0.85, 1.2, p[2]), _between(0.22, 0.38, p[3])
    angle = np.linspace(-1.35, 1.35, 9)
    middle, half = height * 0.5, height * 0.3
    arc = np.stack(
        [
            radius * 0.9 + reach * np.cos(angle),
            np.zeros(9),
            middle + half * np.sin(angle),
        ],
        axis=1,
    )
    top = radius * flare
    return assemble(
        [_vessel(radius, top, height, 0.05), tube(arc, 0.055)],
        {
            "handle": arc[4] + [0.055, 0, 0],
            "rim": around(top - 0.025, height, 16),
            "base": around(radius, 0.03 * height, 16),
            "body": around(radius * 0.5 + top * 0.5, height * 0.5, 16)[3:14],
            "inside": around((radius - 0.05) * 0.5, 0.05, 8),
        },
    )


def _pan(p: Shape) -> Solid:
    radius, height = _between(0.4, 0.58, p[0]), _between(0.14, 0.28, p[1])
    length, rise = _between(0.6, 1.0, p[2]), _between(0.0, 0.3, p[3])
    flare = 1.15
    joint = np.array([radius * flare - 0.03, 0, height * 0.85])
    end = joint + np.array([length, 0, rise])
    path = np.stack([joint + (end - joint) * t for t in np.linspace(0, 1, 5)])
    thick = [0.05, 0.055, 0.07, 0.075, 0.07]
    return assemble(
        [_vessel(radius, radius * flare, height, 0.05), tube(path, thick)],
        {
            "handle": path[3] + [0, 0, 0.075],
            "joint": path[1] + [0, 0, 0.055],
            "rim": around(radius * flare - 0.025, height, 16)[4:13],
            "base": around(radius, 0.02, 16)[2:15],
            "inside": [[0, 0, 0.05]],
        },
    )


def _kettle(p: Shape) -> Solid:
    radius, height = _between(0.42, 0.56, p[0]), _between(0.5, 0.85, p[1])
    arch, spout = _between(0.2, 0.42, p[2]), _between(0.25, 0.5, p[3])
    neck = radius * 0.6
    angle = np.linspace(0.25, np.pi - 0.25, 11)
    handle = np.stack(
        [
            0.95 * neck * np.cos(angle),
            np.zeros(11),
            height * 0.92 + (arch + 0.12) * np.sin(angle),
        ],
        axis=1,
    )
    start = np.array([radius * 0.8, 0, height * 0.35])
    tip = np.array([radius + spout, 0, height * 1.0])
    bend = np.stack([start, (start + tip) / 2 + [0.07, 0, -0.06], tip])
    knob = revolve(
        [(0, 0), (0.05, 0), (0.08, 0.06), (0.05, 0.11), (0, 0.12)], 14, smooth=True
    ).moved([0, 0, height])
    body = [(0, 0), (radius, 0), (radius * 1.02, height * 0.4), (neck, height), (0, height)]
    return assemble(
        [revolve(body), tube(bend, [0.1, 0.08, 0.055]), tube(handle, 0.05), knob],
        {
            "handle": handle[5] + [0, 0, 0.05],
            "spout": tip + np.array([0, 0, 0.04]),
            "lid": around(0.075, height + 0.06, 8),
            "base": around(radius, 0.03, 16)[2:15],
            "body": around(radius * 0.9, height * 0.55, 16)[3:14],
        },
    )


def _hammer(p: Shape) -> Solid:
    """Lying down: handle along x, its head upright with the striking face up or sideways."""
    length, thick = _between(0.95, 1.35, p[0]), _between(0.055, 0.085, p[1])
    head, wide = _between(0.5, 0.75, p[2]), _between(0.11, 0.17, p[3])
    path = np.stack([[x, 0, 0] for x in np.linspace(0, length, 6)])
    grip = [thick * 1.25, thick * 1.3, thick * 1.1, thick * 0.9, thick * 0.85, thick * 0.85]
    block = box([wide * 1.7, wide * 1.7, head * 0.55], [length, 0, 0])
    face = _disc(wide * 1.15, head * 0.2).moved([length, 0, head * 0.25])
    claw = extrude(
        np.array([(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)]) * wide,
        head * 0.5,
        taper=0.15,
    ).moved([length, 0, -head * 0.5], rotation("x", np.pi))
    turn = rotation("x", np.pi / 2 * 0.9)
    pieces = [piece.moved(rotation=turn) for piece in (tube(path, grip), block, face, claw)]
    side = thick * 1.2
    return assemble(
        pieces,
        {
            "handle": [[length * 0.12, 0, side], [length * 0.12, side, 0.0]],
            "neck": [[length * 0.62, 0, thick * 0.9], [length * 0.62, thick * 0.9, 0]],
            "face": np.array([[length, 0, head * 0.45]]) @ turn.T,
            "head": np.array([[length, wide * 0.85, 0], [length + wide * 0.85, 0, 0]]) @ turn.T,
            "claw": np.array([[length, 0, -head * 0.74]]) @ turn.T,
        },
    )


def _chair(p: Shape) -> Solid:
    wide, deep = _between(0.5, 0.65, p[0]), _between(0.48, 0.62, p[1])
    leg, back = _between(0.35, 0.55, p[2]), _between(0.45, 0.8, p[3])
    thin, plate = 0.07, 0.07
    x, y = wide / 2 - thin / 2, deep / 2 - thin / 2
    legs = [box([thin, thin, leg], [i * x, j * y, leg / 2]) for i in (-1, 1) for j in (-1, 1)]
    seat = box([wide, deep, plate], [0, 0, leg + plate / 2])
    rest = box([wide, plate, back], [0, y, leg + plate + back / 2])
    up = leg + plate
    return assemble(
        [*legs, seat, rest],
        {
            "seat": [[0, -0.1 * deep, up]],
            "back": [[0, y - plate / 2, up + back * 0.75], [0, y + plate / 2, up + back * 0.75]],
            "left_foot": [[-x, -y - thin / 2, 0.05], [-x - thin / 2, -y, 0.05]],
            "right_foot": [[x, -y - thin / 2, 0.05], [x + thin / 2, -y, 0.05]],
            "left_edge": [[-wide / 2, -y * 0.8, leg + plate / 2], [-x, -deep / 2, leg + plate / 2]],
            "right_edge": [[wide / 2, -y * 0.8, leg + plate / 2], [x, -deep / 2, leg + plate / 2]],
        },
    )


def _table(p: Shape) -> Solid:
    """A desk: a top, two legs on the left, a chest of drawers on the right."""
    wide, deep = _between(0.9, 1.2, p[0]), _between(0.5, 0.75, p[1])
    tall, chest = _between(0.5, 0.75, p[2]), _between(0.25, 0.4, p[3])
    plate, thin = 0.07, 0.08
    x, y = wide / 2 - thin / 2, deep / 2 - thin / 2
    legs = [box([thin, thin, tall], [-x, j * y, tall / 2]) for j in (-1, 1)]
    right = wide / 2 - chest / 2
    drawers = box([chest, deep * 0.95, tall], [right, 0, tall / 2])
    knob = box([0.1, 0.05, 0.05], [right, -deep * 0.475 - 0.025, tall * 0.7])
    top = box([wide * 1.04, deep * 1.04, plate], [0, 0, tall + plate / 2])
    return assemble(
        [*legs, drawers, knob, top],
        {
            "top": [[0, 0, tall + plate]],
            "front_leg": [[-x, -y - thin / 2, 0.1], [-x - thin / 2, -y, 0.1]],
            "knob": [[right, -deep * 0.475 - 0.05, tall * 0.7]],
            "chest": [
                [right, -deep * 0.475, tall * 0.2],
                [wide / 2, 0, tall * 0.3],
            ],
            "left_end": [[-wide * 0.52, 0, tall + plate / 2], [-wide * 0.5, -deep * 0.52, tall]],
        },
    )


def _lamp(p: Shape) -> Solid:
    """A desk lamp: foot, upright, arm reaching out, shade looking down."""
    foot, tall = _between(0.2, 0.32, p[0]), _between(0.7, 1.0, p[1])
    reach, shade = _between(0.3, 0.5, p[2]), _between(0.2, 0.32, p[3])
    thin = 0.04
    elbow = np.array([0, 0, tall])
    end = elbow + np.array([reach, 0, 0.12])
    drop = np.array([0, 0, -0.24])
    hood = revolve(
        [(shade, 0), (shade * 0.4, 0.26), (0, 0.28), (0, 0.25), (shade * 0.9, 0.0)]
    ).moved(end + drop)
    stand = np.stack([[0, 0, z] for z in np.linspace(0.03, tall, 4)])
    arm = np.stack([elbow + (end - elbow) * t for t in np.linspace(0, 1, 4)])
    joint = revolve(
        [(0, -0.07), (0.05, -0.05), (0.07, 0), (0.05, 0.05), (0, 0.07)], 14, smooth=True
    ).moved(elbow)
    return assemble(
        [_disc(foot, 0.07), tube(stand, thin), tube(arm, thin), hood, joint],
        {
            "base": around(foot * 0.75, 0.07, 16)[3:14],
            "stand": around(thin, tall * 0.5, 12),
            "joint": around(0.07, tall, 12)[3:10],
            "arm": [arm[2] + [0, 0, thin], arm[2] + [0, -thin, 0], arm[2] + [0, thin, 0]],
            "shade": around(shade * 0.7, 0.13, 16) + end + drop,
        },
    )


def _bottle(p: Shape) -> Solid:
    radius, tall = _between(0.17, 0.27, p[0]), _between(0.5, 0.7, p[1])
    neck, slope = _between(0.06, 0.1, p[2]), _between(0.08, 0.25, p[3])
    high = tall + slope
    top = high + 0.22
    body = [
        (0, 0),
        (radius, 0),
        (radius, tall),
        (neck, high),
        (neck, top),
        (neck * 1.35, top),
        (neck * 1.35, top + 0.08),
        (0, top + 0.08),
    ]
    return assemble(
        [revolve(body)],
        {
            "opening": around(neck * 0.5, top + 0.08, 8),
            "neck": around(neck, high + 0.1, 16),
            "shoulder": around((radius + neck) / 2, tall + slope / 2, 16),
            "body": around(radius, tall * 0.5, 16),
            "base": around(radius, 0.03, 16),
        },
    )


def _plinth(p: Shape) -> Solid:
    """A square column whose width and height are in the proportion of the first two numbers."""
    return assemble([box([p[0], p[0], p[1]])])


_BUILDERS: Mapping[str, Callable[[Shape], Solid]] = MappingProxyType(
    {
        "sphere": _sphere,
        "cube": _cube,
        "cylinder": _cylinder,
        "cone": _cone,
        "ring": _ring,
        "pyramid": _pyramid,
        "star": _star,
        "cross": _cross,
        "mug": _mug,
        "pan": _pan,
        "kettle": _kettle,
        "hammer": _hammer,
        "chair": _chair,
        "table": _table,
        "lamp": _lamp,
        "bottle": _bottle,
        "plinth": _plinth,
    }
)

CATEGORIES: tuple[str, ...] = tuple(_BUILDERS)[:16]
"""Every object category, simple solids first. (A plinth is furniture: nothing asks for it.)"""

COMPOSITES: tuple[str, ...] = CATEGORIES[8:]
"""Categories that have named parts."""


@lru_cache(maxsize=256)  # views of one scene share their things
def solid(category: str, shape: Shape) -> Solid:
    """Return the instance of a category with the given parameters.

    Its largest extent is 1; it stands on z = 0 and is centred on the z axis.
    """
    return _BUILDERS[category](shape)


def random_shape(rng: np.random.Generator) -> Shape:
    """Draw instance parameters uniformly."""
    a, b, c, d = rng.uniform(size=4).tolist()
    return (a, b, c, d)
