from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from vlmbench.readouts.probes import (
    PROBE3D_RECIPE,
    TINY_RECIPE,
    DepthExample,
    DepthHead,
    DptRecipe,
    FittedDepthHead,
    Frame,
    ImageFeatures,
    recipe_for,
)
from vlmbench.readouts.probes._depth import _merge_close
from vlmbench.readouts.probes._dpt import DptNetwork
from vlmbench.readouts.probes._loss import depth_metrics, gradient_loss, sig_loss
from vlmbench.readouts.probes._training import depth_on_square, evaluate
from vlmbench.types import Document, EncodedImage, Region, VlmbenchError

FRAME = Frame.letterbox((48, 48), side=48, patch=8)
DIM = 8
RECIPE = replace(TINY_RECIPE, hidden=24, epochs=8, bins=32)


def planted(n, seed, *, unknown=0.0):
    """Depth that is constant over a patch and linear in the features there."""
    rng = np.random.default_rng(seed)
    direction = np.random.default_rng(99).normal(size=DIM)
    examples = []
    for _ in range(n):
        level = rng.uniform(1.5, 6.0) * np.exp(rng.normal(0, 0.1, size=(6, 6)))
        noise = rng.normal(size=(4, 6, 6, DIM))
        tokens = 5.0 + 0.3 * noise + level[None, ..., None] * direction
        depth = np.kron(level, np.ones((8, 8))).astype(np.float32)
        depth[rng.random(depth.shape) < unknown] = 0.0
        tokens = torch.as_tensor(tokens, dtype=torch.float32)
        features = ImageFeatures(patch_tokens=tokens, cls_token=None, frame=FRAME)
        examples.append(DepthExample(features=features, depth=depth))
    return examples


def shuffled(examples, seed):
    order = np.random.default_rng(seed).permutation(len(examples))
    return [
        DepthExample(features=examples[i].features, depth=example.depth)
        for i, example in zip(order, examples, strict=True)
    ]


@pytest.fixture(scope="module")
def splits():
    return planted(96, 0), planted(24, 1)


@pytest.fixture(scope="module")
def head(splits):
    return DepthHead().fit(*splits, seed=0, recipe=RECIPE)


def document(*candidates):
    images = (EncodedImage(b""),)
    return Document(
        doc_id="d",
        images=images,
        encoder_images=images,
        marked=False,
        choices=tuple("AB"),
        gold=0,
        candidates=tuple(candidates),
    )


# ---- losses and metrics


def arrays(seed, shape=(3, 19, 26)):
    rng = np.random.default_rng(seed)
    true = rng.uniform(0.5, 8.0, shape).astype(np.float32)
    predicted = (true * np.exp(rng.normal(0, 0.3, shape))).astype(np.float32)
    known = rng.random(shape) < 0.7
    return predicted, np.where(known, true, 0).astype(np.float32), known


def test_sig_loss_equals_a_plain_reference():
    predicted, true, known = arrays(0)
    g = np.log(predicted[known].astype(float) + 1e-3) - np.log(true[known].astype(float) + 1e-3)
    expected = np.sqrt(np.mean(g**2) - 0.85 * np.mean(g) ** 2)
    found = sig_loss(*map(torch.from_numpy, (predicted, true, known)), sigma=0.85)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_gradient_loss_equals_a_plain_reference():
    predicted, true, known = arrays(1)
    expected = 0.0
    for stride in (1, 2, 4, 8):
        total, count = 0.0, 0
        for image in range(len(true)):
            p, t, k = (a[image, ::stride, ::stride] for a in (predicted, true, known))
            height, width = t.shape
            count += int(k.sum())
            for y in range(height):
                for x in range(width):
                    for dy, dx in ((2, 0), (0, 2)):
                        if y + dy >= height or x + dx >= width:
                            continue
                        if k[y, x] and k[y + dy, x + dx]:
                            far = np.log(p[y + dy, x + dx] + 1e-3) - np.log(
                                t[y + dy, x + dx] + 1e-3
                            )
                            near = np.log(p[y, x] + 1e-3) - np.log(t[y, x] + 1e-3)
                            total += abs(far - near)
        expected += total / count
    found = gradient_loss(*map(torch.from_numpy, (predicted, true, known)))
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_unknown_pixels_have_no_say_and_no_gradient():
    predicted, true, known = (torch.from_numpy(a) for a in arrays(2))
    predicted.requires_grad_()
    loss = sig_loss(predicted, true, known, sigma=0.85) + gradient_loss(predicted, true, known)
    loss.backward()
    assert (predicted.grad[~known] == 0).all()
    assert (predicted.grad[known] != 0).any()
    with torch.no_grad():
        elsewhere = torch.where(known, predicted, 77.0)
        again = sig_loss(elsewhere, true, known, sigma=0.85) + gradient_loss(elsewhere, true, known)
    assert float(again) == float(loss.detach())


