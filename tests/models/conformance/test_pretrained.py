"""Weights and pictures that nobody here made: the example of docs/pretrained.md.

EfficientNet-Lite0 as ImageNet trained it, read by the project's own keypoint probe on a stereo
pair whose disparity was measured.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import timm
import torch
from home import ROOT
from PIL import Image, ImageOps

from vlmbench.metrics import accuracy
from vlmbench.models import Tower
from vlmbench.readouts import read_encoder
from vlmbench.spec import load_file
from vlmbench.tasks import load_documents
from vlmbench.types import Stat

CATS = range(281, 286)
"""ImageNet's classes of domestic cats."""
Reads = Callable[..., Stat]


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The example's `make.py`, run in a copy of its folder."""
    folder = tmp_path_factory.mktemp("example") / "pretrained"
    files = shutil.ignore_patterns("*.png", "*.jsonl", "lite0-stride8", "lite0-stride16")
    shutil.copytree(ROOT / "examples" / "pretrained", folder, ignore=files)
    spec = importlib.util.spec_from_file_location("make", folder / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main()
    return module


@pytest.fixture(params=[8, 16])
def tower(example: Any, request: pytest.FixtureRequest) -> Tower:
    spec = load_file(example.HERE / f"lite0-stride{request.param}.yaml").spec
    loaded = Tower.load(spec.twin, example.HERE, torch.device("cpu"), spec.image)
    assert loaded.patch == request.param
    return loaded


@pytest.fixture
def read(example: Any, tmp_path: Path) -> Reads:
    """Accuracy on the example, with another disparity or its right picture mirrored."""

    def reads(tower: Tower, disparity: Any = None, *, mirrored: bool = False) -> Stat:
        for name in ("left.png", "right.png", "stereo_matching.yaml", "test.jsonl"):
            shutil.copy(example.HERE / name, tmp_path)
        if disparity is not None:
            rows = example.rows(skimage.data.stereo_motorcycle()[0], disparity)
            (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
        if mirrored:
            ImageOps.mirror(Image.open(tmp_path / "right.png")).save(tmp_path / "right.png")
        task = load_file(tmp_path / "stereo_matching.yaml")
        documents = list(load_documents(task, "reported", tmp_path, 150))
        probe = task.spec.bench.probe
        return accuracy(read_encoder(documents, probe, tower, {}, seed=0, cache=tmp_path).scores)

    return reads


def test_every_weight_has_its_place_and_they_know_a_cat(example: Any) -> None:
    model = timm.create_model("tf_efficientnet_lite0").eval()
    model.load_state_dict(example.weights())  # strict: none is missing, none is left over
    cat = torch.from_numpy(skimage.data.chelsea()[:, 75:375]).permute(2, 0, 1)[None] / 127.5 - 1
    pixels = torch.nn.functional.interpolate(cat, size=(224, 224), mode="bilinear", antialias=True)
    with torch.inference_mode():
        best = model(pixels)[0].topk(3).indices.tolist()
    assert set(best) <= set(CATS)


def test_trained_weights_match_points_that_random_ones_do_not(tower: Tower, read: Reads) -> None:
    trained, untrained = read(tower), read(tower.randomised(0))
    assert trained.value > 0.75
    assert untrained.value < trained.value
    if tower.patch == 16:  # at 8 a random filter bank still compares pixels, and comes close
        assert untrained.high + 0.1 < trained.low


def test_a_disparity_of_other_points_is_matched_at_chance(tower: Tower, read: Reads) -> None:
    disparity = skimage.data.stereo_motorcycle()[2].astype(float)
    known = np.isfinite(disparity)
    disparity[known] = np.random.default_rng(0).permutation(disparity[known])
    found = read(tower, disparity)
    assert found.low < 0.25 < found.high


def test_a_mirrored_picture_is_matched_at_chance(tower: Tower, read: Reads) -> None:
    found = read(tower, mirrored=True)
    assert found.low < 0.25 < found.high
