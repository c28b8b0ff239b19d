"""The three parts of a vision-language model: tower, projector and language model."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from torch import nn

from vlmbench.registry import family_of
from vlmbench.types import VlmbenchError

# What transformers calls the module between a tower and a language model.
_PROJECTORS = frozenset({"multi_modal_projector", "connector", "aligner", "merger"})


def projector_of(model: Any) -> tuple[nn.Module, ...]:
    """Return what stands between the vision tower and the language model.

    Usually that is one module. Where there are several, they come in the order in which an image
    passes them; those of families that add further states higher up come last.

    Args:
        model: An image-text-to-text model of transformers.

    Raises:
        VlmbenchError: If no module is known to be one.
    """
    model_type = model.config.model_type
    family = family_of(model_type)
    if family.projector:
        return tuple(attrgetter(path)(model) for path in family.projector)
    found = tuple(
        module for name, module in model.named_modules() if name.rpartition(".")[2] in _PROJECTORS
    )
    if not found:
        raise VlmbenchError(f"no projector is known for model_type {model_type!r}")
    return found