def test_losses_are_finite_where_nothing_is_known_or_all_is_right():
    true = torch.full((1, 12, 12), 2.0)
    for known in (
        torch.zeros(1, 12, 12, dtype=torch.bool),
        torch.ones(1, 12, 12, dtype=torch.bool),
    ):
        predicted = true.clone().requires_grad_()
        loss = sig_loss(predicted, true, known, sigma=0.85) + gradient_loss(predicted, true, known)
        loss.backward()
        assert float(loss.detach()) == pytest.approx(0, abs=1e-5)
        assert torch.isfinite(predicted.grad).all()


def test_metrics_closed_form_and_images_without_depth_left_out():
    true = torch.tensor([[[1.0, 2.0]], [[4.0, 4.0]], [[9.0, 9.0]]])
    predicted = torch.tensor([[[1.2, 3.0]], [[4.0, 8.0]], [[1.0, 1.0]]])
    known = torch.tensor([[[True, True]], [[True, False]], [[False, False]]])
    first, second = depth_metrics(predicted, true, known)
    assert first.abs_rel == pytest.approx((0.2 + 0.5) / 2)
    assert first.delta1 == 0.5
    assert first.rmse == pytest.approx(np.sqrt((0.04 + 1.0) / 2))
    assert (second.abs_rel, second.delta1, second.rmse) == (0, 1, 0)


# ---- frames of depth


def test_depth_is_brought_to_the_square_by_nearest_pixel():
    frame = Frame.letterbox((4, 2), side=8, patch=2)  # scale 2, rows 2 to 5
    depth = np.arange(1.0, 9.0, dtype=np.float32).reshape(2, 4)
    features = ImageFeatures(patch_tokens=torch.zeros(4, 4, 4, 3), cls_token=None, frame=frame)
    square = depth_on_square(DepthExample(features=features, depth=depth))
    np.testing.assert_array_equal(square[2:6], np.kron(depth, np.ones((2, 2))))
    assert (square[:2] == 0).all()
    assert (square[6:] == 0).all()


def test_prediction_returns_to_the_pixels_of_the_image(head):
    tall = Frame.letterbox((24, 48), side=48, patch=8)
    tokens = planted(1, 5)[0].features.patch_tokens
    whole = head.predict(ImageFeatures(patch_tokens=tokens, cls_token=None, frame=FRAME))
    part = head.predict(ImageFeatures(patch_tokens=tokens, cls_token=None, frame=tall))
    with torch.no_grad():
        np.testing.assert_allclose(whole, head.network(tokens[None])[0].double(), atol=1e-12)
    assert whole.shape == (48, 48)
    assert part.shape == (48, 24)
    np.testing.assert_allclose(part, whole[:, 12:36], atol=1e-12)


# ---- fitting


def test_planted_depth_is_found(head, splits):
    chosen = head.history[head.chosen_epoch - 1].validation
    assert chosen.delta1 > 0.9
    assert chosen.abs_rel < 0.1
    again = evaluate(head.network, splits[1], batch_size=8, depth_range=head.depth_range)
    assert again == chosen  # the weights kept are those of the chosen epoch


