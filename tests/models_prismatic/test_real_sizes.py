"""The mapping holds at the published sizes too: shapes only, no storage."""

from __future__ import annotations

from types import SimpleNamespace

import prismatic_files
import pytest
import torch
from torch import Tensor
from transformers import LlavaConfig

from vlmbench.models.prismatic._convert import _config, _empty
from vlmbench.models.prismatic._encoders import ENCODERS
from vlmbench.models.prismatic._ledger import account
from vlmbench.models.prismatic._read import Source

# Llama 2 7B's published count, and the 64 rows that <PAD> adds at either end.
LLAMA = 6_738_415_616 + 2 * 64 * 4096
# ViT-L/16 at 224 px without classification head.
VIT_L16 = 303_301_632


def shape_only(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta")


SIZES = {
    # width, inner width and depth
    "in1k-vit-l": (1024, 4096, 24),
    "dinov2-vit-l": (1024, 4096, 24),
    "clip-vit-l": (1024, 4096, 24),
    "siglip-vit-so400m": (1152, 4304, 27),
}


def filled(monkeypatch: pytest.MonkeyPatch, kind: str) -> tuple[LlavaConfig, dict[str, int]]:
    """Return a converted model's config, and how many numbers each of its tensors holds."""
    width, inner, depth = SIZES[kind]
    sizes = {"WIDTH": width, "INNER": inner, "DEPTH": depth}
    llama = {"LLM_WIDTH": 4096, "LLM_INNER": 11008, "LLM_DEPTH": 32}
    for name, value in {**sizes, **llama}.items():
        monkeypatch.setattr(prismatic_files, name, value)
    language = prismatic_files._language(32064, shape_only)
    checkpoint = {f"llm_backbone.{name}": tensor for name, tensor in language.items()}
    for layer, into in ((0, width), (2, 4096)):
        checkpoint[f"projector.projector.{layer}.weight"] = shape_only(4096, into)
        checkpoint[f"projector.projector.{layer}.bias"] = shape_only(4096)
    tower = prismatic_files._timm(kind, shape_only)
    read = Source(
        model_id=kind,
        encoder=ENCODERS[kind],
        heads=32,
        max_length=2048,
        tensors=checkpoint,
        unused={},
    )
    words = SimpleNamespace(
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=32000,
        convert_tokens_to_ids={"<image>": 32001}.__getitem__,
    )
    config = _config(read, tower, words)
    model = _empty(config)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    ledger = account(shapes, checkpoint, tower, ENCODERS[kind])
    assert set(ledger.state) == set(shapes)
    return config, {name: tensor.numel() for name, tensor in ledger.state.items()}


@pytest.mark.parametrize(("kind", "patches"), list(zip(SIZES, (196, 256, 256, 256), strict=True)))
def test_published_sizes_fill_every_tensor(
    monkeypatch: pytest.MonkeyPatch, kind: str, patches: int
) -> None:
    config, counts = filled(monkeypatch, kind)
    assert config.image_seq_length == patches
    assert config.text_config.head_dim == 128
    parts = ("model.language_model.", "lm_head.")
    assert sum(n for name, n in counts.items() if name.startswith(parts)) == LLAMA


def test_the_tower_has_the_published_number_of_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    _, counts = filled(monkeypatch, "in1k-vit-l")
    inside = {k: n for k, n in counts.items() if ".vision_tower." in k and ".pooler." not in k}
    assert sum(inside.values()) == VIT_L16
