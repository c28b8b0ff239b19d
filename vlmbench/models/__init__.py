"""Backends and encoders: the first room that knows torch."""

from vlmbench.models._backend import (
    IMAGE_PLACEHOLDER,
    Backend,
    Inside,
    Inspects,
    Intervenes,
    Prompt,
    Remote,
    Reply,
    TakesNotes,
)
from vlmbench.models._batches import in_batches
from vlmbench.models._checkpoint import checkpoint_path, weights_digest
from vlmbench.models._images import Letterbox, join, place, prepare
from vlmbench.models._load import load_backend, resolve_device
from vlmbench.models._sinks import rule as sink_rule
from vlmbench.models._text import PromptText
from vlmbench.models._tower import Tower, TowerStates
from vlmbench.models.hf import HfBackend

__all__ = [
    "IMAGE_PLACEHOLDER",
    "Backend",
    "HfBackend",
    "Inside",
    "Inspects",
    "Intervenes",
    "Letterbox",
    "Prompt",
    "PromptText",
    "Remote",
    "Reply",
    "TakesNotes",
    "Tower",
    "TowerStates",
    "checkpoint_path",
    "in_batches",
    "join",
    "load_backend",
    "place",
    "prepare",
    "resolve_device",
    "sink_rule",
    "weights_digest",
]
