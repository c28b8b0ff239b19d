"""LLaVA-class models whose tower has register tokens that the language model never sees."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def drop_registers(model: Any) -> None:
    """Let a LLaVA model cut its tower's register tokens, if its config leaves no room for them.

    transformers' LLaVA can cut the first token of the tower (`vision_feature_select_strategy:
    default`) or none, so a tower with a class token and registers gives more tokens than there
    are patches. Where `image_seq_length` says that an image is exactly its patches, the registers
    are cut out of the tower's `hidden_states` here and the class token by LLaVA itself. Without
    this such a model fails loudly, for features and image tokens do not match in number.

    Args:
        model: Any image-text-to-text model; only LLaVA models with such a tower are changed.
    """
    config = model.config
    tower: Any = getattr(config, "vision_config", None)
    registers = getattr(tower, "num_register_tokens", 0)
    if config.model_type != "llava" or not registers:
        return
    patches = (tower.image_size // tower.patch_size) ** 2
    if config.image_seq_length != patches or config.vision_feature_select_strategy != "default":
        return

    def cut(_module: nn.Module, _args: Any, output: Any) -> Any:
        if output.hidden_states is not None:
            output.hidden_states = tuple(
                None if state is None else _without(state, registers)
                for state in output.hidden_states
            )
        return output

    model.get_encoder(modality="image").register_forward_hook(cut)


def _without(state: Tensor, registers: int) -> Tensor:
    """Return (images, tokens, dim) without the `registers` tokens behind the first."""
    return torch.cat([state[:, :1], state[:, 1 + registers :]], dim=1)
