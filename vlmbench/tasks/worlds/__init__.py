"""Worlds: procedural documents for the six abilities and their two controls.

Importing this package loads neither the ray caster nor `datasets`; drawing does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmbench.tasks.worlds._markers import draw_markers
from vlmbench.tasks.worlds._mesh import Solid
from vlmbench.tasks.worlds._scene import (
    COLOURS,
    TEXTURES,
    Camera,
    Light,
    Scene,
    Surface,
    Texture,
    Thing,
    random_scene,
    random_surface,
)
from vlmbench.tasks.worlds._shapes import CATEGORIES, COMPOSITES, random_shape, solid

if TYPE_CHECKING:
    from vlmbench.tasks.worlds._render import Rendered

__all__ = [
    "CATEGORIES",
    "COLOURS",
    "COMPOSITES",
    "TEXTURES",
    "Camera",
    "Light",
    "Scene",
    "Solid",
    "Surface",
    "Texture",
    "Thing",
    "draw_markers",
    "random_scene",
    "random_shape",
    "random_surface",
    "render",
    "solid",
]


def render(scene: Scene, size: int = 96, *, smooth: bool = True) -> Rendered:
    """Draw a scene: see `vlmbench.tasks.worlds._render.render`."""
    from vlmbench.tasks.worlds import _render

    return _render.render(scene, size, smooth=smooth)
