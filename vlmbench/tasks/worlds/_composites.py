"""Objects that have named parts, such as a mug with its handle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from vlmbench.tasks.worlds._mesh import (
    Solid,
    around,
    assemble,
    box,
    extrude,
    revolve,
    rotation,
    tube,
)
from vlmbench.tasks.worlds._solids import Shape, between, disc, vessel


def _mug(p: Shape) -> Solid:
    radius, height = between(0.32, 0.46, p[0]), between(0.7, 1.05, p[1])
    flare, reach = between(0.85, 1.2, p[2]), between(0.22, 0.38, p[3])
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
        [vessel(radius, top, height, 0.05), tube(arc, 0.055)],
        {
            "handle": arc[4] + [0.055, 0, 0],
            "rim": around(top - 0.025, height, 16),
            "base": around(radius, 0.03 * height, 16),
            "body": around(radius * 0.5 + top * 0.5, height * 0.5, 16)[3:14],
            "inside": around((radius - 0.05) * 0.5, 0.05, 8),
        },
    )


def _pan(p: Shape) -> Solid:
    radius, height = between(0.4, 0.58, p[0]), between(0.14, 0.28, p[1])
    length, rise = between(0.6, 1.0, p[2]), between(0.0, 0.3, p[3])
    flare = 1.15
    joint = np.array([radius * flare - 0.03, 0, height * 0.85])
    end = joint + np.array([length, 0, rise])
    path = np.stack([joint + (end - joint) * t for t in np.linspace(0, 1, 5)])
    thick = [0.05, 0.055, 0.07, 0.075, 0.07]
    return assemble(
        [vessel(radius, radius * flare, height, 0.05), tube(path, thick)],
        {
            "handle": path[3] + [0, 0, 0.075],
            "joint": path[1] + [0, 0, 0.055],
            "rim": around(radius * flare - 0.025, height, 16)[4:13],
            "base": around(radius, 0.02, 16)[2:15],
            "inside": [[0, 0, 0.05]],
        },
    )


def _kettle(p: Shape) -> Solid:
    radius, height = between(0.42, 0.56, p[0]), between(0.5, 0.85, p[1])
    arch, spout = between(0.2, 0.42, p[2]), between(0.25, 0.5, p[3])
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
    length, thick = between(0.95, 1.35, p[0]), between(0.055, 0.085, p[1])
    head, wide = between(0.5, 0.75, p[2]), between(0.11, 0.17, p[3])
    path = np.stack([[x, 0, 0] for x in np.linspace(0, length, 6)])
    grip = [thick * 1.25, thick * 1.3, thick * 1.1, thick * 0.9, thick * 0.85, thick * 0.85]
    block = box([wide * 1.7, wide * 1.7, head * 0.55], [length, 0, 0])
    face = disc(wide * 1.15, head * 0.2).moved([length, 0, head * 0.25])
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
    wide, deep = between(0.5, 0.65, p[0]), between(0.48, 0.62, p[1])
    leg, back = between(0.35, 0.55, p[2]), between(0.45, 0.8, p[3])
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
    wide, deep = between(0.9, 1.2, p[0]), between(0.5, 0.75, p[1])
    tall, chest = between(0.5, 0.75, p[2]), between(0.25, 0.4, p[3])
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
    foot, tall = between(0.2, 0.32, p[0]), between(0.7, 1.0, p[1])
    reach, shade = between(0.3, 0.5, p[2]), between(0.2, 0.32, p[3])
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
        [disc(foot, 0.07), tube(stand, thin), tube(arm, thin), hood, joint],
        {
            "base": around(foot * 0.75, 0.07, 16)[3:14],
            "stand": around(thin, tall * 0.5, 12),
            "joint": around(0.07, tall, 12)[3:10],
            "arm": [arm[2] + [0, 0, thin], arm[2] + [0, -thin, 0], arm[2] + [0, thin, 0]],
            "shade": around(shade * 0.7, 0.13, 16) + end + drop,
        },
    )


def _bottle(p: Shape) -> Solid:
    radius, tall = between(0.17, 0.27, p[0]), between(0.5, 0.7, p[1])
    neck, slope = between(0.06, 0.1, p[2]), between(0.08, 0.25, p[3])
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


BUILDERS: Mapping[str, Callable[[Shape], Solid]] = MappingProxyType(
    {
        "mug": _mug,
        "pan": _pan,
        "kettle": _kettle,
        "hammer": _hammer,
        "chair": _chair,
        "table": _table,
        "lamp": _lamp,
        "bottle": _bottle,
    }
)
"""Every category with named parts, and what builds it."""
