"""Image policies keep pixels where they say they do."""

from __future__ import annotations

import numpy as np
from PIL import Image

from vlmbench.models import join, letterbox, prepare
from vlmbench.spec import ImagePolicy


def flat(width: int, height: int, colour: tuple[int, int, int]) -> Image.Image:
    return Image.new("RGB", (width, height), colour)


def test_letterbox_leaves_a_fitting_square_alone(pictures):
    assert letterbox(pictures[0], 32, (0, 0, 0)) is pictures[0]


def test_letterbox_scales_and_centres():
    boxed = np.asarray(letterbox(flat(20, 10, (200, 0, 0)), 40, (1, 2, 3)))
    assert boxed.shape == (40, 40, 3)
    assert (boxed[:10] == (1, 2, 3)).all()
    assert (boxed[30:] == (1, 2, 3)).all()
    assert (boxed[10:30] == (200, 0, 0)).all()


def test_join_is_blinks_layout():
    joined = np.asarray(join([flat(4, 8, (255, 0, 0)), flat(6, 4, (0, 255, 0))], 10))
    assert joined.shape == (8, 20, 3)
    assert (joined[:, 4:14] == 0).all()
    assert (joined[2:6, 14:] == (0, 255, 0)).all()
    assert (joined[:2, 14:] == 0).all()
    assert (joined[6:, 14:] == 0).all()


def test_policy_decides():
    pair = [flat(8, 8, (9, 9, 9)), flat(8, 8, (7, 7, 7))]
    assert prepare(pair, ImagePolicy()) == pair
    (joined,) = prepare(pair, ImagePolicy(several="join", join_margin=0, letterbox=16))
    assert joined.size == (16, 16)
