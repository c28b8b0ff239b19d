"""Worlds: procedural documents for the six abilities and their two controls.

Embree, scipy and `datasets` are loaded where they are used, so importing this package is quick.
"""

from vlmbench.tasks.worlds._art import STYLE_NAMES
from vlmbench.tasks.worlds._build import (
    Part,
    build,
    build_parts,
    export,
    fingerprint,
    is_built,
    load,
)
from vlmbench.tasks.worlds._cheap import CHEAP_RULES
from vlmbench.tasks.worlds._counterfactual import counterfactual, has_counterfactuals
from vlmbench.tasks.worlds._markers import draw_markers, marker_style
from vlmbench.tasks.worlds._parts import FUNCTIONS
from vlmbench.tasks.worlds._points import PARTS, POINT, UNKNOWN
from vlmbench.tasks.worlds._random import random_scene
from vlmbench.tasks.worlds._registry import WORLDS
from vlmbench.tasks.worlds._render import look, render
from vlmbench.tasks.worlds._rows import SPLITS, Split
from vlmbench.tasks.worlds._scene import COLOURS, Camera, Scene, Surface, Thing
from vlmbench.tasks.worlds._shapes import CATEGORIES, COMPOSITES, random_shape, solid
from vlmbench.tasks.worlds._sheet import contact_sheet
from vlmbench.tasks.worlds._taught import LESSONS, MARKS, Lesson, TaughtView, taught_group

__all__ = [
    "CATEGORIES",
    "CHEAP_RULES",
    "COLOURS",
    "COMPOSITES",
    "FUNCTIONS",
    "LESSONS",
    "MARKS",
    "PARTS",
    "POINT",
    "SPLITS",
    "STYLE_NAMES",
    "UNKNOWN",
    "WORLDS",
    "Camera",
    "Lesson",
    "Part",
    "Scene",
    "Split",
    "Surface",
    "TaughtView",
    "Thing",
    "build",
    "build_parts",
    "contact_sheet",
    "counterfactual",
    "draw_markers",
    "export",
    "fingerprint",
    "has_counterfactuals",
    "is_built",
    "load",
    "look",
    "marker_style",
    "random_scene",
    "random_shape",
    "render",
    "solid",
    "taught_group",
]
