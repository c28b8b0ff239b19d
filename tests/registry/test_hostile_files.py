"""Config files of strangers: they give values of keys that are ours, or a clean error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from home import vlmbench

from vlmbench.registry import context_length, derive, derived_yaml
from vlmbench.spec import load_file
from vlmbench.types import VlmbenchError

CLIP = {"model_type": "clip_vision_model", "image_size": 336, "patch_size": 14}
GOOD = {"model_type": "llava", "vision_config": CLIP, "image_token_index": 32000}
CROPS = {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 336},
         "crop_size": {"height": 336, "width": 336}}  # fmt: skip
INJECTED = (
    "x\nbackend: openai\nserver: {base_url: 'http://127.0.0.1:9/v1', api_key_env: SECRET_TOKEN}\n#"
)
NAN = float("nan")
ENDINGS = ("\n", "\r", "\r\n", "\x85", "\u2028", "\u2029", "\x0b", "\x0c", "\x1c", "\ufeff\n")


def write(folder: Path, **files: object) -> Path:
    """Write a checkpoint's JSON files; text is written as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / f"{name}.json").write_text(text)
    return folder


def saying(text: str) -> dict[str, dict[str, Any]]:
    """Return configs that say a text wherever text may stand."""
    return {
        "architecture": {"config": GOOD | {"vision_config": CLIP | {"architecture": text}}},
        "tower": {"config": GOOD | {"vision_config": CLIP | {"model_type": text}}},
        "model_type": {"config": GOOD | {"model_type": text}},
        "processor": {"config": GOOD, "preprocessor_config": {"image_processor_type": text}},
        "mean": {"config": GOOD, "preprocessor_config": {"image_processor_type": "X",
                                                         "image_mean": text}},
        "strategy": {"config": GOOD | {"vision_feature_select_strategy": text}},
    }  # fmt: skip


@pytest.mark.parametrize("where", saying(""))
@pytest.mark.parametrize("ending", ENDINGS, ids=ascii)
def test_a_checkpoint_does_not_write_keys_of_the_spec(tmp_path, where, ending):
    folder = write(tmp_path / "m", **saying(INJECTED.replace("\n", ending))[where])
    derived = derive(str(folder)).model
    assert derived.spec.backend == "hf"
    assert derived.spec.server is None
    (tmp_path / "m.yaml").write_text(derived_yaml(str(folder), tmp_path), "utf-8")
    written = load_file(tmp_path / "m.yaml").spec
    assert written.model_copy(update={"checkpoint": "."}) == derived.spec


def test_what_is_shown_of_a_checkpoint_neither_acts_nor_hides(tmp_path):
    said = "\x1b[2J\u202eabc\u200b" + "long " * 1000
    folder = write(tmp_path / "m", **saying(said)["architecture"])
    shown = vlmbench("show", folder).out + derived_yaml(str(folder), tmp_path)
    assert not {"\x1b", "\u202e", "\u200b"} & set(shown)
    assert "\\x1b[2J" in shown
    assert shown.count("long") < 200


def test_names_of_folders_stay_one_value(tmp_path):
    for name in ('a"b', "a\nb: c", "a # b", "a\\nb", "{a: b}", "'a", "\u202e", "x" * 200):
        folder = write(tmp_path / "checkpoints" / name, config=GOOD)
        (tmp_path / "m.yaml").write_text(derived_yaml(str(folder), tmp_path), "utf-8")
        located = load_file(tmp_path / "m.yaml")
        assert (located.folder / located.spec.checkpoint).resolve() == folder.resolve()