def test_destroyed_features_fall_to_the_mean_depth(head, splits):
    train, validation = (shuffled(split, i) for i, split in enumerate(splits))
    destroyed = DepthHead().fit(train, validation, seed=0, recipe=RECIPE)
    found = destroyed.history[destroyed.chosen_epoch - 1].validation
    true = torch.from_numpy(np.stack([example.depth for example in validation]))
    levels = np.linspace(1.5, 6.0, 40)
    constant = [
        np.mean([m.abs_rel for m in depth_metrics(torch.full_like(true, level), true, true > 0)])
        for level in levels
    ]
    assert found.abs_rel > 0.85 * min(constant)
    # What is kept is the best epoch, which for a head that learns noise by heart is not the last.
    assert destroyed.chosen_epoch < RECIPE.epochs
    kept = evaluate(destroyed.network, validation, batch_size=8, depth_range=destroyed.depth_range)
    assert kept == found
    assert found.abs_rel > 3 * head.history[head.chosen_epoch - 1].validation.abs_rel


def test_half_unknown_depth_is_as_good(splits):
    head = DepthHead().fit(planted(96, 0, unknown=0.5), splits[1], seed=0, recipe=RECIPE)
    assert head.history[head.chosen_epoch - 1].validation.delta1 > 0.9
    assert head.depth_range[0] > 0.5  # 0 is no depth


def test_depth_beyond_the_range_is_left_out(splits):
    recipe = replace(RECIPE, epochs=1, depth_range=(0.001, 3.0))
    head = DepthHead().fit(splits[0][:8], splits[1][:8], seed=0, recipe=recipe)
    assert max(head.predict(example.features).max() for example in splits[1]) <= 3.0
    only_far = replace(RECIPE, epochs=1, depth_range=(0.001, 0.01))
    with pytest.raises(VlmbenchError, match="no validation pixel"):
        DepthHead().fit(splits[0][:8], splits[1][:8], seed=0, recipe=only_far)


def test_same_seed_same_bytes(splits, tmp_path):
    recipe = replace(RECIPE, epochs=2)
    before = torch.random.get_rng_state()
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        DepthHead().fit(splits[0][:24], splits[1][:8], seed=seed, recipe=recipe).save(
            tmp_path / name
        )
    assert torch.equal(torch.random.get_rng_state(), before)
    a, b = ((tmp_path / x / "head.safetensors").read_bytes() for x in "ab")
    assert a == b
    first, other = (load_file(tmp_path / x / "head.safetensors") for x in "ac")
    assert (first["lateral.0.weight"] - other["lateral.0.weight"]).abs().max() > 0.1
    assert (tmp_path / "a/head.json").read_bytes() == (tmp_path / "b/head.json").read_bytes()


def test_loaded_head_predicts_the_same(head, splits, tmp_path):
    head.save(tmp_path)
    loaded = FittedDepthHead.load(tmp_path, answer="farthest")
    for example in splits[1][:4]:
        np.testing.assert_array_equal(
            loaded.predict(example.features), head.predict(example.features)
        )
    assert loaded.record() == head.record()
    assert (loaded.recipe, loaded.history) == (head.recipe, head.history)
    assert loaded.answer == "farthest"


