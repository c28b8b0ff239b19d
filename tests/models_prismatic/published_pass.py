"""The published forward pass, line by line, from Prismatic's own tensors and timm's.

Written from the protocol sheet with plain torch; nothing of the converter is used. The language
model is transformers' `LlamaForCausalLM`, as in prismatic-vlms.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

HEADS, LLM_HEADS = 16, 32
MEAN_STD = {
    "in1k-vit-l": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "dinov2-vit-l": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "clip-vit-l": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "siglip-vit-so400m": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}


def squared(image: Image.Image, kind: str) -> Image.Image:
    """A square of 224 pixels of any image.

    LetterboxPad of prismatic-vlms, then Resize(224) and CenterCrop(224) of torchvision, which the
    transforms of all four encoders begin with.
    """
    (w, h), longest = image.size, max(image.size)
    left, top = int((longest - w) / 2), int((longest - h) / 2)
    colour = np.array([int(x * 255) for x in MEAN_STD[kind][0]], dtype=np.uint8)
    canvas = np.empty((h + 2 * top, w + 2 * left, 3), dtype=np.uint8)
    canvas[:] = colour
    canvas[top : top + h, left : left + w] = np.asarray(image)
    height, width = canvas.shape[:2]
    new_w, new_h = (
        (224, int(224 * height / width)) if width <= height else (int(224 * width / height), 224)
    )
    scaled = Image.fromarray(canvas).resize((new_w, new_h), Image.Resampling.BICUBIC)
    x, y = round((new_w - 224) / 2.0), round((new_h - 224) / 2.0)
    return Image.fromarray(np.asarray(scaled)[y : y + 224, x : x + 224])


def pixels(image: Image.Image, kind: str) -> Tensor:
    """(1, 3, 224, 224) of a square of 224 pixels."""
    mean, std = MEAN_STD[kind]
    scaled = torch.from_numpy(np.asarray(image, dtype=np.float32)) / 255
    return ((scaled - torch.tensor(mean)) / torch.tensor(std)).permute(2, 0, 1)[None]


def patch_features(
    t: dict[str, Tensor],
    kind: str,
    image: Tensor,
    *,
    left_out: int = 1,
    activation: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Output of block len - 2, no norm, prefix tokens stripped: (1, patches, dim).

    `left_out` blocks are not run and `activation` replaces the right one: for controls.
    """
    activation = activation or (quick_gelu if kind == "clip-vit-l" else F.gelu)
    eps = 1e-5 if kind == "clip-vit-l" else 1e-6
    weight = t["patch_embed.proj.weight"]
    x = F.conv2d(image, weight, t.get("patch_embed.proj.bias"), stride=weight.shape[-1])
    cells = x.shape[-1]
    x = x.flatten(2).transpose(1, 2)
    positions, prefix = t["pos_embed"], 0
    match kind:
        case "siglip-vit-so400m":
            x = x + positions
        case "in1k-vit-l" | "clip-vit-l":
            x = torch.cat([t["cls_token"], x], dim=1) + positions
            prefix = 1
        case "dinov2-vit-l":  # made at 224 px from weights of another size, no position for CLS
            old = math.isqrt(positions.shape[1])
            grid = positions.reshape(1, old, old, -1).permute(0, 3, 1, 2)
            grid = F.interpolate(grid, size=(cells, cells), mode="bicubic", antialias=True)
            x = x + grid.flatten(2).transpose(1, 2)
            x = torch.cat([t["cls_token"], t["reg_token"], x], dim=1)
            prefix = 5
    if kind == "clip-vit-l":
        x = F.layer_norm(x, x.shape[-1:], t["norm_pre.weight"], t["norm_pre.bias"], eps)
    depth = 1 + max(int(name.split(".")[1]) for name in t if name.startswith("blocks."))
    for number in range(depth - left_out):
        at = f"blocks.{number}."
        block = {k.removeprefix(at): v for k, v in t.items() if k.startswith(at)}
        x = _block(block, x, activation, eps)
    return x[:, prefix:]


def quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


def _block(
    b: dict[str, Tensor], x: Tensor, activation: Callable[[Tensor], Tensor], eps: float
) -> Tensor:
    images, tokens, dim = x.shape
    y = F.layer_norm(x, (dim,), b["norm1.weight"], b["norm1.bias"], eps)
    qkv = F.linear(y, b["attn.qkv.weight"], b["attn.qkv.bias"])
    qkv = qkv.reshape(images, tokens, 3, HEADS, dim // HEADS).permute(2, 0, 3, 1, 4)
    q, k, v = qkv.unbind(0)
    y = (q @ k.transpose(-2, -1) * (dim // HEADS) ** -0.5).softmax(dim=-1) @ v
    y = y.transpose(1, 2).reshape(images, tokens, dim)
    y = F.linear(y, b["attn.proj.weight"], b["attn.proj.bias"])
    x = x + y * b.get("ls1.gamma", torch.ones(dim))
    y = F.layer_norm(x, (dim,), b["norm2.weight"], b["norm2.bias"], eps)
    y = activation(F.linear(y, b["mlp.fc1.weight"], b["mlp.fc1.bias"]))
    y = F.linear(y, b["mlp.fc2.weight"], b["mlp.fc2.bias"])
    return x + y * b.get("ls2.gamma", torch.ones(dim))


def logits(model: dict[str, dict[str, Tensor]], features: Tensor, ids: list[int]) -> Tensor:
    """(start, patches, rest of the text; vocabulary): what the published model says."""
    p = model["projector"]
    y = F.gelu(F.linear(features, p["projector.0.weight"], p["projector.0.bias"]))
    patches = F.linear(y, p["projector.2.weight"], p["projector.2.bias"])
    state = {name.removeprefix("llm."): tensor for name, tensor in model["llm_backbone"].items()}
    rows, width = state["model.embed_tokens.weight"].shape
    llama = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=rows,
            hidden_size=width,
            intermediate_size=len(state["model.layers.0.mlp.gate_proj.weight"]),
            num_hidden_layers=2,
            num_attention_heads=LLM_HEADS,
            rms_norm_eps=1e-5,
            attn_implementation="eager",
        )
    ).eval()
    llama.load_state_dict(state, strict=True)
    text = llama.get_input_embeddings()(torch.tensor([ids]))
    with torch.no_grad():
        joined = torch.cat([text[:, :1], patches, text[:, 1:]], dim=1)
        return llama(inputs_embeds=joined).logits[0]
