"""A checkpoint must fill its model: what it lacks would be drawn at random."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from home import Home, vlmbench
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    CLIPImageProcessor,
    SiglipVisionConfig,
    SiglipVisionModel,
    ViTConfig,
    ViTModel,
)

from vlmbench.models import HfBackend, Tower, resolve_device, weights_digest
from vlmbench.models._checkpoint import remedy_for
from vlmbench.models.prismatic._text import load_tokenizer
from vlmbench.spec import ModelSpec, Twin
from vlmbench.store import RunFolder
from vlmbench.types import VlmbenchError

Weights = dict[str, Tensor]
Change = Callable[[Weights], Weights]


def changed(source: Path, folder: Path, change: Change) -> Path:
    """Return a copy of a checkpoint with other weights."""
    shutil.copytree(source, folder)
    weights = change(load_file(folder / "model.safetensors"))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def without(part: str) -> Change:
    return lambda weights: {name: w for name, w in weights.items() if part not in name}


def renamed(before: str, after: str) -> Change:
    return lambda weights: {name.replace(before, after): w for name, w in weights.items()}


def load(folder: Path) -> HfBackend:
    spec = ModelSpec(model="copy", checkpoint=str(folder))
    return HfBackend.load(spec, None, *resolve_device("cpu", "float32"))


def test_missing_weights_are_refused_with_their_names(llava_folder, tmp_path):
    folder = changed(llava_folder, tmp_path / "copy", without("vision_tower"))
    with pytest.raises(VlmbenchError) as caught:
        load(folder)
    (problem,) = caught.value.problems
    assert "lacks 55 weights of its model: model.vision_tower." in problem.message
    assert "and 50 more" in problem.message
    assert "drawn at random" in problem.remedy
    assert "renamed" not in problem.remedy


def test_one_missing_weight_is_enough(llava_folder, tmp_path):
    folder = changed(llava_folder, tmp_path / "copy", without("linear_1.bias"))
    with pytest.raises(VlmbenchError, match=r"lacks 1 weights .* model\.multi_modal_projector"):
        load(folder)


def test_renamed_weights_are_named_on_both_sides(llava_folder, tmp_path):
    change = renamed("multi_modal_projector", "mm_projector")
    folder = changed(llava_folder, tmp_path / "copy", change)
    with pytest.raises(VlmbenchError) as caught:
        load(folder)
    assert "lacks 4 weights" in str(caught.value)
    assert "renamed: the checkpoint has" in str(caught.value)
    assert "mm_projector.linear_1.bias" in str(caught.value)


def test_a_weight_of_another_shape_is_refused(llava_folder, tmp_path):
    def cut(weights: Weights) -> Weights:
        name = next(name for name in weights if name.endswith("linear_2.weight"))
        return weights | {name: weights[name][:, :-1].contiguous()}

    folder = changed(llava_folder, tmp_path / "copy", cut)
    message = r"1 weights of another shape: .*linear_2\.weight is \(48, 47\), not \(48, 48\)"
    with pytest.raises(VlmbenchError, match=message):
        load(folder)


def test_a_weight_that_is_tied_to_another_may_be_missing(tiny_clip):
    """`tiny-clip` keeps its embedding once, and reads it twice."""
    stored = load_file(Path(__file__).parents[2] / "models" / "tiny-clip" / "model.safetensors")
    assert not any("lm_head" in name for name in stored)
    assert any(
        "lm_head" in name for name, _ in tiny_clip.model.named_parameters(remove_duplicate=False)
    )
    assert tiny_clip.unused_weights == ()


def test_weights_without_a_place_are_named_in_manifest_and_page(llava_folder, tmp_path):
    change = lambda weights: weights | {"model.ocr_head.weight": torch.ones(2, 3)}
    folder = changed(llava_folder, tmp_path / "copy", change)
    assert load(folder).unused_weights == ("model.ocr_head.weight",)
    home = Home(tmp_path / "home")
    task = home.pairs("matching", 2)
    for _ in range(2):  # the second time from its records
        run = home.run(str(folder), str(task))
        (model,) = RunFolder(run).manifest().models.values()
        assert model.unused_weights == ("model.ocr_head.weight",)
    vlmbench("leaderboard", run, "--output", tmp_path / "page")
    page = (tmp_path / "page" / "README.md").read_text()
    assert "no place for weights of its checkpoint: model.ocr_head.weight." in page


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("`tiktoken` is required to read a `tiktoken` file.", "vlmbench-gap[sentencepiece]"),
        ("LlamaConverter requires the protobuf library", "vlmbench-gap[sentencepiece]"),
        ("Please pass the argument `trust_remote_code=True`", "never runs code"),
        ("requires the torchvision library", "vlmbench-gap[vision]"),
        ("no file named config.json", "fetch it"),
    ],
)
def test_the_remedy_is_that_of_vlmbench(said, remedy):
    assert remedy in remedy_for(ValueError(said), "fetch it")


def test_a_tokenizer_that_is_only_a_model_file_names_what_reads_it(tmp_path):
    assert find_spec("sentencepiece") is None, "this test is about an environment without it"
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer"}')
    (tmp_path / "tokenizer.model").write_bytes(b"\n\x0e\n\x05<unk>\x15\x00\x00\x00\x00")
    with pytest.raises(VlmbenchError, match=r"vlmbench-gap\[sentencepiece\]"):
        load_tokenizer(str(tmp_path), 2048)


# -- standalone encoders ------------------------------------------------------------------


def encoder(folder: Path, module: torch.nn.Module) -> Path:
    module.save_pretrained(folder)
    CLIPImageProcessor(crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


SIZES = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2,
    "image_size": 32, "patch_size": 8,
}  # fmt: skip


def twin(folder: Path) -> Tower:
    described = Twin(checkpoint=str(folder), layer=-1, pooled="mean", relation="lineage")
    return Tower.load(described, None, torch.device("cpu"))


def test_a_standalone_encoder_must_be_whole(tmp_path):
    whole = encoder(tmp_path / "whole", SiglipVisionModel(SiglipVisionConfig(**SIZES)))
    assert twin(whole).n_layers == 3
    broken = changed(whole, tmp_path / "broken", without("layers.1.mlp"))
    with pytest.raises(VlmbenchError, match=r"lacks 4 weights of its model: .*layers\.1\.mlp"):
        twin(broken)


@pytest.mark.parametrize(
    ("module", "part"),
    [
        (SiglipVisionModel(SiglipVisionConfig(**SIZES)), "head."),
        (ViTModel(ViTConfig(**SIZES)), "pooler."),
    ],
    ids=["siglip", "vit"],
)
def test_what_sums_its_patches_up_may_be_missing(tmp_path, module, part):
    whole = encoder(tmp_path / "whole", module)
    assert any(part in name for name in load_file(whole / "model.safetensors"))
    assert twin(changed(whole, tmp_path / "less", without(part))).n_layers == 3


class Odd(torch.nn.Module):
    """Weights and buffers of every sort: halves, a scalar, none at all, turned, and flags."""

    def __init__(self) -> None:
        super().__init__()
        self.b = torch.nn.Parameter(torch.arange(6, dtype=torch.bfloat16).reshape(2, 3).T)
        self.a = torch.nn.Parameter(torch.tensor(3.5))
        self.register_buffer("empty", torch.zeros(0, 4))
        self.register_buffer("flags", torch.tensor([True, False]))


def test_the_digest_of_weights_is_one_over_names_shapes_dtypes_and_bytes():
    """By its definition, in one go; runs that are stored hold it."""
    said = b"a()torch.float32" + np.float32(3.5).tobytes()
    halves = np.arange(6, dtype=np.float32).reshape(2, 3).T.tobytes()
    said += b"b(3, 2)torch.bfloat16" + np.frombuffer(halves, np.uint16)[1::2].tobytes()
    said += b"empty(0, 4)torch.float32" + b"flags(2,)torch.bool" + b"\x01\x00"
    odd = Odd()
    assert weights_digest(odd) == hashlib.sha256(said).hexdigest()
    odd.flags[1] = True
    assert weights_digest(odd) != hashlib.sha256(said).hexdigest()
