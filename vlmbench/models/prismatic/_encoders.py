"""The controlled four encoders: how timm names their tensors, and how transformers does.

timm's numbers (activation, epsilon, heads, mean) are those of its model definitions at 0.9.10, the
release prismatic-vlms pins (timm/models/vision_transformer.py); which encoder each id means is in
prismatic/models/backbones/vision of https://github.com/TRI-ML/prismatic-vlms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

SIDE = 224
"""Pixels a side; every encoder of the four is run at this size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Where one tensor of the tower comes from.

    Attributes:
        source: timm's name, `#` standing for the block's number; empty for a tensor that timm
            does not have and that no output depends on, which is filled with zeros.
        change: What is done to it.
    """

    source: str
    change: Callable[[Tensor], Tensor] = torch.Tensor.contiguous


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """One encoder and the transformers tower that computes the same function.

    Attributes:
        timm: timm's name of the model, with its weights' tag.
        hub: Hub repository that timm takes the weights from.
        model_type: transformers' name of the tower.
        settings: Keys of the tower's config that no tensor's shape tells.
        class_token: Whether a class token precedes the patches.
        mean: Of the image transform, per channel, in [0, 1].
        std: As `mean`.
        parts: By the tower's own tensor name, `#` standing for the block's number.
        unused: Patterns of timm's tensor names that the tower has no place for, and why.
    """

    timm: str
    hub: str
    model_type: str
    settings: Mapping[str, Any]
    class_token: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    parts: Mapping[str, Part]
    unused: Mapping[str, str]

    @property
    def fill(self) -> tuple[int, int, int]:
        """Colour of the letterbox's padding: the mean, as prismatic-vlms rounds it."""
        red, green, blue = (int(value * 255) for value in self.mean)
        return red, green, blue

    def config(self, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return the tower's config, sizes read off timm's tensors."""
        width, _, _, patch = tensors["patch_embed.proj.weight"].shape
        depth = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("blocks."))
        inner = tensors["blocks.0.mlp.fc1.weight"].shape[0]
        sizes: dict[str, Any] = {"intermediate_size": inner}
        if self.model_type == "dinov2_with_registers":
            sizes = {"mlp_ratio": inner // width, "num_register_tokens": 4}
        return {
            "model_type": self.model_type,
            "hidden_size": width,
            "num_hidden_layers": depth,
            "num_attention_heads": 16,
            "image_size": SIDE,
            "patch_size": patch,
            **sizes,
            **self.settings,
        }


def _third(number: int, fused: Tensor) -> Tensor:
    """Return query (0), key (1) or value (2) of timm's fused projection."""
    return fused.chunk(3)[number].contiguous()


def _on_grid(positions: Tensor, *, patch: int, prefix: int) -> Tensor:
    """Resample (1, prefix + n * n, dim) position embeddings to the grid of `SIDE` pixels.

    This is what timm does when a model is made at another size than its weights were trained
    at (timm/layers/pos_embed.py, resample_abs_pos_embed): bicubic, antialiased, in float32.
    """
    cells = SIDE // patch
    trained = math.isqrt(positions.shape[1] - prefix)
    if trained == cells:
        return positions
    first, grid = positions[:, :prefix], positions[:, prefix:].float()
    grid = grid.reshape(1, trained, trained, -1).permute(0, 3, 1, 2)
    grid = torch.nn.functional.interpolate(
        grid, size=(cells, cells), mode="bicubic", antialias=True
    )
    grid = grid.permute(0, 2, 3, 1).reshape(1, cells * cells, -1)
    return torch.cat([first, grid.to(positions.dtype)], dim=1)


def _with_class(positions: Tensor, *, patch: int) -> Tensor:
    """Return positions with a zero one for the class token, into which timm folded its own."""
    grid = _on_grid(positions, patch=patch, prefix=0)
    return torch.cat([torch.zeros_like(grid[:, :1]), grid], dim=1)


def _flat_positions(positions: Tensor, *, patch: int, prefix: int) -> Tensor:
    return _on_grid(positions, patch=patch, prefix=prefix)[0].contiguous()


def _pairs(target: str, source: str) -> dict[str, Part]:
    """Return a weight and a bias."""
    return {f"{target}.{kind}": Part(source=f"{source}.{kind}") for kind in ("weight", "bias")}


def _block(at: str, *, norms: tuple[str, str], attention: str, out: str) -> dict[str, Part]:
    """Return one transformer block's tensors, `at` being where the tower keeps it."""
    parts = {
        **_pairs(f"{at}.{norms[0]}", "blocks.#.norm1"),
        **_pairs(f"{at}.{norms[1]}", "blocks.#.norm2"),
        **_pairs(f"{at}.{attention}.{out}", "blocks.#.attn.proj"),
        **_pairs(f"{at}.mlp.fc1", "blocks.#.mlp.fc1"),
        **_pairs(f"{at}.mlp.fc2", "blocks.#.mlp.fc2"),
    }
    for number, letter in enumerate("qkv"):
        for kind in ("weight", "bias"):
            name = f"{at}.{attention}.{letter}_proj.{kind}"
            parts[name] = Part(source=f"blocks.#.attn.qkv.{kind}", change=partial(_third, number))
    return parts


_HEAD = {r"(head|fc_norm)\..*": "classification head or projection, after the consumed state"}
_HALF = (0.5, 0.5, 0.5)

IN1K = Encoder(
    timm="vit_large_patch16_224.augreg_in21k_ft_in1k",
    hub="timm/vit_large_patch16_224.augreg_in21k_ft_in1k",
    model_type="vit",
    settings={"hidden_act": "gelu", "layer_norm_eps": 1e-6},
    class_token=True,
    mean=_HALF,
    std=_HALF,
    parts={
        "embeddings.cls_token": Part(source="cls_token"),
        "embeddings.position_embeddings": Part(
            source="pos_embed", change=partial(_on_grid, patch=16, prefix=1)
        ),
        **_pairs("embeddings.patch_embeddings.projection", "patch_embed.proj"),
        **_block(
            "layers.#",
            norms=("layernorm_before", "layernorm_after"),
            attention="attention",
            out="o_proj",
        ),
        **_pairs("layernorm", "norm"),
        "pooler.dense.weight": Part(source=""),
        "pooler.dense.bias": Part(source=""),
    },
    unused=_HEAD,
)

DINOV2 = Encoder(
    timm="vit_large_patch14_reg4_dinov2.lvd142m",
    hub="timm/vit_large_patch14_reg4_dinov2.lvd142m",
    model_type="dinov2_with_registers",
    settings={"hidden_act": "gelu", "layer_norm_eps": 1e-6},
    class_token=True,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    parts={
        "embeddings.cls_token": Part(source="cls_token"),
        "embeddings.register_tokens": Part(source="reg_token"),
        "embeddings.mask_token": Part(source=""),
        "embeddings.position_embeddings": Part(
            source="pos_embed", change=partial(_with_class, patch=14)
        ),
        **_pairs("embeddings.patch_embeddings.projection", "patch_embed.proj"),
        **_block("encoder.layer.#", norms=("norm1", "norm2"), attention="attention", out="o_proj"),
        "encoder.layer.#.layer_scale1.lambda1": Part(source="blocks.#.ls1.gamma"),
        "encoder.layer.#.layer_scale2.lambda1": Part(source="blocks.#.ls2.gamma"),
        **_pairs("layernorm", "norm"),
    },
    unused=_HEAD,
)

_CLIP_BLOCK = _block(
    "encoder.layers.#",
    norms=("layer_norm1", "layer_norm2"),
    attention="self_attn",
    out="out_proj",
)

CLIP = Encoder(
    timm="vit_large_patch14_clip_224.openai",
    hub="timm/vit_large_patch14_clip_224.openai",
    model_type="clip_vision_model",
    # prismatic-vlms overrides timm's activation with the one OpenAI trained with.
    settings={"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5},
    class_token=True,
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
    parts={
        "embeddings.class_embedding": Part(source="cls_token", change=torch.Tensor.flatten),
        "embeddings.position_embedding.weight": Part(
            source="pos_embed", change=partial(_flat_positions, patch=14, prefix=1)
        ),
        "embeddings.patch_embedding.weight": Part(source="patch_embed.proj.weight"),
        **_pairs("pre_layrnorm", "norm_pre"),
        **_CLIP_BLOCK,
        **_pairs("post_layernorm", "norm"),
    },
    unused=_HEAD,
)

SIGLIP = Encoder(
    timm="vit_so400m_patch14_siglip_224.webli",
    hub="timm/ViT-SO400M-14-SigLIP",
    model_type="siglip_vision_model",
    # timm runs it with the exact GELU, transformers' own SigLIP with the tanh approximation.
    settings={"hidden_act": "gelu", "layer_norm_eps": 1e-6, "vision_use_head": False},
    class_token=False,
    mean=_HALF,
    std=_HALF,
    parts={
        "embeddings.position_embedding.weight": Part(
            source="pos_embed", change=partial(_flat_positions, patch=14, prefix=0)
        ),
        **_pairs("embeddings.patch_embedding", "patch_embed.proj"),
        **_CLIP_BLOCK,
        **_pairs("post_layernorm", "norm"),
    },
    unused={r"attn_pool\..*": "attention pooling, after the consumed state", **_HEAD},
)

ENCODERS: Mapping[str, Encoder] = {
    "in1k-vit-l": IN1K,
    "dinov2-vit-l": DINOV2,
    "clip-vit-l": CLIP,
    "siglip-vit-so400m": SIGLIP,
}
"""By the `vision_backbone_id` of a Prismatic config."""
