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
    "tiny-dense": "cb668ec6a418995ed4057727b4cd9e1a53c38433d080c4f9fb8eb0e0ea109eea",
    "tiny-dense-art-style": "b902e8282a136c87a6d27654d11a139163424e69b782beb53751b5594f0819d1",
    "tiny-dense-object-3d": "06f10b2eac6fd02a2b4a5557df8560a00047af5a143b11fd250177bb5715ddff",
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
