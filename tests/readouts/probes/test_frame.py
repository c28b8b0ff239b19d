from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vlmbench.readouts.probes import Frame, ImageFeatures, pooled

SIZES = st.tuples(st.integers(1, 2000), st.integers(1, 2000))


@given(size=SIZES, side=st.integers(16, 1024), patch=st.integers(1, 16))
def test_round_trips(size, side, patch):
    frame = Frame.letterbox(size, side=side, patch=patch)
    xy = np.array([[0.0, 0.0], [size[0], size[1]], [size[0] / 3, size[1] / 7]])
    np.testing.assert_allclose(frame.from_square(frame.to_square(xy)), xy, atol=1e-6)


@given(size=SIZES, side=st.integers(16, 1024))
def test_letterbox_touches_two_sides_and_is_centred(size, side):
    x0, y0, x1, y1 = Frame.letterbox(size, side=side, patch=8).content
    assert max(x1 - x0, y1 - y0) == pytest.approx(side)
    pixel = side / max(size)  # an odd one of padding goes to the right or the bottom
    for low, high in ((x0, x1), (y0, y1)):
        assert 0 <= low < high <= side + 1e-9
        assert -1e-9 <= (side - high) - low <= pixel + 1e-9


def test_square_image_of_that_size_is_the_identity():
    frame = Frame.letterbox((96, 96), side=96, patch=8)
    xy = np.array([[0.0, 0.0], [12.5, 90.25], [96.0, 96.0]])
    np.testing.assert_array_equal(frame.to_square(xy), xy)
    np.testing.assert_array_equal(frame.to_grid(xy), xy / 8)
    assert frame.grid == (12, 12)
    assert frame.inside().all()


def test_known_letterbox_numbers():
    # 640x480 into 224: scale .35, so 224x168 with (224 - 168) / 2 = 28 rows above and below.
    frame = Frame.letterbox((640, 480), side=224, patch=14)
    assert frame.content == (0.0, 28.0, 224.0, 196.0)
    np.testing.assert_allclose(frame.to_square([320.0, 240.0]), [112.0, 112.0])
    np.testing.assert_allclose(frame.to_square([0.0, 0.0]), [0.0, 28.0])
    np.testing.assert_allclose(frame.to_grid([640.0, 480.0]), [16.0, 14.0])


def test_padding_is_not_inside():
    frame = Frame.letterbox((640, 480), side=224, patch=14)
    inside = frame.inside()
    assert inside[2:14].all()
    assert not inside[:2].any()
    assert not inside[14:].any()
    # Half a patch of padding above: the centre of row 1 (12 px) lies above the image's 14.
    assert Frame.letterbox((96, 68), side=96, patch=8).inside().sum(axis=0).tolist() == [8] * 12


def test_thread_thin_image_keeps_some_patches():
    assert Frame.letterbox((1000, 1), side=96, patch=8).inside().sum() == 12


def test_strip_that_no_patch_covers():
    # SigLIP at 384 with patches of 14: 27 patches cover 378 pixels, not 384.
    frame = Frame.letterbox((384, 384), side=384, patch=14)
    assert frame.grid == (27, 27)
    np.testing.assert_allclose(frame.to_grid([378.0, 7.0]), [27.0, 0.5])


def test_stretched_maps_corners_to_corners():
    frame = Frame.stretched((200, 50), side=100, patch=10)
    np.testing.assert_allclose(frame.to_square([[0, 0], [200, 50]]), [[0, 0], [100, 100]])
    assert frame.inside().all()


def test_pooled_is_cls_or_the_mean_without_padding():
    frame = Frame.letterbox((96, 48), side=96, patch=8)  # rows 3 to 8 hold the image
    tokens = torch.full((1, 12, 12, 5), 100.0)
    tokens[:, 3:9] = 2.0
    without = ImageFeatures(patch_tokens=tokens, cls_token=None, frame=frame)
    assert pooled(without).tolist() == [2.0] * 5
    cls = torch.arange(5.0, dtype=torch.float16)
    with_cls = ImageFeatures(patch_tokens=tokens, cls_token=cls, frame=frame)
    assert pooled(with_cls).tolist() == [0, 1, 2, 3, 4]


def test_features_that_do_not_fit_the_grid_are_refused():
    frame = Frame.letterbox((96, 96), side=96, patch=8)
    with pytest.raises(ValueError, match="patch_tokens must be"):
        ImageFeatures(patch_tokens=torch.zeros(1, 11, 12, 5), cls_token=None, frame=frame)
    # Under test the shape checker speaks before our own check does.
    with pytest.raises((ValueError, TypeError), match="cls_token"):
        ImageFeatures(patch_tokens=torch.zeros(1, 12, 12, 5), cls_token=torch.zeros(4), frame=frame)
