"""The encoders: one shape in transformers' own classes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    PreTrainedConfig,
    PreTrainedModel,
    SiglipVisionConfig,
    SiglipVisionModel,
    ViTConfig,
    ViTModel,
)

from vlmbench.organisms._recipe import EncoderRecipe, ObjectiveName

MEAN = STD = 0.5
"""Pixels in [0, 1] are shifted and scaled by these, in every channel."""


def encoder_config(recipe: EncoderRecipe) -> PreTrainedConfig:
    """Return the transformers configuration of a recipe's encoder."""
    shape = {
        "hidden_size": recipe.width,
        "num_hidden_layers": recipe.layers,
        "num_attention_heads": recipe.heads,
        "image_size": recipe.image_size,
        "patch_size": recipe.patch_size,
    }
    match recipe.objective:
        case "clip" | "dense":
            return CLIPVisionConfig(**shape, intermediate_size=recipe.mlp, hidden_act="gelu")
        case "siglip":
            # Without SigLIP's attention pool, which the language model never reads; at this size
            # it let all image vectors fall onto one line, that of brightness.
            return SiglipVisionConfig(**shape, intermediate_size=recipe.mlp, vision_use_head=False)
        case "supervised":
            return ViTConfig(**shape, intermediate_size=recipe.mlp)


def build_encoder(recipe: EncoderRecipe) -> PreTrainedModel:
    """Return an encoder with fresh weights from torch's global generator.

    Attention is written out: at 65 tokens that trains almost twice as fast on a CPU as the
    fused kernel, whose backward pass took 40% of a step.
    """
    config = encoder_config(recipe)
    config._attn_implementation = "eager"
    match recipe.objective:
        case "clip" | "dense":
            return CLIPVisionModel(config)
        case "siglip":
            return SiglipVisionModel(config)
        case "supervised":
            return ViTModel(config, add_pooling_layer=False)


def prefix_tokens(objective: ObjectiveName) -> int:
    """Return how many tokens come before the patch tokens: SigLIP has no CLS token."""
    return 0 if objective == "siglip" else 1


def pooled(encoder: PreTrainedModel, pixels: Tensor) -> Tensor:
    """Return (B, width) the vector an objective is applied to: CLS, or the mean if there is none.

    Args:
        encoder: One of them.
        pixels: (B, 3, size, size) normalised.
    """
    output = encoder(pixel_values=pixels)
    tokens: Tensor = output.last_hidden_state
    if isinstance(encoder, SiglipVisionModel):
        return tokens.mean(dim=1)
    vector: Tensor | None = output.pooler_output
    return tokens[:, 0] if vector is None else vector


def normalise(pixels: NDArray[np.uint8]) -> Tensor:
    """Return (B, 3, h, w) float32 of (B, h, w, 3) uint8 images."""
    scaled = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().float()
    return scaled.mul_(1 / (255 * STD)).sub_(MEAN / STD)


@torch.no_grad()
def patch_tokens(
    encoder: PreTrainedModel, images: NDArray[np.uint8], layer: int, prefix: int
) -> Iterator[tuple[NDArray[np.float16], NDArray[np.float32]]]:
    """Yield patch tokens (b, patches, width) and pooled vectors (b, width), a batch at a time.

    Args:
        encoder: Any of them, in evaluation mode.
        images: (n, h, w, 3) uint8.
        layer: Index into the hidden states.
        prefix: Tokens before the patches; the first of them, if any, is the pooled vector, else
            the mean of the patch tokens is.
    """
    for start in range(0, len(images), 256):
        output = encoder(
            pixel_values=normalise(images[start : start + 256]), output_hidden_states=True
        )
        tokens = output.hidden_states[layer].float()
        patches = tokens[:, prefix:]
        vector = tokens[:, 0] if prefix else patches.mean(dim=1)
        yield patches.half().numpy(), vector.numpy()
