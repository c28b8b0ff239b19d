"""Backends and encoders: the first room that knows torch."""

from vlmbench.models._backend import (
    IMAGE_PLACEHOLDER,
    Backend,
    Generates,
    Prompt,
    RendersPrompts,
    ScoresChoices,
)
from vlmbench.models._device import resolve_device
from vlmbench.models._images import join, letterbox, prepare
from vlmbench.models._tower import Tower, TowerStates
from vlmbench.models.hf import HfBackend, checkpoint_path, weights_digest

__all__ = [
    "IMAGE_PLACEHOLDER",
    "Backend",
    "Generates",
    "HfBackend",
    "Prompt",
    "RendersPrompts",
    "ScoresChoices",
    "Tower",
    "TowerStates",
    "checkpoint_path",
    "join",
    "letterbox",
    "prepare",
    "resolve_device",
    "weights_digest",
]
