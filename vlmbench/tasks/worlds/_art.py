"""Art style: which of two images is drawn in the style of the reference image?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vlmbench.tasks.worlds._mesh import Floats
from vlmbench.tasks.worlds._random import random_scene
from vlmbench.tasks.worlds._render import render
from vlmbench.tasks.worlds._world import Draw, Row, World

QUESTION = (
    "The first image is the reference. Which image is drawn in the same style as the reference "
    "image: the second or the third?"
)

# What looks alike: the harder, the more often the wrong image comes from the same family.
_FAMILIES = (
    ("hatching", "engraving", "woodcut"),
    ("pointillism", "mosaic"),
    ("poster", "watercolour", "oil"),
)

STYLE_NAMES: tuple[str, ...] = tuple(name for family in _FAMILIES for name in family)


def _other_style(draw: Draw, style: str, styles: Sequence[str]) -> str:
    """Draw a wrong one of `styles`."""
    kin = next(family for family in _FAMILIES if style in family)
    close = draw.rng.random() < draw.difficulty
    pool = [name for name in styles if name != style and (name in kin) == close]
    return str(pool[draw.rng.integers(len(pool))])


def scene_tone(rng: np.random.Generator) -> Floats:
    """(h, w) tones of a random scene, stretched over [0, 1]."""
    rgb = render(random_scene(rng, things=(2, 4)), smooth=False).rgb
    tone = rgb @ np.array([0.299, 0.587, 0.114])
    low, high = np.percentile(tone, [2, 98])
    return np.asarray(np.clip((tone - low) / max(high - low, 1.0), 0, 1))


def _row(draw: Draw) -> Row:
    return _with_reference(draw, swapped=False)


def _restyled(draw: Draw) -> Row:
    """Draw the same images with the reference in the style of the image that was wrong."""
    return {**_with_reference(draw, swapped=True), "gold": 1 - draw.gold}


def _with_reference(draw: Draw, *, swapped: bool) -> Row:
    """Draw a document; `swapped` gives the reference the other of the two styles.

    Its content and its palette stay, and so do the other images.
    """
    from vlmbench.tasks.worlds._style import STYLES, paint  # loads scipy

    rng, known = draw.rng, tuple(STYLES)
    style = known[rng.integers(len(known))]
    other = _other_style(draw, style, known)
    shown = [style, other] if draw.gold == 0 else [other, style]
    reference = other if swapped else style
    images = [paint(rng, scene_tone(rng), style, instead=reference)]
    images += [paint(rng, scene_tone(rng), name) for name in shown]
    return {
        "question": QUESTION,
        "choices": ["the second image", "the third image"],
        **{f"image_{i + 1}": image for i, image in enumerate(images)},
        "styles": [reference, *shown],
    }


ART_STYLE = World(
    name="art_style",
    version=1,
    summary="Which of two images is in the style of the reference?",
    n_choices=2,
    images=3,
    variants=1,
    columns={"image_1": "image", "image_2": "image", "image_3": "image", "styles": "strings"},
    row=_row,
    counterfactual=_restyled,
)