def test_progress_counts_every_step(splits):
    seen = []
    DepthHead().fit(
        splits[0][:10],
        splits[1][:2],
        seed=0,
        recipe=replace(RECIPE, epochs=2),
        progress=lambda done, steps: seen.append((done, steps)),
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_every_bad_example_is_reported(splits):
    train = list(splits[0][:4])
    train[1] = replace(train[1], depth=train[1].depth[:, :40])
    train[3] = replace(train[3], depth=-train[3].depth)
    blank = replace(splits[1][0], depth=np.zeros((48, 48), dtype=np.float32))
    with pytest.raises(VlmbenchError) as caught:
        DepthHead().fit(train, [blank], seed=0, recipe=RECIPE)
    text = str(caught.value)
    assert "training example 1: map of (48, 40)" in text
    assert "training example 3: depth must be finite and at least 0" in text
    assert "the validation split has no known depth" in text
    with pytest.raises(VlmbenchError, match="training split has no known depth"):
        DepthHead().fit([], splits[1][:1], seed=0, recipe=RECIPE)


def test_the_wrong_number_of_layers_is_reported(splits):
    features = splits[0][0].features
    two = replace(features, patch_tokens=features.patch_tokens[:2])
    bad = replace(splits[0][0], features=two)
    with pytest.raises(VlmbenchError, match=r"\(2, 6, 6, 8\)\), not"):
        DepthHead().fit([bad], splits[1][:1], seed=0, recipe=RECIPE)


# ---- scoring


def test_nearer_region_wins_and_farthest_turns_the_sign(head):
    right = 0
    for example in planted(20, 7):
        level = example.depth
        a = Region(image=0, kind="box", xy=(0, 0, 16, 16))
        b = Region(image=0, kind="box", xy=(32, 32, 48, 48))
        gold = int(level[:16, :16].mean() > level[32:, 32:].mean())
        scores = head.score(document(a, b), [example.features])
        right += int(scores.argmax() == gold)
        np.testing.assert_array_equal(head.score(document(b, a), [example.features]), scores[::-1])
        far = replace(head, answer="farthest").score(document(a, b), [example.features])
        np.testing.assert_array_equal(far, -scores)
        expected = head.predict(example.features)[:16, :16].mean()
        assert scores[0] == pytest.approx(-expected, abs=2e-4)
    assert right >= 15


def test_constant_features_tie_exactly_wherever_the_region_is(head):
    tokens = torch.as_tensor(planted(1, 8)[0].features.patch_tokens[:, :1, :1]).expand(4, 6, 6, DIM)
    features = ImageFeatures(patch_tokens=tokens, cls_token=None, frame=FRAME)
    corner = Region(image=0, kind="point", xy=(0, 0))
    for other in ((24, 24), (47, 0), (13, 30)):
        scores = head.score(document(corner, replace(corner, xy=other)), [features])
        assert scores[0] == scores[1]


def test_merging_close_depths_keeps_the_others_and_their_order():
    merged = _merge_close(np.array([2.00005, 3.0, 2.0, 2.0002]))
    np.testing.assert_array_equal(merged, [2.0, 3.0, 2.0, 2.0002])


# ---- recipes


def test_recipes_and_the_rule_that_picks_them():
    assert recipe_for(256) is TINY_RECIPE
    assert recipe_for(257) is PROBE3D_RECIPE
    assert DptRecipe() == PROBE3D_RECIPE
    with pytest.raises(ValueError, match="odd"):
        DptRecipe(kernel=4)
    with pytest.raises(ValueError, match="warmup"):
        DptRecipe(epochs=1)


def test_default_recipe_builds_and_predicts_within_its_range():
    # Channels are cut for speed; scales, bins and range are the default's.
    recipe = replace(PROBE3D_RECIPE, hidden=16)
    network = DptNetwork(embed_dim=32, recipe=recipe, depth_range=(0.001, 10.0), side=42)
    with torch.no_grad():
        depth = network(torch.randn(2, 4, 3, 3, 32, generator=torch.Generator().manual_seed(0)))
    assert depth.shape == (2, 42, 42)
    assert 0.001 < float(depth.min()) <= float(depth.max()) < 10.0


@pytest.mark.parametrize("name", ["head.json", "head.safetensors"])
def test_a_damaged_head_is_not_there(head, tmp_path, name):
    head.save(tmp_path / "head")
    data = bytearray((tmp_path / "head" / name).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "head" / name).write_bytes(data)
    assert FittedDepthHead.load(tmp_path / "head") is None
    head.save(tmp_path / "head")
    assert FittedDepthHead.load(tmp_path / "head").record() == head.record()
