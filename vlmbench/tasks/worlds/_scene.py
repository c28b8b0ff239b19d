"""Scenes: things with shape, colour, texture and pose, seen by a camera in some light.

World space is right-handed, in metres, z up; the floor is z = 0. A camera without roll has the
image's x axis level. Pixel coordinates are (x, y) from the top-left corner of the top-left pixel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from vlmbench.tasks.worlds._mesh import Floats, rotation
from vlmbench.tasks.worlds._solids import Shape

Texture = Literal["plain", "stripes", "checker", "noise", "dots"]
Vector = tuple[float, float, float]

TEXTURES: tuple[Texture, ...] = ("plain", "stripes", "checker", "noise", "dots")

COLOURS: Mapping[str, Vector] = MappingProxyType(
    {
        "red": (0.83, 0.09, 0.09),
        "orange": (0.98, 0.50, 0.05),
        "yellow": (0.96, 0.87, 0.10),
        "green": (0.10, 0.60, 0.16),
        "blue": (0.10, 0.25, 0.86),
        "purple": (0.47, 0.12, 0.66),
        "pink": (1.00, 0.52, 0.74),
        "white": (0.95, 0.95, 0.95),
    }
)
"""Named colours as RGB in [0, 1], before jitter and light."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """A procedural texture of two colours, laid through object space.

    Attributes:
        texture: Pattern.
        rgb: First colour, in [0, 1].
        second: Second colour; unused by `plain`.
        frequency: Repeats per object length (per metre on the floor).
        turn: Angle of the pattern about the z axis in radians, which also seeds noise.
    """

    texture: Texture
    rgb: Vector
    second: Vector
    frequency: float = 4.0
    turn: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """One object of a scene.

    Attributes:
        category: One of `CATEGORIES`.
        colour: Name of its main colour, one of `COLOURS`.
        surface: Its jittered colours and pattern.
        shape: Instance parameters.
        position: Where the centre of its base is, in metres.
        turn: Rotations (about x, y, z, applied in that order) in radians; (0, 0, yaw) stands.
        scale: Largest extent in metres.
    """

    category: str
    colour: str
    surface: Surface
    shape: Shape
    position: Vector = (0.0, 0.0, 0.0)
    turn: Vector = (0.0, 0.0, 0.0)
    scale: float = 1.0

    @property
    def rotation(self) -> Floats:
        """(3, 3) matrix from object to world axes."""
        about_x, about_y, about_z = self.turn
        return rotation("z", about_z) @ rotation("y", about_y) @ rotation("x", about_x)


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """A pinhole that orbits its target.

    Attributes:
        target: Point at the centre of the image, in metres.
        distance: From the pinhole to the target, in metres.
        azimuth: Radians about z; 0 looks along +y.
        elevation: Radians above the horizon.
        roll: Radians about the line of sight.
        field_of_view: Full angle across the image, in radians.
    """

    target: Vector = (0.0, 0.0, 0.4)
    distance: float = 3.0
    azimuth: float = 0.0
    elevation: float = 0.45
    roll: float = 0.0
    field_of_view: float = 0.75

    @property
    def axes(self) -> Floats:
        """(3, 3) rows: right, down and forward in world space."""
        ca, sa = np.cos(self.azimuth), np.sin(self.azimuth)
        ce, se = np.cos(self.elevation), np.sin(self.elevation)
        forward = np.array([-sa * ce, ca * ce, -se])
        right = np.array([ca, sa, 0.0])
        down = np.array([se * sa, -se * ca, -ce])  # forward x right
        c, s = np.cos(self.roll), np.sin(self.roll)
        return np.stack([c * right + s * down, c * down - s * right, forward])

    @property
    def origin(self) -> Floats:
        """(3,) position of the pinhole in world space."""
        return np.asarray(np.asarray(self.target) - self.distance * self.axes[2])

    def project(self, points: ArrayLike, size: int) -> tuple[Floats, Floats]:
        """Return (n, 2) pixel positions and (n,) depths along the line of sight in metres."""
        local = (np.atleast_2d(np.asarray(points, float)) - self.origin) @ self.axes.T
        depth = local[:, 2]
        scale = size / 2 / np.tan(self.field_of_view / 2)
        safe = np.where(np.abs(depth) < 1e-9, 1e-9, depth)
        return local[:, :2] / safe[:, None] * scale + size / 2, depth

    def aimed(self, point: ArrayLike, pixel: ArrayLike, size: int) -> Camera:
        """Return the camera shifted, not turned, so that a world point (3,) shows at a pixel (2,).

        Afterwards the point lies `distance` away along the line of sight.
        """
        offset = (np.asarray(pixel, float) - size / 2) * (2 / size)
        offset *= np.tan(self.field_of_view / 2) * self.distance
        right, down, _ = self.axes
        target = np.asarray(point, float) - offset[0] * right - offset[1] * down
        return replace(self, target=vector(target))


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """One distant lamp and an even sky.

    Attributes:
        direction: Unit vector from the scene to the lamp.
        tint: RGB strength of the lamp.
        ambient: Share of light that reaches every surface.
        gloss: Strength of highlights.
    """

    direction: Vector = (-0.4, -0.5, 0.77)
    tint: Vector = (1.0, 1.0, 1.0)
    ambient: float = 0.45
    gloss: float = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Everything that is needed to draw one image.

    Attributes:
        things: Objects, indexed as in the ids map.
        camera: Viewpoint.
        light: Illumination.
        floor: Surface of the plane z = 0, or None for no floor.
        backdrop: RGB behind everything, at the horizon and at the top.
    """

    things: tuple[Thing, ...]
    camera: Camera = Camera()
    light: Light = Light()
    floor: Surface | None = None
    backdrop: tuple[Vector, Vector] = ((0.75, 0.78, 0.8), (0.55, 0.6, 0.7))


def vector(values: ArrayLike) -> Vector:
    """Return three plain floats."""
    x, y, z = np.asarray(values, float).tolist()
    return (x, y, z)
