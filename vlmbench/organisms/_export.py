"""Writes a model as transformers reads it: weights in half precision, processor, chat template."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPImageProcessorPil,
    GenerationConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from vlmbench.organisms._encoders import MEAN, STD, prefix_tokens
from vlmbench.organisms._recipe import Recipe
from vlmbench.organisms._tokenizer import CHAT_TEMPLATE, EOS_ID, IMAGE, PAD_ID

# Towers whose weights stand below a `vision_model` in published checkpoints, and in vLLM.
_NESTED = ("clip_vision_model", "siglip_vision_model")


def build_processor(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> LlavaProcessor:
    """Return the processor: images to the encoder's square, `<image>` to one token per patch."""
    side = {"height": recipe.encoder.image_size, "width": recipe.encoder.image_size}
    prefix = prefix_tokens(recipe.encoder.objective)
    return LlavaProcessor(
        image_processor=CLIPImageProcessorPil(
            size=side,
            crop_size=side,
            do_center_crop=False,
            image_mean=[MEAN] * 3,
            image_std=[STD] * 3,
        ),
        tokenizer=tokenizer,
        patch_size=recipe.encoder.patch_size,
        vision_feature_select_strategy="default" if prefix else "full",
        num_additional_image_tokens=prefix,
        image_token=IMAGE,
        chat_template=CHAT_TEMPLATE,
    )


def export(
    vlm: LlavaForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    recipe: Recipe,
    folder: Path,
) -> None:
    """Write weights, configuration and processor into `folder`.

    Weights are stored as float16 to halve them; the configuration says float32, so that they are
    loaded as float32 unless a dtype is asked for. Towers of CLIP and SigLIP are named as in
    published LLaVA checkpoints, which transformers and vLLM both read; vLLM does not read the names
    that transformers 5 writes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    build_processor(recipe, tokenizer).save_pretrained(folder)
    vlm.generation_config = GenerationConfig(eos_token_id=EOS_ID, pad_token_id=PAD_ID)
    vlm.float().save_pretrained(folder)
    # Read back, so that names and ties are the ones transformers chose.
    saved = load_file(folder / "model.safetensors")
    nested = vlm.config.vision_config.model_type in _NESTED
    state = {
        _nested(name) if nested else name: tensor.to(torch.float16).contiguous()
        for name, tensor in saved.items()
    }
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def _nested(name: str) -> str:
    """Return a weight's name with the tower's own below `vision_model`."""
    tower, inside = "vision_tower.", "vision_tower.vision_model."
    own = name.startswith(tower) and not name.startswith(inside)
    return name.replace(tower, inside, 1) if own else name
