"""The three parts of a vision-language model: tower, projector and language model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

from vlmbench.models._blocks import image_tower
from vlmbench.registry import family_of
from vlmbench.spec import Part
from vlmbench.types import VlmbenchError

# What transformers calls the module between a tower and a language model.
_PROJECTORS = frozenset({"multi_modal_projector", "connector", "aligner", "merger"})
# Of what is differentiated, so that slopes do not vanish in half precision.
_SCALE = 1024.0


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """A weight that its module multiplies states with.

    Attributes:
        name: Of a linear layer; or of a parameter where a module multiplies with one itself.
        size: Channels of what comes in and of what goes out.
        is_layer: Whether the name is that of a layer.
    """

    name: str
    size: tuple[int, int]
    is_layer: bool = True


def matrices_of(model: Any, batch: Mapping[str, Any]) -> dict[Part, tuple[Matrix, ...]]:
    """Return the linear layers of each part that an answer about an image depends on.

    A part may hold layers that do nothing for an answer: LLaVA reads the last state but one of its
    tower, so the last block's come to nothing, and a tower's pooling is not read at all. Taken are
    those by whose output the likelihood of a token after the prompt has a slope. Parts are
    disjoint; embeddings, and the head that tokens are read off, belong to none.

    Args:
        model: An image-text-to-text model of transformers, in eval mode.
        batch: A prompt with an image, encoded.

    Returns:
        By part, in the order in which the model names them. A projector without linear layers has
        the matrices that its modules multiply with themselves (Gemma 3).

    Raises:
        VlmbenchError: If tower or projector are not known.
    """
    projector = projector_of(model)
    bridging = {part for whole in projector for part in whole.modules()}
    seeing = set(image_tower(model).modules()) - bridging
    head = model.get_output_embeddings()
    reading = set(model.get_decoder().modules()) - seeing - bridging - {head}
    found: dict[Part, list[Matrix]] = {"tower": [], "projector": [], "language": []}
    for name, layer in _reached(model, batch):
        matrix = Matrix(name=name, size=(layer.in_features, layer.out_features))
        if layer in bridging:
            found["projector"].append(matrix)
        elif layer in seeing:
            found["tower"].append(matrix)
        elif layer in reading:
            found["language"].append(matrix)
    if not found["projector"]:
        found["projector"] += [
            Matrix(name=name, size=(parameter.shape[0], parameter.shape[1]), is_layer=False)
            for name, parameter in model.named_parameters()
            if parameter.ndim == 2 and any(parameter is own for own in _own(projector))
        ]
    return {part: tuple(matrices) for part, matrices in found.items()}


def _own(modules: tuple[nn.Module, ...]) -> Iterator[nn.Parameter]:
    for module in modules:
        yield from module.parameters()


def _reached(model: Any, batch: Mapping[str, Any]) -> list[tuple[str, nn.Linear]]:
    """Return the linear layers whose output moves what follows a prompt, with their names."""
    layers = [
        (name, part)
        for name, part in model.named_modules()
        if isinstance(part, nn.Linear) and type(part).forward is nn.Linear.forward
    ]  # a router that is a layer gives more than its product
    outputs: list[tuple[nn.Module, Tensor]] = []

    def keep(layer: nn.Module, _: Any, output: Tensor) -> Tensor:
        if not output.requires_grad:
            output = output.detach().requires_grad_().clone()  # a leaf could not be written into
        outputs.append((layer, output))
        return output

    asking = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.requires_grad_(False)
    try:
        with ExitStack() as hooks, torch.enable_grad():
            for _, layer in layers:
                hooks.enter_context(layer.register_forward_hook(keep))
            last = model(**batch, use_cache=False).logits[:, -1].float().log_softmax(dim=-1)
            total = _SCALE * last[:, 0].sum()
            values = [output for _, output in outputs]
            slopes = torch.autograd.grad(total, values, allow_unused=True)
    finally:
        for parameter in asking:
            parameter.requires_grad_(True)
    pairs = zip(outputs, slopes, strict=True)
    used = {layer for (layer, _), slope in pairs if slope is not None and slope.any()}
    return [(name, layer) for name, layer in layers if layer in used]
