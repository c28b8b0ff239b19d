"""Depth by a linear map of each token, from sums."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from vlmbench.readouts.probes import DepthSums, ImageFeatures, LinearDepthHead, OnGrid
from vlmbench.readouts.probes._linear_depth import _ridge
from vlmbench.types import Document, EncodedImage, Region, VlmbenchError

SIDE, GRID, DIM = 32, 8, 6


def frame(box: tuple[float, float, float, float] = (0.0, 0.0, float(GRID), float(GRID))) -> OnGrid:
    return OnGrid(image_size=(SIDE, SIDE), grid=(GRID, GRID), box=box)


def example(rng: np.random.Generator, noise: float = 0.0) -> tuple[ImageFeatures, np.ndarray]:
    """Tokens of which one channel is the logarithm of the depth at the token's centre."""
    depth = np.exp(rng.normal(size=(GRID, GRID)))
    tokens = rng.normal(size=(1, GRID, GRID, DIM))
    tokens[0, ..., 2] = np.log(depth) + noise * rng.normal(size=depth.shape)
    features = ImageFeatures(patch_tokens=torch.from_numpy(tokens), cls_token=None, frame=frame())
    return features, np.kron(depth, np.ones((SIDE // GRID, SIDE // GRID)))


def sums(examples: list[tuple[ImageFeatures, np.ndarray]]) -> DepthSums:
    found = DepthSums()
    for features, depth in examples:
        found.add(features, depth)
    return found


def test_the_map_is_scikit_learns_ridge_regression_on_standardised_tokens():
    rng = np.random.default_rng(0)
    examples = [example(rng, 0.3) for _ in range(5)]
    moments = sums(examples).moments
    assert moments is not None
    x = np.concatenate([f.patch_tokens[0].reshape(-1, DIM).numpy() for f, _ in examples])
    step = SIDE // GRID
    y = np.log(np.concatenate([d[2::step, 2::step].reshape(-1) for _, d in examples]))
    for penalty in (1e-3, 0.5):
        scaler = StandardScaler().fit(x)
        theirs = Ridge(alpha=penalty * len(x)).fit(scaler.transform(x), y)
        weights, bias = _ridge(moments.numpy(), penalty)
        np.testing.assert_allclose(weights, theirs.coef_ / scaler.scale_, atol=1e-9)
        shifted = theirs.intercept_ - (theirs.coef_ / scaler.scale_) @ scaler.mean_
        assert bias == pytest.approx(shifted, abs=1e-9)


def test_a_channel_that_holds_depth_gives_it_back_at_every_pixel():
    rng = np.random.default_rng(1)
    train, validation = ([example(rng) for _ in range(4)] for _ in range(2))
    head = LinearDepthHead.fit(sums(train), sums(validation))
    assert head.penalty == 1e-4
    features, depth = example(rng)
    found = head.predict(features)
    assert found.shape == (SIDE, SIDE)
    centre = SIDE // GRID // 2  # between the pixels that share a token's centre, by interpolation
    at_tokens = found[centre :: SIDE // GRID, centre :: SIDE // GRID]
    assert np.corrcoef(at_tokens.ravel(), depth[2::4, 2::4].ravel())[0, 1] > 0.95


def test_the_nearer_of_two_regions_has_the_larger_score():
    rng = np.random.default_rng(2)
    head = LinearDepthHead.fit(*(sums([example(rng) for _ in range(4)]) for _ in range(2)))
    features, depth = example(rng)
    places = [(9, 9), (21, 25)]
    near = int(np.argmin([depth[y, x] for x, y in places]))
    image = EncodedImage(b"")
    document = Document(
        doc_id="d", images=(image,), encoder_images=(image,), marked=False, choices=("A", "B"),
        gold=near,
        candidates=tuple(Region(image=0, kind="point", xy=place) for place in places),
    )  # fmt: skip
    assert int(np.argmax(head.score(document, [features]))) == near


def test_tokens_that_say_nothing_predict_the_mean():
    rng = np.random.default_rng(3)

    def mute() -> tuple[ImageFeatures, np.ndarray]:
        features, depth = example(rng)
        tokens = torch.from_numpy(rng.normal(size=features.patch_tokens.shape))
        return ImageFeatures(patch_tokens=tokens, cls_token=None, frame=frame()), depth

    head = LinearDepthHead.fit(sums([mute() for _ in range(30)]), sums([mute() for _ in range(9)]))
    assert np.abs(head.weights).max() < 0.1
    assert head.penalty == 1.0


def test_what_is_unknown_or_outside_of_the_image_does_not_count():
    rng = np.random.default_rng(4)
    features, depth = example(rng)
    holed = depth.copy()
    holed[:, : SIDE // 2] = 0
    assert sums([(features, holed)]).moments[0, 0] == GRID * GRID / 2
    inner = ImageFeatures(
        patch_tokens=features.patch_tokens, cls_token=None, frame=frame((2.0, 0.0, 6.0, 8.0))
    )
    assert sums([(inner, depth)]).moments[0, 0] == GRID * GRID / 2
    with pytest.raises(VlmbenchError, match="known depth"):
        LinearDepthHead.fit(sums([(features, depth)]), sums([(features, depth * 0)]))


def test_sums_of_parts_are_those_of_the_whole():
    rng = np.random.default_rng(5)
    examples = [example(rng) for _ in range(4)]
    parts = sums(examples[:1])
    parts.join(sums(examples[1:]))
    np.testing.assert_allclose(parts.moments, sums(examples).moments, rtol=1e-12)
