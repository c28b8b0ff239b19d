"""Specs derived from config files as they are published; keys copied, weights none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from home import loaded_by, vlmbench

from vlmbench.registry import catalogue, derive, derived_yaml, family_of, is_checkpoint
from vlmbench.spec import load_file
from vlmbench.types import VlmbenchError

SIGLIP = {"model_type": "siglip_vision_model", "patch_size": 14, "num_hidden_layers": 27}
CLIP = {"model_type": "clip_vision_model", "image_size": 336, "patch_size": 14}
QWEN = {"depth": 32, "hidden_size": 1280, "in_chans": 3, "patch_size": 14,
        "spatial_merge_size": 2, "temporal_patch_size": 2}  # fmt: skip
QWEN_PIXELS = {"image_processor_type": "Qwen2VLImageProcessor", "max_pixels": 12845056,
               "min_pixels": 3136, "patch_size": 14, "merge_size": 2}  # fmt: skip

# name, config.json, preprocessor_config.json -> layer, pooled, letterbox
PUBLISHED: list[tuple[str, dict[str, Any], dict[str, Any], Any, str, int]] = [
    ("llava-1.5-7b-hf",
     {"model_type": "llava", "image_token_index": 32000, "vision_config": CLIP,
      "vision_feature_layer": -2, "vision_feature_select_strategy": "default"},
     {}, -2, "cls", 336),
    ("llava without the keys", {"model_type": "llava", "vision_config": CLIP}, {}, -2, "cls", 336),
    ("granite-vision-3.2-2b",
     {"model_type": "llava_next", "vision_feature_layer": [-24, -20, -12, -1],
      "vision_feature_select_strategy": "full", "vision_config": {**SIGLIP, "image_size": 384}},
     {}, (-24, -20, -12, -1), "mean", 384),
    ("llava-onevision-qwen2-7b-ov-hf",
     {"model_type": "llava_onevision", "vision_feature_layer": -1,
      "vision_feature_select_strategy": "full", "vision_config": {**SIGLIP, "image_size": 384}},
     {}, -1, "mean", 384),
    ("Qwen2-VL-7B-Instruct", {"model_type": "qwen2_vl", "vision_config": QWEN}, QWEN_PIXELS,
     -1, "mean", 448),
    ("Qwen2.5-VL-7B-Instruct", {"model_type": "qwen2_5_vl", "vision_config": QWEN}, QWEN_PIXELS,
     -1, "mean", 448),
    ("Qwen3-VL-8B-Instruct",
     {"model_type": "qwen3_vl", "vision_config": {**QWEN, "patch_size": 16}},
     {"size": {"longest_edge": 16777216, "shortest_edge": 65536}}, -1, "mean", 448),
    ("InternVL3-8B-hf",
     {"model_type": "internvl", "vision_feature_layer": -1, "downsample_ratio": 0.5,
      "vision_feature_select_strategy": "default",
      "vision_config": {"model_type": "internvl_vision", "image_size": [448, 448],
                        "patch_size": [14, 14]}},
     {}, "final_norm", "cls", 448),
    ("gemma-3-4b-it", {"model_type": "gemma3", "vision_config": {**SIGLIP, "image_size": 896}},
     {}, "final_norm", "mean", 896),
    ("paligemma-3b-mix-224", {"model_type": "paligemma", "vision_config": SIGLIP},
     {"size": {"height": 224, "width": 224}}, "final_norm", "mean", 224),
    ("Mistral-Small-3.1-24B",
     {"model_type": "mistral3", "vision_feature_layer": -1, "spatial_merge_size": 2,
      "vision_config": {"model_type": "pixtral", "image_size": 1540, "patch_size": 14}},
     {"size": {"longest_edge": 1540}}, -1, "mean", 448),
    ("GLM-4.1V-9B", {"model_type": "glm4v", "vision_config": {**QWEN, "image_size": 336}},
     {"size": {"longest_edge": 9633792, "shortest_edge": 12544}, "temporal_patch_size": 2},
     "final_norm", "mean", 448),
    ("a family of next year",
     {"model_type": "zebra_vl", "vision_config": {**SIGLIP, "image_size": 224}},
     {}, "final_norm", "mean", 224),
]  # fmt: skip


def write(folder: Path, config: dict[str, Any], pixels: dict[str, Any] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    if pixels:
        (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
    return folder


@pytest.mark.parametrize(
    ("config", "pixels", "layer", "pooled", "side"),
    [row[1:] for row in PUBLISHED],
    ids=[row[0] for row in PUBLISHED],
)
def test_published_configs_give_the_consumed_layer(tmp_path, config, pixels, layer, pooled, side):
    twin = derive(str(write(tmp_path / "model", config, pixels))).model.spec.twin
    assert (twin.layer, twin.pooled, twin.letterbox, twin.relation) == (
        layer, pooled, side, "identical"
    )  # fmt: skip


def test_every_value_says_where_it_is_from(tmp_path):
    _, config, *_ = PUBLISHED[0]
    folder = write(tmp_path / "llava-1.5-7b-hf", config)
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    derived = derive(str(folder))
    origins = {fact.key: fact.origin for fact in derived.facts}
    assert origins["twin.layer"] == "config.json: vision_feature_layer"
    assert origins["prompt.chat_template"] == "chat_template.json: chat_template"
    assert origins["image token"] == "config.json: image_token_index"
    assert derived.model.spec.prompt.chat_template == "auto"
    assert derived.model.spec.model == "llava-1.5-7b-hf"
    assert (derived.model.folder / derived.model.spec.checkpoint).resolve() == folder.resolve()


def test_without_a_template_the_prompt_is_bare(tmp_path):
    _, config, *_ = PUBLISHED[0]
    assert derive(str(write(tmp_path, config))).model.spec.prompt.chat_template == "none"


@pytest.mark.parametrize(
    ("kind", "said"), [("llava", "one token per patch"), ("glm46v", "not known")]
)
def test_merging_is_claimed_only_of_families_that_were_looked_at(tmp_path, kind, said):
    derived = derive(str(write(tmp_path, {"model_type": kind, "vision_config": CLIP})))
    assert [fact.value for fact in derived.facts if fact.key == "merging"] == [said]


@pytest.mark.parametrize("kind", ["mllama", "granite4_vision", "lfm2_vl"])
def test_where_the_encoder_readout_does_not_apply_there_is_no_twin(tmp_path, kind):
    derived = derive(str(write(tmp_path, {"model_type": kind, "vision_config": SIGLIP})))
    assert derived.model.spec.twin is None
    assert any(family_of(kind).encoder in fact.origin for fact in derived.facts)


def test_what_cannot_be_derived_names_the_key_to_write(tmp_path):
    derived = derive(str(write(tmp_path, {"model_type": "gpt2"})))
    assert derived.model.spec.twin is None
    assert any("write `twin`" in fact.origin for fact in derived.facts)
    sizeless = derive(str(write(tmp_path, {"model_type": "zebra_vl", "vision_config": SIGLIP})))
    (fact,) = (fact for fact in sizeless.facts if fact.key == "twin.letterbox")
    assert fact.value is None
    assert "write how many pixels" in fact.origin


def test_broken_json_is_reported_with_its_line(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llava",\n  oops}')
    with pytest.raises(VlmbenchError) as caught:
        derive(str(tmp_path))
    assert caught.value.problems[0].line == 2


def test_written_yaml_loads_and_finds_its_checkpoint(tmp_path):
    _, config, *_ = PUBLISHED[2]
    folder = write(tmp_path / "models" / "granite", config)
    text = derived_yaml(str(folder), tmp_path / "yaml")
    (tmp_path / "yaml").mkdir()
    (tmp_path / "yaml" / "granite.yaml").write_text(text)
    located = load_file(tmp_path / "yaml" / "granite.yaml")
    assert located.spec.twin.layer == (-24, -20, -12, -1)
    assert (located.folder / located.spec.checkpoint).resolve() == folder.resolve()


def test_selectors_take_folders_beside_names(tmp_path):
    _, config, *_ = PUBLISHED[0]
    folder = write(tmp_path / "mine", config)
    found = catalogue()
    assert [model.spec.model for model in found.select_models(str(folder))] == ["mine"]
    with pytest.raises(VlmbenchError, match="there is no model `nothing-like-it`"):
        found.select_models("nothing-like-it")


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """A cache in the hub's own layout with one checkpoint of one commit."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--llava-hf--llava-1.5-7b-hf"
    commit = "0123456789abcdef0123456789abcdef01234567"
    write(repository / "snapshots" / commit, PUBLISHED[0][1])
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    return tmp_path


