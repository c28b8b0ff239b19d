"""Kept features: bit for bit what was computed, or nothing; never another image's."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import numpy as np
import pytest
import torch
from home import noise
from PIL import Image

from vlmbench.models import Tower
from vlmbench.readouts.probes import FeatureStore, FeatureTap, Frame, ImageFeatures, _tap
from vlmbench.types import EncodedImage


def features(value: float) -> ImageFeatures:
    frame = Frame.letterbox((8, 8), side=8, patch=4)
    tokens = torch.full((1, 2, 2, 4), float(value))  # 64 bytes
    return ImageFeatures(patch_tokens=tokens, cls_token=None, frame=frame)


class Counting:
    """Counts the images that a tower is run on."""

    def __init__(self, tower: Tower, monkeypatch: pytest.MonkeyPatch) -> None:
        self.images = 0
        run = tower.states
        monkeypatch.setattr(
            tower, "states", lambda squares, layers: self._run(run, squares, layers)
        )

    def _run(self, run, squares, layers):
        self.images += len(squares)
        return run(squares, layers)


@pytest.fixture
def tower(tiny_clip) -> Tower:
    return Tower.inside(tiny_clip, tiny_clip.spec.twin)


def test_memory_gives_back_the_very_object_and_forgets_what_was_not_used_for_longest():
    store = FeatureStore(memory=200)
    held = {key: features(number) for number, key in enumerate("abc")}
    for key, value in held.items():
        store.put(key, value)
    assert store.get("a") is held["a"]
    store.put("d", features(3))
    assert [key for key in "abcd" if store.get(key)] == ["a", "c", "d"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_disk_gives_back_every_bit(tmp_path, dtype):
    tokens = torch.randn(2, 3, 3, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
    FeatureStore(tmp_path).save("ab1", {"patch_tokens": tokens})
    found = FeatureStore(tmp_path).load("ab1")
    assert found is not None
    assert found["patch_tokens"].dtype == dtype
    assert torch.equal(found["patch_tokens"], tokens)
    assert FeatureStore(tmp_path).load("ab2") is None


def test_a_damaged_file_is_one_that_is_not_there(tmp_path):
    store = FeatureStore(tmp_path)
    store.save("ab1", {"x": torch.arange(64.0)})
    (path,) = tmp_path.glob("*/*")
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 60):
        broken = bytearray(whole)
        broken[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(broken)
        assert store.load("ab1") is None
    for end in range(0, len(whole), 40):
        path.write_bytes(whole[:end])
        assert store.load("ab1") is None


def test_the_disk_holds_no_more_than_it_may_and_a_full_one_costs_nothing(tmp_path):
    store = FeatureStore(tmp_path / "few", disk=8_000)
    for number in range(40):
        store.save(f"{number:02}", {"x": torch.zeros(250)})  # 1,000 bytes each
        os.utime(store._path(f"{number:02}"), (number, number))
    names = sorted(path.name for path in tmp_path.glob("few/*/*"))
    assert len(names) <= 8
    assert names == [f"{number:02}" for number in range(40 - len(names), 40)]
    (tmp_path / "file").write_text("")
    FeatureStore(tmp_path / "file").save("ab", {"x": torch.zeros(2)})  # no folder can be made there


def test_several_at_once_never_read_half_a_file(tmp_path):
    def work(number: int) -> bool:
        store = FeatureStore(tmp_path)
        store.save("ab", {"x": torch.full((5000,), 7.0)})
        found = store.load("ab")
        return found is not None and bool((found["x"] == 7).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(200)))
    assert [path.name for path in tmp_path.glob("*/*")] == ["ab"]


def test_cells_share_features_and_runs_do_on_disk(tower, tmp_path, monkeypatch):
    monkeypatch.setattr(_tap, "_SLOW", 0)
    counting = Counting(tower, monkeypatch)
    images = [EncodedImage.from_pil(noise(seed, (96, 96))) for seed in range(5)]
    store = FeatureStore(tmp_path)
    first = FeatureTap(tower, [tower.consumed], store=store).features([*images, images[0]])
    assert first[0] is first[5]
    again = FeatureTap(tower, [tower.consumed], store=store).features(images)
    assert all(one is other for one, other in zip(first, again, strict=False))
    assert counting.images == 5
    later = FeatureTap(tower, [tower.consumed], store=FeatureStore(tmp_path)).features(images)
    assert counting.images == 5
    for one, other in zip(first, later, strict=False):
        assert torch.equal(one.patch_tokens, other.patch_tokens)
        assert torch.equal(one.cls_token, other.cls_token)
        assert one.frame == other.frame


def test_another_image_layer_tower_or_transform_never_hits(tower, tmp_path, monkeypatch):
    monkeypatch.setattr(_tap, "_SLOW", 0)
    picture = noise(0, (96, 96))
    image, pixels = EncodedImage.from_pil(picture), np.asarray(picture).copy()
    pixels[5, 5, 0] ^= 1
    changed = EncodedImage.from_pil(Image.fromarray(pixels))
    store = FeatureStore(tmp_path)
    (first,) = FeatureTap(tower, [tower.consumed], store=store).features([image])
    random = tower.randomised(0)
    darker = deepcopy(tower.image_processor)
    darker.image_mean = [0.1, 0.2, 0.3]
    other = Tower(tower.module, darker, tower.twin, tower.policy)
    both = tower.twin.model_copy(update={"layer": (1, -2)})
    two = Tower(tower.module, tower.image_processor, both, tower.policy)
    assert two.consumed == tower.consumed
    config = deepcopy(tower.module.config)
    config.hidden_act = "relu"
    module = type(tower.module)(config).eval()
    module.load_state_dict(tower.module.state_dict())
    relu = Tower(module, tower.image_processor, tower.twin, tower.policy)
    assert relu.weights_digest == tower.weights_digest
    asked = [
        (tower, [tower.consumed], changed),
        (tower, [0], image),
        (random, [tower.consumed], image),
        (other, [tower.consumed], image),
        (two, [tower.consumed], image),
        (relu, [tower.consumed], image),
    ]
    for of, layers, shown in asked:
        counting = Counting(of, monkeypatch)
        (found,) = FeatureTap(of, layers, store=store).features([shown])
        assert counting.images == 1
        same = found.patch_tokens.shape == first.patch_tokens.shape
        assert not (same and torch.equal(found.patch_tokens, first.patch_tokens))
