"""Worlds: procedural documents for the six abilities and their two controls.

Importing this package loads neither the ray caster nor `datasets` nor scipy; the first use of a
name does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlmbench.tasks.worlds._build import (
        build,
        export,
        fingerprint,
        folder,
        is_built,
        load,
    )
    from vlmbench.tasks.worlds._cheap import CHEAP_RULES
    from vlmbench.tasks.worlds._markers import draw_markers
    from vlmbench.tasks.worlds._mesh import Solid
    from vlmbench.tasks.worlds._registry import WORLDS
    from vlmbench.tasks.worlds._render import Rendered, View, look, render
    from vlmbench.tasks.worlds._rows import SPLITS, Split, features
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
        random_thing,
    )
    from vlmbench.tasks.worlds._shapes import CATEGORIES, COMPOSITES, random_shape, solid
    from vlmbench.tasks.worlds._sheet import contact_sheet
    from vlmbench.tasks.worlds._world import World

_HOME = {
    "_build": (
        "build",
        "export",
        "fingerprint",
        "folder",
        "is_built",
        "load",
    ),
    "_cheap": ("CHEAP_RULES",),
    "_markers": ("draw_markers",),
    "_mesh": ("Solid",),
    "_registry": ("WORLDS",),
    "_render": ("Rendered", "View", "look", "render"),
    "_rows": ("SPLITS", "Split", "features"),
    "_scene": (
        "COLOURS",
        "TEXTURES",
        "Camera",
        "Light",
        "Scene",
        "Surface",
        "Texture",
        "Thing",
        "random_scene",
        "random_surface",
        "random_thing",
    ),
    "_shapes": ("CATEGORIES", "COMPOSITES", "random_shape", "solid"),
    "_sheet": ("contact_sheet",),
    "_world": ("World",),
}

__all__ = [
    "CATEGORIES",
    "CHEAP_RULES",
    "COLOURS",
    "COMPOSITES",
    "SPLITS",
    "TEXTURES",
    "WORLDS",
    "Camera",
    "Light",
    "Rendered",
    "Scene",
    "Solid",
    "Split",
    "Surface",
    "Texture",
    "Thing",
    "View",
    "World",
    "build",
    "contact_sheet",
    "draw_markers",
    "export",
    "features",
    "fingerprint",
    "folder",
    "is_built",
    "load",
    "look",
    "random_scene",
    "random_shape",
    "random_surface",
    "random_thing",
    "render",
    "solid",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
