"""Rings at known places between pixels, and red things that are no rings."""

from __future__ import annotations

import numpy as np
import pytest
from backgrounds import RED
from rendered import draw_ring, smooth_ring

from vlmbench.annotate._rings import find_rings, redness

SIZE = (96, 80)


def blank() -> np.ndarray:
    return np.full((SIZE[1], SIZE[0], 3), 128, np.uint8)


@pytest.mark.parametrize(
    ("at", "radius", "width"),
    [((40.0, 51.0), 5.0, 2.0), ((40.3, 51.7), 5.0, 2.0), ((38.62, 36.25), 9.4, 2.5),
     ((50.5, 41.5), 14.0, 4.0)],
)  # fmt: skip
def test_a_ring_between_pixels_is_found_there(at, radius, width) -> None:
    red = redness(smooth_ring(SIZE, at, radius, width))
    ring, *_ = find_rings(red, (25, 25, 70, 60), (0.6 * radius, 1.6 * radius))
    assert (ring.x, ring.y) == pytest.approx(at, abs=0.08)
    assert ring.radius == pytest.approx(radius, abs=0.25)
    assert ring.support > 0.95


def test_two_rings_that_overlap_are_two() -> None:
    image = blank()
    for at in ((35, 40), (46, 40)):
        draw_ring(image, at, 8, 3)
    rings = find_rings(redness(image), (20, 25, 65, 55), (6, 11))
    for at in ((35, 40), (46, 40)):
        assert min(np.hypot(ring.x - at[0], ring.y - at[1]) for ring in rings) < 0.4


def test_a_quarter_hidden_ring_keeps_its_centre() -> None:
    image = blank()
    draw_ring(image, (40, 40), 9, 3)
    image[32:42, 40:60] = 0
    ring, *_ = find_rings(redness(image), (25, 25, 60, 55), (6, 13))
    assert np.hypot(ring.x - 40, ring.y - 40) < 0.4
    assert 0.55 < ring.support < 0.9


def test_colours_without_red_rings_have_none() -> None:
    image = np.random.default_rng(0).integers(0, 256, (*SIZE[::-1], 1), dtype=np.uint8)
    assert find_rings(redness(np.repeat(image, 3, axis=2)), (20, 20, 70, 60), (4, 12)) == []
    image = blank()
    image[:, 50:] = RED
    assert all(ring.support < 0.5 for ring in find_rings(redness(image), (20, 20, 70, 60), (4, 12)))


def test_windows_beyond_the_image_hold_nothing() -> None:
    assert find_rings(redness(blank()), (-400, -400, -300, -300), (4, 12)) == []
