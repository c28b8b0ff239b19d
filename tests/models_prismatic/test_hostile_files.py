"""Prismatic folders of strangers: refused with file and key, and nothing is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import prismatic_files
import pytest
import torch
from prismatic_files import Files
from safetensors.torch import save_file

from vlmbench.models.prismatic import convert
from vlmbench.types import VlmbenchError


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return prismatic_files.make(tmp_path / "given", "clip-vit-l")


def refusal(files: Files, target: Path, **more: Any) -> str:
    """Return why a folder is not converted."""
    encoder = more.get("encoder", files.encoder)
    with pytest.raises(VlmbenchError) as error:
        convert(files.source, target, encoder=str(encoder), tokenizer=str(files.tokenizer))
    assert not target.exists()
    assert not list(target.parent.glob("*.yaml"))
    return str(error.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model_id", "../../outside"), ("model_id", "/tmp/outside"), ("model_id", ""),
        ("model_id", "x\nbackend: openai\nserver: {base_url: 'http://evil.example/v1'}\n#"),
        ("model_id", 3), ("model_id", None), ("model_id", ["a"]),
        ("llm_max_length", "many"), ("llm_max_length", -1), ("llm_max_length", 10**12),
        ("llm_max_length", float("nan")), ("vision_backbone_id", ["clip-vit-l"]),
        ("llm_backbone_id", {"a": 1}), ("image_resize_strategy", None),
    ],
)  # fmt: skip
def test_an_odd_value_is_refused_by_its_key(tmp_path, files, key, value):
    path = files.source / "config.json"
    config = json.loads(path.read_text())
    config["model"][key] = value
    path.write_text(json.dumps(config))
    said = refusal(files, tmp_path / "out" / "converted")
    assert f"config.json: model.{key}" in said


@pytest.mark.parametrize(
    "text", ["[]", "null", "3", '{"model": []}', '{"model": 3}', "{", "[" * 99999]
)
def test_a_config_that_is_none_is_refused(tmp_path, files, text):
    (files.source / "config.json").write_text(text)
    assert "config.json" in refusal(files, tmp_path / "out" / "converted")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.2, 0.7, 0.999])
def test_weights_that_are_cut_off_are_refused(tmp_path, files, share):
    path = files.source / "checkpoints" / "latest-checkpoint.pt"
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * share)])
    assert "latest-checkpoint.pt: cannot be read" in refusal(files, tmp_path / "out" / "converted")


@pytest.mark.parametrize(
    "change",
    [
        {"patch_embed.proj.weight": torch.zeros(4)},
        {"patch_embed.proj.weight": torch.zeros(4, 3, 0, 0)},
        {"blocks.0.mlp.fc1.weight": torch.zeros(())},
        {"blocks.x.norm1.weight": torch.zeros(4)},
        {"blocks.99999999.norm1.weight": torch.zeros(4)},
    ],
    ids=["flat", "none", "single", "unnumbered", "far"],
)
def test_an_encoder_of_odd_tensors_is_refused(tmp_path, files, change):
    path = tmp_path / "odd.safetensors"
    save_file({**files.timm, **change}, path)
    refusal(files, tmp_path / "out" / "converted", encoder=path)