ODD: dict[str, tuple[str, dict[str, Any]]] = {  # what the error names, and the files
    "a list": ("config.json", {"config": [1]}),
    "a number": ("config.json", {"config": "3"}),
    "null": ("config.json", {"config": "null"}),
    "nothing": ("config.json", {"config": ""}),
    "cut off": ("config.json:1", {"config": json.dumps(GOOD)[:-9]}),
    "deep": ("config.json", {"config": '{"a":' * 100_000}),
    "long number": ("config.json", {"config": '{"a": ' + "9" * 5000 + "}"}),
    "model_type": ("config.json: model_type", {"config": GOOD | {"model_type": ["llava"]}}),
    "vision list": ("config.json: vision_config", {"config": GOOD | {"vision_config": [CLIP]}}),
    "vision text": ("config.json: vision_config", {"config": GOOD | {"vision_config": "clip"}}),
    "layer text": ("vision_feature_layer", {"config": GOOD | {"vision_feature_layer": "last"}}),
    "layer NaN": ("vision_feature_layer", {"config": GOOD | {"vision_feature_layer": NAN}}),
    "layer half": ("vision_feature_layer", {"config": GOOD | {"vision_feature_layer": -2.5}}),
    "layer far": ("vision_feature_layer", {"config": GOOD | {"vision_feature_layer": 10**9}}),
    "layers odd": ("vision_feature_layer", {"config": GOOD | {"vision_feature_layer": [1, "2"]}}),
    "layers none": ("vision_feature_layer", {"config": GOOD | {"vision_feature_layer": []}}),
    "size text": ("vision_config.image_size",
                  {"config": GOOD | {"vision_config": CLIP | {"image_size": "336"}}}),
    "size endless": ("vision_config.image_size",
                     {"config": GOOD | {"vision_config": CLIP | {"image_size": float("inf")}}}),
    "size huge": ("vision_config.image_size",
                  {"config": GOOD | {"vision_config": CLIP | {"image_size": 10**9}}}),
    "size of lists": ("vision_config.image_size",
                      {"config": GOOD | {"vision_config": CLIP | {"image_size": [[336]]}}}),
    "size small": ("twin.letterbox",
                   {"config": GOOD | {"vision_config": CLIP | {"image_size": 2}}}),
    "patch none": ("vision_config.patch_size",
                   {"config": GOOD | {"vision_config": CLIP | {"patch_size": 0}}}),
    "patch text": ("vision_config.patch_size",
                   {"config": GOOD | {"vision_config": CLIP | {"patch_size": "x"}}}),
    "merge text": ("spatial_merge_size",
                   {"config": GOOD | {"vision_config": CLIP | {"spatial_merge_size": "2"}}}),
    "timm": ("vision_config.model_args",
             {"config": GOOD | {"vision_config": {"model_type": "x", "model_args": 5}}}),
    "token": ("image_token_index", {"config": GOOD | {"image_token_index": "<image>"}}),
    "processor": ("preprocessor_config.json", {"config": GOOD, "preprocessor_config": [1]}),
    "processor within": ("processor_config.json: image_processor",
                         {"config": GOOD, "processor_config": {"image_processor": "CLIP"}}),
    "processor kind": ("image_processor_type",
                       {"config": GOOD, "preprocessor_config": {"image_processor_type": 3}}),
    "crop text": ("crop_size", {"config": GOOD, "preprocessor_config": CROPS | {"crop_size": "a"}}),
    "crop huge": ("crop_size", {"config": GOOD, "preprocessor_config": CROPS | {"crop_size": 1e9}}),
    "mean text": ("image_mean",
                  {"config": GOOD, "preprocessor_config": CROPS | {"image_mean": "grey"}}),
    "mean of two": ("image_mean",
                    {"config": GOOD, "preprocessor_config": CROPS | {"image_mean": [0.5, 0.5]}}),
    "mean NaN": ("image_mean",
                 {"config": GOOD,
                  "preprocessor_config": CROPS | {"image_mean": [NAN] * 3}}),
    "mean beyond": ("image_mean",
                    {"config": GOOD, "preprocessor_config": CROPS | {"image_mean": [1e9] * 3}}),
    "tokenizer": ("tokenizer_config.json", {"config": GOOD, "tokenizer_config": "[]"}),
}  # fmt: skip


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_file_is_refused_by_file_and_key(tmp_path, odd):
    named, files = ODD[odd]
    with pytest.raises(VlmbenchError) as error:
        derive(str(write(tmp_path / "m", **files)))
    assert named in str(error.value)
    assert "m/" in str(error.value)
    assert len(str(error.value)) < 2000
    assert error.value.problems[0].remedy or odd == "size small"


@pytest.mark.parametrize(
    ("raw", "says"),
    [(b"\xff\xfe{}", "is not text"), (b'{"a": "' + b"x" * 2**25 + b'"}', "at most")],
)
def test_files_of_bytes_or_without_end_are_refused(tmp_path, raw, says):
    (tmp_path / "config.json").write_bytes(raw)
    with pytest.raises(VlmbenchError, match=says):
        derive(str(tmp_path))


@pytest.mark.parametrize(
    "scaling", ["linear", [2], {"factor": "2"}, {"factor": float("inf")}, {"rope_type": ["yarn"]},
                {"rope_type": "yarn", "original_max_position_embeddings": "4096", "factor": 2}],
)  # fmt: skip
def test_odd_scaling_of_positions_is_left_out(scaling):
    assert context_length({"max_position_embeddings": 2048, "rope_scaling": scaling}) == 2048


def test_a_plan_of_an_odd_checkpoint_names_its_file(tmp_path):
    for number, (name, text) in enumerate({
        "config.json": "[]", "processor_config.json": '{"image_processor": 3}',
        "tokenizer.json": '{"version": "1.0"}',
    }.items()):  # fmt: skip
        config = GOOD | {"max_position_embeddings": 2048}
        folder = write(tmp_path / str(number), config=config)
        (folder / name).write_text(text)
        spec = {"model": "m", "checkpoint": str(folder)}
        (tmp_path / "m.yaml").write_text(yaml.safe_dump(spec))
        said = vlmbench("plan", "-m", tmp_path / "m.yaml", "-t", "naming",
                        "--conditions", "own+filler-64-before", status=1)  # fmt: skip
        assert name in said.words