def test_a_hub_id_is_read_from_the_cache_and_pinned(hub):
    (model,) = catalogue().select_models("llava-hf/llava-1.5-7b-hf", derived=True)
    assert model.spec.checkpoint == model.spec.model == "llava-hf/llava-1.5-7b-hf"
    assert model.spec.revision == "0123456789abcdef0123456789abcdef01234567"
    assert model.spec.twin.layer == -2


def test_an_absent_hub_id_gives_the_command(hub):
    with pytest.raises(VlmbenchError, match=r"hf download Qwen/Qwen2\.5-VL-7B-Instruct"):
        catalogue().select_models("Qwen/Qwen2.5-VL-7B-Instruct", derived=True)


def test_what_is_no_checkpoint(tmp_path):
    assert is_checkpoint("Qwen/Qwen2.5-VL-7B-Instruct")
    assert is_checkpoint(str(write(tmp_path / "x", {})))
    assert not is_checkpoint(str(tmp_path))
    assert not is_checkpoint("tiny-clip")
    assert not is_checkpoint("a/b/c")
    assert not is_checkpoint("tiny-*/x")


def test_deriving_needs_no_torch(tmp_path):
    folder = write(tmp_path / "m", PUBLISHED[0][1])
    assert loaded_by(f"from vlmbench.registry import derive; derive({str(folder)!r})") == set()


