"""The worlds by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from vlmbench.tasks.worlds._art import ART_STYLE
from vlmbench.tasks.worlds._controls import NAMING, POINTING
from vlmbench.tasks.worlds._depth import DEPTH
from vlmbench.tasks.worlds._matching import LOW_LEVEL_MATCHING
from vlmbench.tasks.worlds._odd import OBJECT_3D
from vlmbench.tasks.worlds._parts import OBJECT_AFFORDANCE, SEMANTIC_CORRESPONDENCE
from vlmbench.tasks.worlds._world import World

WORLDS: Mapping[str, World] = MappingProxyType(
    {
        world.name: world
        for world in (
            SEMANTIC_CORRESPONDENCE,
            LOW_LEVEL_MATCHING,
            OBJECT_AFFORDANCE,
            ART_STYLE,
            DEPTH,
            OBJECT_3D,
            NAMING,
            POINTING,
        )
    }
)
"""Every world by name: the six abilities, then the two controls."""
