"""Backends and encoders: the first room that knows torch."""

from vlmbench.models._backend import (
    IMAGE_PLACEHOLDER,
    Backend,
    Inside,
    Inspects,
    Intervenes,
    Prepares,
    Prompt,
    Remote,
    Reply,
    TakesNotes,
)
from vlmbench.models._batches import BatchSize, Kept, in_batches
from vlmbench.models._blocks import image_tower
from vlmbench.models._canary import TakesCanaries, try_canaries
from vlmbench.models._checkpoint import checkpoint_path, stand_in_digest, weights_digest
from vlmbench.models._gold import gold_losses
from vlmbench.models._head_attention import HeadAttention
from vlmbench.models._images import Letterbox, join, place, prepare
from vlmbench.models._load import devices, load_backend, resolve_device
from vlmbench.models._lora import ADAPTER_FILES, RECORD, fresh_lora, save_lora, stored_lora
from vlmbench.models._parts import matrices_of, projector_of
from vlmbench.models._prefix import load_prefix, new_prefix, prefixed, save_prefix
from vlmbench.models._ranks import budget_of, solve_ranks
from vlmbench.models._sinks import rule as sink_rule
from vlmbench.models._stages import Seen, Staged, StageTap
from vlmbench.models._text import PromptText
from vlmbench.models._threads import share_threads
from vlmbench.models._tower import Tower, TowerStates
from vlmbench.models.hf import HfBackend

__all__ = [
    "ADAPTER_FILES",
    "IMAGE_PLACEHOLDER",
    "RECORD",
    "Backend",
    "BatchSize",
    "HeadAttention",
    "HfBackend",
    "Inside",
    "Inspects",
    "Intervenes",
    "Kept",
    "Letterbox",
    "Prepares",
    "Prompt",
    "PromptText",
    "Remote",
    "Reply",
    "Seen",
    "StageTap",
    "Staged",
    "TakesCanaries",
    "TakesNotes",
    "Tower",
    "TowerStates",
    "budget_of",
    "checkpoint_path",
    "devices",
    "fresh_lora",
    "gold_losses",
    "image_tower",
    "in_batches",
    "join",
    "load_backend",
    "load_prefix",
    "matrices_of",
    "new_prefix",
    "place",
    "prefixed",
    "prepare",
    "projector_of",
    "resolve_device",
    "save_lora",
    "save_prefix",
    "share_threads",
    "sink_rule",
    "solve_ranks",
    "stand_in_digest",
    "stored_lora",
    "try_canaries",
    "weights_digest",
]
