"""Every shipped YAML of an open model loads, says where it is from, and agrees with its family."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlmbench.registry import catalogue, family_of
from vlmbench.spec import ModelSpec, load_file

MODELS = Path(__file__).parents[2] / "models"
OPEN = {
    "llava-1.5-7b": "llava",
    "llava-1.5-13b": "llava",
    "llava-next-mistral-7b": "llava_next",
    "llava-onevision-qwen2-7b": "llava_onevision",
    "qwen2-vl-7b": "qwen2_vl",
    "qwen2.5-vl-7b": "qwen2_5_vl",
    "qwen3-vl-8b": "qwen3_vl",
    "phi-4-multimodal": "phi4_multimodal",
    "internvl3-8b": "internvl",
    "smolvlm2-2.2b": "smolvlm",
    "idefics3-8b": "idefics3",
    "gemma-3-4b": "gemma3",
    "paligemma2-3b-mix-224": "paligemma",
    "mistral-small-3.1-24b": "mistral3",
    "perception-lm-8b": "perception_lm",
    "fastvlm-7b": "fast_vlm",
    "aya-vision-8b": "aya_vision",
    "granite-vision-3.3-2b": "llava_next",
    "glm-4.1v-9b-thinking": "glm4v",
    "llama-4-scout": "llama4",
    "llama-3.2-11b-vision": "mllama",
}
NO_TWIN = ["llama-3.2-11b-vision"]
# Its config names four states where the family's default is one.
OWN_LAYER = ["granite-vision-3.3-2b"]
TWINNED = [name for name in OPEN if name not in NO_TWIN]


def read(path: Path) -> ModelSpec:
    spec = load_file(path).spec
    assert isinstance(spec, ModelSpec)
    return spec


def test_the_list_is_whole() -> None:
    assert {path.stem for path in (MODELS / "open").glob("*.yaml")} == set(OPEN)


@pytest.mark.parametrize("name", OPEN)
def test_an_open_model_agrees_with_its_family(name: str) -> None:
    spec, family = read(MODELS / "open" / f"{name}.yaml"), family_of(OPEN[name])
    assert spec.model == name
    assert spec.source == f"https://huggingface.co/{spec.checkpoint}"
    assert spec.needs.memory_gb
    assert (spec.twin is None) == bool(family.encoder) == (name in NO_TWIN)


@pytest.mark.parametrize("name", [name for name in TWINNED if name not in OWN_LAYER])
def test_its_twin_reads_the_layer_that_the_family_consumes(name: str) -> None:
    assert read(MODELS / "open" / f"{name}.yaml").twin.layer == family_of(OPEN[name]).layer


@pytest.mark.parametrize("name", TWINNED)
def test_an_encoder_that_its_tower_comes_from_has_a_name(name: str) -> None:
    twin = read(MODELS / "open" / f"{name}.yaml").twin
    assert not (twin.of_relation and not twin.of)


@pytest.mark.parametrize("name", ["in1k", "dinov2", "clip", "siglip"])
def test_a_controlled_model_says_how_it_is_made(name: str) -> None:
    path = MODELS / "prismatic" / f"{name}-224px+7b.yaml"
    spec = read(path)
    assert spec.twin is not None
    assert (spec.twin.layer, spec.twin.relation, spec.twin.of_relation) == (
        -2,
        "identical",
        "identical",
    )
    assert f"vlmbench convert prismatic prismatic-vlms/{spec.model}" in path.read_text()


def test_all_are_in_the_catalogue() -> None:
    found = catalogue()
    found.check()
    assert set(OPEN) <= set(found.models)
    assert {"dinov2-224px+7b", "siglip-224px+7b"} <= set(found.models)
