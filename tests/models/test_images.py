"""Image policies keep pixels where they say they do."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from vlmbench.models import Letterbox, join, prepare
from vlmbench.spec import ImagePolicy


def flat(width: int, height: int, colour: tuple[int, int, int]) -> Image.Image:
    return Image.new("RGB", (width, height), colour)


def test_letterbox_leaves_a_fitting_square_alone(pictures):
    assert Letterbox(side=32).square(pictures[0]) is pictures[0]


@pytest.mark.parametrize("padding", ["square", "even"])
def test_letterbox_pads_and_then_scales(padding):
    """Edges are blended with the padding, as when Pillow scales the padded picture."""
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (10, 20, 3), dtype=np.uint8))
    padded = Image.new("RGB", (20, 20), (1, 200, 3))
    padded.paste(picture, (0, 5))
    box = Letterbox(side=40, fill=(1, 200, 3), padding=padding)
    wanted = padded.resize((40, 40), Image.Resampling.BICUBIC)
    assert np.array_equal(np.asarray(box.square(picture)), np.asarray(wanted))
    assert box.content(picture.size) == (0.0, 10.0, 40.0, 30.0)
    after = Image.new("RGB", (40, 40), (1, 200, 3))  # the control: scaled first
    after.paste(picture.resize((40, 20), Image.Resampling.BICUBIC), (0, 10))
    assert not np.array_equal(np.asarray(after), np.asarray(wanted))


def test_an_odd_pixel_of_padding():
    """A picture of 3 x 6: LLaVA has four columns of padding after it, Prismatic cuts it off."""
    square, even = (Letterbox(side=12, padding=way) for way in ("square", "even"))
    assert square.content((3, 6)) == (2.0, 0.0, 8.0, 12.0)
    # As wide as 1 + 3 + 1, so scaled by 12 / 5 to 12 x 14, of which one row above is cut off.
    x0, y0, x1, y1 = even.content((3, 6))
    assert (x0, x1) == pytest.approx((2.4, 9.6))
    assert (y0, y1) == (-1.0, 13.0)
    assert square.square(flat(3, 6, (9, 9, 9))).size == (12, 12)
    assert even.square(flat(3, 6, (9, 9, 9))).size == (12, 12)


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
