"""Names of the weights that ship: both transformers and vLLM must find them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from vlmbench.models import HfBackend
from vlmbench.organisms._export import export
from vlmbench.organisms._language_stage import build_vlm
from vlmbench.registry import catalogue

MODELS = Path(__file__).parents[2] / "models"
# By shipped model: the digest of its weights as they were published, whatever a file calls them.
DIGESTS = {
    "tiny-clip": "d5c3f0dfb6a1ec76f070bbcbd3fc2e7fbe35d1da8fc7bbe425f18a02eb630952",
    "tiny-siglip": "ae5ef494d954ec12847ca8bb5912fa24f0b04b6890e280900abd6411b6d731c9",
    "tiny-dense": "e04c79d3b8ed00f73999de4739b74f67b1ec488ecfc34c01289638e1ebbf7227",
    "tiny-dense-art-style": "4e2b6d05129b0ff71f32e8cabe9610c87ac319d711131915e0a66a6c7fca04c1",
    "tiny-dense-object-3d": "597115c7927a82147c449b411514293657b9d8121e160271b5803967ff9b8173",
    "tiny-in1k": "e846d26bb02be2022b695bce89b36646cb20e7c87bd83f83f8ecfa298fb14506",
}


def tower_names(folder: Path) -> list[str]:
    with safe_open(folder / "model.safetensors", framework="np") as weights:
        return [name for name in weights.keys() if name.startswith("vision_tower.")]  # noqa: SIM118


@pytest.mark.parametrize("name", DIGESTS)
def test_shipped_weights_are_those_that_were_published(name):
    (model,) = catalogue().select_models(name)
    loaded = HfBackend.load(model.spec, model.folder, torch.device("cpu"), torch.float32)
    assert loaded.weights_digest == DIGESTS[name]
    assert loaded.unused_weights == ()


@pytest.mark.parametrize("name", ["tiny-clip", "tiny-siglip", "tiny-dense"])
def test_shipped_towers_have_the_names_that_vllm_reads(name):
    names = tower_names(MODELS / name)
    assert names
    assert all(each.startswith("vision_tower.vision_model.") for each in names)


@pytest.mark.parametrize("objective", ["clip", "siglip", "supervised", "dense"])
def test_an_export_is_named_like_what_ships(toy, tokenizer, tmp_path, objective):
    recipe = toy(objective)
    export(build_vlm(recipe, len(tokenizer)), tokenizer, recipe, tmp_path)
    nested = [name.startswith("vision_tower.vision_model.") for name in tower_names(tmp_path)]
    assert set(nested) == {objective in ("clip", "siglip", "dense")}
