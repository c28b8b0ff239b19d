"""Reading white letters on black boxes, at every size and at every border."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from rendered import Pen, draw_label

from vlmbench.annotate._glyphs import LABELS
from vlmbench.annotate._labels import find_labels


@pytest.mark.parametrize("style", ["opencv", "pillow"])
@pytest.mark.parametrize("scale", [0.8, 1.0, 1.7, 3.0, 4.8])
@pytest.mark.parametrize("shade", [0, 70, 255])
def test_labels_are_read_on_any_background(style, scale, shade) -> None:
    for label in LABELS:
        image = Image.new("RGB", (220, 220), (shade,) * 3)
        draw_label(image, Pen(style=style, scale=scale), label, (110, 180))
        found = find_labels(np.asarray(image))
        assert [one.reading.label for one in found] == [label]
        assert found[0].reading.margin > 0
        assert found[0].centre == pytest.approx(110, abs=2 * scale + 1)


@pytest.mark.parametrize("word", ["E", "K", "R", "7", "EXIT", "S"])
def test_other_words_are_not_labels(word) -> None:
    image = Image.new("RGB", (120, 60))
    ImageDraw.Draw(image).text((30, 20), word, font=ImageFont.load_default(size=18), fill="white")
    assert all(
        one.reading.margin < 0.0 or one.reading.match < 0.7
        for one in find_labels(np.asarray(image))
    )


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_a_plain_image_has_no_label(shade) -> None:
    assert find_labels(np.full((40, 50, 3), shade, np.uint8)) == []
