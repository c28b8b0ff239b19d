"""Random tiny checkpoints of every family, written by transformers' own classes."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tiny_others as others
import tiny_tiled as tiled
import torch

from vlmbench.models import HfBackend
from vlmbench.registry import derive


@dataclass(frozen=True, kw_only=True)
class Tiny:
    """One family's tiny checkpoint and where to hook it.

    Attributes:
        name: For test ids.
        write: Writes the checkpoint.
        projector: Module that is given what the tower hands over; empty where no one is.
        channels_first: That module is given (images, dim, h, w).
        language: Module that is given the input embeddings.
        enlarged: The processor scales an image up by this before it makes the whole view of it.
        tolerance: Largest difference in a feature.
        torchvision: Whether its image processor or tower exists only with torchvision.
    """

    name: str
    write: Callable[[Path], None]
    projector: str = "model.multi_modal_projector"
    channels_first: bool = False
    enlarged: int = 1
    tolerance: float = 1e-4
    language: str = "model.language_model"
    torchvision: bool = False


FAMILIES: tuple[Tiny, ...] = (
    Tiny(name="llava", write=tiled.llava),
    Tiny(name="llava_next", write=tiled.llava_next),
    Tiny(name="granite_vision", write=tiled.granite_vision),
    Tiny(
        name="granite4_vision", write=tiled.granite4_vision, projector="",
        language="model.language_model.layers.0",
    ),
    Tiny(name="llava_onevision", write=tiled.llava_onevision),
    Tiny(name="qwen2_vl", write=others.qwen2_vl, projector="model.visual.merger"),
    Tiny(name="qwen2_5_vl", write=others.qwen2_5_vl, projector="model.visual.merger"),
    Tiny(name="qwen3_vl", write=others.qwen3_vl, projector="model.visual.merger"),
    Tiny(
        name="glm4v", write=others.glm4v, projector="model.visual.downsample", channels_first=True
    ),
    Tiny(name="internvl", write=tiled.internvl),
    Tiny(
        name="idefics3", write=tiled.idefics3, projector="model.connector",
        language="model.text_model",
        enlarged=2,
    ),
    Tiny(
        name="smolvlm", write=tiled.smolvlm, projector="model.connector",
        language="model.text_model",
        enlarged=2, torchvision=True,
    ),
    Tiny(name="gemma3", write=others.gemma3),
    Tiny(name="paligemma", write=others.paligemma),
    Tiny(name="mistral3", write=others.mistral3, torchvision=True),
    Tiny(name="aya_vision", write=tiled.aya_vision),
    Tiny(name="mllama", write=others.mllama, projector=""),
    Tiny(name="deepseek_vl", write=tiled.deepseek_vl, projector="model.aligner"),
    Tiny(name="cohere2_vision", write=tiled.cohere2_vision, torchvision=True),
    Tiny(
        name="llama4", write=others.llama4, projector="vision_model.vision_adapter",
        language="language_model.model", torchvision=True,
        tolerance=0.1,  # its processor rounds pixels to bfloat16
    ),
    Tiny(
        name="phi4_multimodal", write=others.phi4_multimodal, channels_first=True,
        language="model.layers.0",
        projector="model.embed_tokens_extend.image_embed.image_token_compression",
        torchvision=True,
    ),
    Tiny(name="perception_lm", write=tiled.perception_lm, torchvision=True),
    Tiny(name="fast_vlm", write=tiled.fast_vlm, torchvision=True),
    Tiny(name="lfm2_vl", write=others.lfm2_vl, projector="", torchvision=True),
)  # fmt: skip


def named(name: str) -> Tiny:
    """Return a family's tiny checkpoint by its name."""
    return next(tiny for tiny in FAMILIES if tiny.name == name)


@functools.cache
def folder_of(name: str) -> Path:
    """Return the folder of a family's checkpoint, written when first asked for."""
    folder = Path(tempfile.mkdtemp(dir=os.environ["VLMBENCH_CACHE"])) / name
    named(name).write(folder)
    return folder


@functools.cache
def backend_of(name: str, dtype: torch.dtype = torch.float32) -> HfBackend:
    """Derive a family's spec from its checkpoint and load it, once."""
    model = derive(str(folder_of(name))).model
    return HfBackend.load(model.spec, model.folder, torch.device("cpu"), dtype)
