"""Scenes: things with shape, colour, texture and pose, seen by a camera in some light.

World space is right-handed, in metres, z up; the floor is z = 0. A camera without roll has the
image's x axis level. Pixel coordinates are (x, y) from the top-left corner of the top-left pixel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from vlmbench.tasks.worlds._mesh import Floats, rotation
from vlmbench.tasks.worlds._shapes import CATEGORIES, Shape, random_shape

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

# Facing away these are unrecognisable bars, so their front stays within 50 degrees of the camera.
FRONTAL: frozenset[str] = frozenset({"star", "cross", "ring"})


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
        position: Where the centre of its base stands, in metres.
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


def random_surface(
    rng: np.random.Generator, colour: str, textures: Sequence[Texture] = TEXTURES
) -> Surface:
    """Draw a jittered surface whose main colour is `colour`; its second one is a shade of it."""
    base = np.asarray(COLOURS[colour]) * rng.uniform(0.88, 1.06) + rng.normal(0, 0.025, 3)
    base = np.clip(base, 0.02, 1.0)
    # Lightening would turn orange into peach and red into pink, so patterns darken.
    second = base * rng.uniform(0.4, 0.6)
    return Surface(
        texture=textures[int(rng.integers(len(textures)))],
        rgb=vector(base),
        second=vector(second),
        frequency=float(rng.uniform(2.5, 5.0)),
        turn=float(rng.uniform(0, np.pi)),
    )


def random_floor(rng: np.random.Generator) -> Surface:
    """Draw a muted floor, so that it never outshines the named colours."""
    grey = rng.uniform(0.3, 0.75)
    first = np.clip(grey + rng.normal(0, 0.04, 3), 0, 1)
    second = np.clip(first * rng.uniform(0.55, 0.9), 0, 1)
    return Surface(
        texture=TEXTURES[int(rng.integers(len(TEXTURES)))],
        rgb=vector(first),
        second=vector(second),
        frequency=float(rng.uniform(1.0, 3.0)),
        turn=float(rng.uniform(0, np.pi)),
    )


def random_light(rng: np.random.Generator) -> Light:
    """Draw a lamp from anywhere above, slightly warm or cold."""
    around, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.2)
    direction = [np.cos(around) * np.cos(height), np.sin(around) * np.cos(height), np.sin(height)]
    warm = rng.uniform(-0.08, 0.08)
    return Light(
        direction=vector(direction),
        tint=vector(np.array([1 + warm, 1.0, 1 - warm]) * rng.uniform(0.85, 1.1)),
        ambient=float(rng.uniform(0.5, 0.7)),
        gloss=float(rng.uniform(0.0, 0.35)),
    )


def random_backdrop(rng: np.random.Generator) -> tuple[Vector, Vector]:
    """Draw the two muted colours of the backdrop."""
    low = np.clip(rng.uniform(0.35, 0.85) + rng.normal(0, 0.05, 3), 0, 1)
    return vector(low), vector(np.clip(low * rng.uniform(0.6, 1.2), 0, 1))


def random_yaw(rng: np.random.Generator, category: str, azimuth: float) -> float:
    """Draw a yaw, near the camera's own for shapes that have only one telling side."""
    if category in FRONTAL:
        return float(azimuth + rng.uniform(-0.9, 0.9))
    return float(rng.uniform(-np.pi, np.pi))


def random_thing(
    rng: np.random.Generator,
    *,
    categories: Sequence[str] = CATEGORIES,
    colours: Sequence[str] = tuple(COLOURS),
    textures: Sequence[Texture] = TEXTURES,
    azimuth: float = 0.0,
    scale: tuple[float, float] = (0.7, 1.0),
) -> Thing:
    """Draw one object standing at the origin."""
    category = categories[int(rng.integers(len(categories)))]
    colour = colours[int(rng.integers(len(colours)))]
    return Thing(
        category=category,
        colour=colour,
        surface=random_surface(rng, colour, textures),
        shape=random_shape(rng),
        turn=(0.0, 0.0, random_yaw(rng, category, azimuth)),
        scale=float(rng.uniform(*scale)),
    )


def random_scene(
    rng: np.random.Generator,
    *,
    things: int | tuple[int, int] = (1, 4),
    categories: Sequence[str] = CATEGORIES,
    colours: Sequence[str] = tuple(COLOURS),
    textures: Sequence[Texture] = TEXTURES,
    roll: float = 0.0,
) -> Scene:
    """Draw objects standing apart on a textured floor, from a random viewpoint, in random light.

    Args:
        rng: Source of every choice.
        things: How many objects, or the inclusive range to draw from.
        categories: Categories to draw from.
        colours: Colour names to draw from.
        textures: Object textures to draw from.
        roll: Largest camera roll in radians.
    """
    low, high = (things, things) if isinstance(things, int) else things
    count = int(rng.integers(low, high + 1))
    azimuth = float(rng.uniform(-np.pi, np.pi))
    spread = 0.0 if count == 1 else 0.42 * np.sqrt(count) + 0.1
    placed: list[Thing] = []
    for _ in range(count * 30):
        if len(placed) == count:
            break
        thing = random_thing(
            rng, categories=categories, colours=colours, textures=textures, azimuth=azimuth
        )
        x, y = rng.uniform(-1, 1, 2) * spread
        if all(
            np.hypot(x - other.position[0], y - other.position[1])
            > 0.5 * (thing.scale + other.scale) * 0.92
            for other in placed
        ):
            placed.append(replace(thing, position=(float(x), float(y), 0.0)))
    camera = Camera(
        target=(0.0, 0.0, float(rng.uniform(0.25, 0.45))),
        distance=float((1.85 + 1.3 * spread) * rng.uniform(0.95, 1.2)),
        azimuth=azimuth,
        elevation=float(rng.uniform(0.25, 0.8)),
        roll=float(rng.uniform(-roll, roll)) if roll else 0.0,
        field_of_view=float(rng.uniform(0.6, 0.8)),
    )
    return Scene(
        things=tuple(placed),
        camera=camera,
        light=random_light(rng),
        floor=random_floor(rng),
        backdrop=random_backdrop(rng),
    )
