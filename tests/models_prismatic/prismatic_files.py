"""A tiny random Prismatic checkpoint in the published layout, with timm weights and a tokenizer.

The real prompt, image size, head counts and file names; small widths, depths and vocabulary.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import PreTrainedTokenizerFast

WIDTH, INNER, DEPTH = 32, 64, 3
LLM_WIDTH, LLM_INNER, LLM_DEPTH = 64, 96, 2
WORDS = (
    "A chat between a curious user and an artificial intelligence assistant . The gives helpful , "
    "detailed polite answers to the user's questions USER: ASSISTANT: Which is nearer , or B ? Say"
)


def tokenizer(folder: Path, *, legacy: bool) -> Path:
    """Write a Llama-like tokenizer: start token first, `▁` for spaces, bytes for the unknown.

    `legacy` puts a space before every stretch of text behind a special token, as Llama's old
    fast tokenizer did; else only before the first.
    """
    vocabulary = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁"]
    merges = []
    for word in dict.fromkeys(WORDS.split()):
        piece = "▁"
        for letter in word:
            vocabulary += [letter, piece + letter]
            merges.append((piece, letter))
            piece += letter
    ids = {token: number for number, token in enumerate(dict.fromkeys(vocabulary))}
    inner = Tokenizer(
        models.BPE(
            vocab=ids,
            merges=list(dict.fromkeys(merges)),
            fuse_unk=True,
            byte_fallback=True,
            unk_token="<unk>",
        )
    )
    if legacy:
        inner.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
    else:
        inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    inner.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B:1", special_tokens=[("<s>", 1)]
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )
    made.save_pretrained(folder)
    return folder


@dataclass(frozen=True, kw_only=True)
class Files:
    """Where a made-up checkpoint lies, and what is in it."""

    source: Path
    encoder: Path
    tokenizer: Path
    model: dict[str, dict[str, Tensor]]
    timm: dict[str, Tensor]

    def store(self) -> None:
        """Write the tensors as they are now."""
        path = self.source / "checkpoints" / "latest-checkpoint.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"model": self.model}, path)
        self.encoder.mkdir(exist_ok=True)
        save_file(self.timm, self.encoder / "model.safetensors")


def _timm(kind: str, drawn: Callable[..., Tensor]) -> dict[str, Tensor]:
    """Return an encoder's tensors under timm's names."""
    patch = 16 if kind == "in1k-vit-l" else 14
    trained = 20 if kind == "dinov2-vit-l" else 224 // patch  # DINOv2 comes at a larger size
    positions = trained**2 + (kind in ("in1k-vit-l", "clip-vit-l"))
    tensors = {
        "pos_embed": drawn(1, positions, WIDTH),
        "patch_embed.proj.weight": drawn(WIDTH, 3, patch, patch),
        "norm.weight": drawn(WIDTH),
        "norm.bias": drawn(WIDTH),
    }
    if kind != "siglip-vit-so400m":
        tensors["cls_token"] = drawn(1, 1, WIDTH)
    if kind == "clip-vit-l":
        tensors |= {"norm_pre.weight": 1 + drawn(WIDTH), "norm_pre.bias": drawn(WIDTH)}
        tensors |= {"head.weight": drawn(8, WIDTH), "head.bias": drawn(8)}
    else:
        tensors["patch_embed.proj.bias"] = drawn(WIDTH)
    if kind == "in1k-vit-l":
        tensors |= {"head.weight": drawn(10, WIDTH), "head.bias": drawn(10)}
    if kind == "dinov2-vit-l":
        tensors["reg_token"] = drawn(1, 4, WIDTH)
    if kind == "siglip-vit-so400m":
        tensors |= {"attn_pool.latent": drawn(1, 1, WIDTH), "attn_pool.q.weight": drawn(WIDTH, 1)}
    for block in range(DEPTH):
        at = f"blocks.{block}"
        for name, shape in {
            "attn.qkv": (3 * WIDTH, WIDTH),
            "attn.proj": (WIDTH, WIDTH),
            "mlp.fc1": (INNER, WIDTH),
            "mlp.fc2": (WIDTH, INNER),
        }.items():
            tensors[f"{at}.{name}.weight"] = drawn(*shape)
            tensors[f"{at}.{name}.bias"] = drawn(shape[0])
        for name in ("norm1", "norm2"):
            tensors |= {f"{at}.{name}.weight": 1 + drawn(WIDTH), f"{at}.{name}.bias": drawn(WIDTH)}
        if kind == "dinov2-vit-l":
            tensors |= {f"{at}.ls{n}.gamma": 0.5 + drawn(WIDTH) for n in (1, 2)}
    return tensors


def _language(rows: int, drawn: Callable[..., Tensor]) -> dict[str, Tensor]:
    """Return a Llama's tensors under the names `LLMBackbone.state_dict()` has."""
    tensors = {
        "llm.model.embed_tokens.weight": drawn(rows, LLM_WIDTH),
        "llm.model.norm.weight": 1 + drawn(LLM_WIDTH),
        "llm.lm_head.weight": drawn(rows, LLM_WIDTH),
    }
    for layer in range(LLM_DEPTH):
        at = f"llm.model.layers.{layer}"
        tensors |= {f"{at}.self_attn.{x}_proj.weight": drawn(LLM_WIDTH, LLM_WIDTH) for x in "qkvo"}
        tensors |= {
            f"{at}.mlp.{x}_proj.weight": drawn(LLM_INNER, LLM_WIDTH) for x in ("gate", "up")
        }
        tensors[f"{at}.mlp.down_proj.weight"] = drawn(LLM_WIDTH, LLM_INNER)
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{at}.{name}.weight"] = 1 + drawn(LLM_WIDTH)
    return tensors


def make(folder: Path, kind: str, *, legacy: bool = False) -> Files:
    """Write a checkpoint whose encoder is `kind`, a `vision_backbone_id`."""
    generator = torch.Generator().manual_seed(7)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) * 0.15

    words = tokenizer(folder / "vicuna", legacy=legacy)
    size = len(PreTrainedTokenizerFast.from_pretrained(words))
    source = folder / "prismatic"
    source.mkdir()
    config = {
        "model_id": f"{kind.split('-', maxsplit=1)[0]}-224px+7b",
        "arch_specifier": "no-align+gelu-mlp",
        "vision_backbone_id": kind,
        "llm_backbone_id": "vicuna-v15-7b",
        "image_resize_strategy": "letterbox",
        "llm_max_length": 2048,
    }
    (source / "config.json").write_text(json.dumps({"model": config, "seed": 7}))
    projector = {
        "projector.0.weight": drawn(LLM_WIDTH, WIDTH),
        "projector.0.bias": drawn(LLM_WIDTH),
        "projector.2.weight": drawn(LLM_WIDTH, LLM_WIDTH),
        "projector.2.bias": drawn(LLM_WIDTH),
    }
    rows = -(-(size + 1) // 64) * 64
    model = {"projector": projector, "llm_backbone": _language(rows, drawn)}
    files = Files(
        source=source,
        encoder=folder / "timm",
        tokenizer=words,
        model=model,
        timm=_timm(kind, drawn),
    )
    files.store()
    return files
