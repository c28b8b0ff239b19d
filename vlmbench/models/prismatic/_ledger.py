"""Key-by-key accounting: which tensor went where, and what is left on either side."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from vlmbench.models.prismatic._encoders import Encoder, Part
from vlmbench.types import Problem, VlmbenchError

_TOWER = "model.vision_tower."
_PROJECTOR = "model.multi_modal_projector."
_LANGUAGE = "model.language_model."
_PROJECTOR_LAYERS = {"linear_1": "projector.projector.0", "linear_2": "projector.projector.2"}
_BLOCK = re.compile(r"(?<=\.)\d+(?=\.)")
# Llama computes them; releases of transformers before 4.32 stored them anyway.
_UNUSED_LANGUAGE = {r"llm_backbone\.llm\..*rotary_emb\.inv_freq": "recomputed by the model"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What became of every tensor.

    Attributes:
        state: The converted model's tensors.
        sources: For every tensor of the converted model, the one it was made from; empty where
            it was filled with zeros, because no output depends on it.
        unused: Tensors that were left out, and why.
    """

    state: dict[str, Tensor]
    sources: dict[str, str]
    unused: dict[str, str]


def account(
    targets: Mapping[str, torch.Size],
    checkpoint: Mapping[str, Tensor],
    tower: Mapping[str, Tensor],
    encoder: Encoder,
) -> Ledger:
    """Fill every tensor of the converted model from the two sources.

    Args:
        targets: Name and shape of every tensor of the converted model.
        checkpoint: Projector and language model by Prismatic's names.
        tower: The encoder by timm's names.
        encoder: Which one.

    Raises:
        VlmbenchError: Listing every target without a source, every tensor of a wrong shape,
            and every source tensor that is neither used nor known to be superfluous.
    """
    offered = {**checkpoint, **{f"encoder {name}": tensor for name, tensor in tower.items()}}
    state: dict[str, Tensor] = {}
    sources: dict[str, str] = {}
    problems = []
    for target, shape in targets.items():
        part = _part(target, encoder)
        if part is None or (part.source and part.source not in offered):
            wanted = f" from {part.source!r}, which is missing" if part else ": no rule for it"
            problems.append(Problem(message=f"cannot fill {target}{wanted}"))
            continue
        sources[target] = part.source
        filled = part.change(offered[part.source]) if part.source else torch.zeros(shape)
        if filled.shape != shape:
            message = (
                f"{part.source} has the shape {tuple(filled.shape)}, but {target} has "
                f"{tuple(shape)}"
            )
            problems.append(Problem(message=message))
        state[target] = filled
    unused = _left(offered, set(sources.values()), encoder)
    problems += [_unplaced(name) for name, why in unused.items() if not why]
    if problems:
        raise VlmbenchError(problems)
    return Ledger(state=state, sources=sources, unused=unused)


def _unplaced(name: str) -> Problem:
    return Problem(
        message=f"{name} has no place in the converted model",
        remedy="Leaving it out could change every answer, so nothing was converted.",
    )


def _part(target: str, encoder: Encoder) -> Part | None:
    """Return where a tensor of the converted model comes from."""
    if target.startswith(_TOWER):
        name = target.removeprefix(_TOWER)
        block = _BLOCK.search(name)
        number = block.group() if block else ""
        part = encoder.parts.get(_BLOCK.sub("#", name, count=1))
        if part is None or not part.source:
            return part
        return Part(source="encoder " + part.source.replace("#", number), change=part.change)
    if target.startswith(_PROJECTOR):
        layer, _, kind = target.removeprefix(_PROJECTOR).partition(".")
        return Part(source=f"{_PROJECTOR_LAYERS[layer]}.{kind}")
    if target.startswith(_LANGUAGE):
        return Part(source=f"llm_backbone.llm.model.{target.removeprefix(_LANGUAGE)}")
    return Part(source=f"llm_backbone.llm.{target}")


def _left(offered: Iterable[str], used: set[str], encoder: Encoder) -> dict[str, str]:
    """Return tensors that were not used, with why; an empty reason where there is none."""
    reasons = {**_UNUSED_LANGUAGE, **{f"encoder {k}": v for k, v in encoder.unused.items()}}
    return {
        name: next((why for form, why in reasons.items() if re.fullmatch(form, name)), "")
        for name in offered
        if name not in used
    }