SHIPPED = {
    model.spec.checkpoint: name
    for name, model in catalogue().models.items()
    if model.spec.checkpoint and "/" in model.spec.checkpoint[2:]
}


@pytest.mark.parametrize("checkpoint", SHIPPED)
def test_a_hub_id_that_a_shipped_yaml_names_is_that_model_without_network(tmp_path, checkpoint):
    (model,) = catalogue().select_models(checkpoint)
    assert model.spec.model == SHIPPED[checkpoint]
    assert model.path.suffix == ".yaml"


def test_a_folder_that_a_shipped_yaml_names_is_that_model():
    (shipped,) = catalogue().select_models("tiny-clip")
    folder = str(shipped.folder / "tiny-clip")
    assert catalogue().select_models(folder) == [shipped]
    (derived,) = catalogue().select_models(folder, derived=True)
    assert derived.path.name == "config.json"


def test_a_checkpoint_of_two_models_is_not_guessed(tmp_path):
    for name in ("one", "two"):
        text = f"model: {name}\ncheckpoint: owner/both\n"
        (tmp_path / f"{name}.yaml").write_text(text)
    with pytest.raises(VlmbenchError, match="several models: `one`, `two`"):
        catalogue([tmp_path]).select_models("owner/both")


CROPS = {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 336},
         "crop_size": {"height": 336, "width": 336}}  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "letterbox"),
    [
        (CROPS, 336),
        (CROPS | {"do_center_crop": True, "image_mean": [0.5, 0.5, 0.5]}, 336),
        (CROPS | {"do_center_crop": False}, None),
        (CROPS | {"image_processor_type": "LlavaImageProcessor", "do_pad": True}, None),
        (CROPS | {"image_processor_type": "LlavaImageProcessorFast"}, 336),
        (CROPS | {"image_processor_type": "LlavaNextImageProcessor"}, None),  # cuts its tiles
        (CROPS | {"image_processor_type": "SiglipImageProcessor"}, None),
    ],
)
def test_a_processor_that_cuts_off_edges_is_given_padded_images(tmp_path, settings, letterbox):
    image = derive(str(write(tmp_path / "m", PUBLISHED[0][1], settings))).model.spec.image
    assert image.letterbox == letterbox
    fill = (127, 127, 127) if "image_mean" in settings else (122, 116, 104)
    assert image.fill == (fill if letterbox else (0, 0, 0))


def test_a_processor_that_cuts_off_edges_of_squares_too_is_refused(tmp_path):
    folder = write(tmp_path / "m", PUBLISHED[0][1], CROPS | {"size": {"shortest_edge": 384}})
    with pytest.raises(VlmbenchError, match="cuts out the inner 336"):
        derive(str(folder))


def test_show_says_which_pixels_each_side_gets(tmp_path):
    clip = vlmbench("show", "tiny-clip").words
    assert clip.count("96 x 96, padded with [128, 128, 128], bicubic") == 2
    given = vlmbench("show", "llava-hf/llava-1.5-7b-hf").words
    assert "is the checkpoint of model `llava-1.5-7b`" in given
    assert "side by side, then 336 x 336, padded with [122, 116, 104]" in given
    folder = write(tmp_path / "mine", PUBLISHED[0][1], CROPS)
    assert "pixels of the model: several" not in vlmbench("show", folder).words
    assert "336 x 336, padded with [122, 116, 104]" in vlmbench("show", folder).words
