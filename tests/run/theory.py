"""What theory says of the closed-form models of `corners.py`, number by number.

What a seer is sure of: sigma(w) = p(brightest) at weight w of the image, the others sharing the
rest alike. All stated numbers follow from it; see `expected`.
"""

from __future__ import annotations

import math

import corners
import numpy as np

from vlmbench.diagnostics import (
    Quantity,
    Test,
    budget,
    certainty,
    consistency,
    contribution,
    dependency,
    late_layers,
    override,
    sensitivity,
)

CLEAR = 0.7
CHANNEL = 0.75 * math.log(CLEAR / 0.1)
"""Sight at which a reader of the blue corner is the optimal one of that symmetric channel."""
MODELS = {
    "blind": {"sight": 0.0, "trust": 2.0, "lean": 0.5, "fused": False, "attention": 0.0},
    "oracle": {"sight": 6.0, "fused": True, "attention": 0.5},
    "follower": {"sight": 3.0, "trust": 10.0, "fused": True, "attention": 0.2},
    "channel": {"sight": CHANNEL, "channel": "blue", "fused": True, "attention": 0.5},
    "starved": {"sight": 3.0, "starved": True, "fused": True},
}
HINT_WORDS = {"weak": 14, "medium": 11, "strong": 13}
HINT_STRENGTH = {"weak": 1.0, "medium": 2.0, "strong": 4.0}
FILLERS = {0: 0, 64: 48, 256: 192, 1024: 768}
"""Words of a filler by its nominal tokens."""

Known = tuple[Quantity, dict[str, object], float]
"""A quantity, where it is measured, and its value."""


def sigma(model: str, weight: float = 1.0) -> float:
    return 1 / (1 + 3 * math.exp(-4 / 3 * MODELS[model]["sight"] * weight))


def shift(model: str, weight: float = 1.0) -> float:
    """Return the total variation between two images that are brightest in different corners."""
    p = sigma(model, weight)
    return p - (1 - p) / 3


def entropy(p: float) -> float:
    return -p * math.log2(p) - (1 - p) * math.log2((1 - p) / 3)


def slope(values: dict[int, float]) -> float:
    """Return the least-squares slope over log2 of the whole prompt's tokens."""
    x = [math.log2(corners.LENGTH + FILLERS[tokens]) for tokens in values]
    return float(np.polyfit(x, list(values.values()), 1)[0])


def expected(model: str) -> dict[Test, list[Known]]:
    """Return what theory says about a model, by test."""
    moved, informed, surer = without_the_image(model)
    return {
        dependency.TEST: [*moved, *against_another_image(model)],
        override.TEST: against_hints(model),
        consistency.TEST: shared(model),
        sensitivity.TEST: under_damage(model),
        contribution.TEST: informed,
        certainty.TEST: surer,
        budget.TEST: [
            *within(model),
            *under_filler(model, "before"),
            *under_filler(model, "after"),
        ],
    }


def against_another_image(model: str) -> list[Known]:
    """Of the images that others have, three in four are brightest in another corner."""
    sees = MODELS[model]["sight"] > 0
    return [
        (dependency.NUMERIC_FLOOR, {}, 1e-6),
        (dependency.TOTAL_VARIATION, {"against": "swapped"}, 0.75 * shift(model) if sees else 0.0),
        (dependency.FLIP_RATE, {"against": "swapped"}, 0.75 if sees else 0.0),
    ]


def accuracy(model: str) -> float:
    return CLEAR if model == "channel" else 1.0 if MODELS[model]["sight"] > 0 else 0.25


def without_the_image(model: str) -> tuple[list[Known], list[Known], list[Known]]:
    """Three tests against no image and a blank one, where seers give each choice 1/4.

    The image's own bits are log2 K less the residual; for the optimal reader of a channel they are
    the channel's mutual information, log2 K - H(noise). The text of a model that leans on (A) has
    bits of its own, negative ones, since every letter is right as often.
    """
    p, sees, noisy = sigma(model), MODELS[model]["sight"] > 0, model == "channel"
    lean = MODELS[model].get("lean", 0.0)
    guess = math.exp(lean) / (math.exp(lean) + 3)
    bits = (2 - entropy(CLEAR) if noisy else 2 + math.log2(p)) if sees else 0.0
    reduction = 2 - entropy(p) if sees else 0.0
    spoken = 2 + (lean / 4 - math.log(math.exp(lean) + 3)) / math.log(2)
    moved, right = p - 0.25 if sees else 0.0, accuracy(model)
    dependent, informed, surer = [], [], []
    for against in ("none", "blank"):
        at = {"against": against}
        # A tie of four answers is shared, so the answer moves by three quarters.
        dependent += [
            (dependency.TOTAL_VARIATION, at, moved),
            (dependency.FLIP_RATE, at, 0.75 if sees else 0.0),
        ]
        informed += [
            (contribution.USABLE, at, bits),
            (contribution.ENTROPY_REDUCTION, at, reduction),
            (contribution.USABLE_TEXT, at, spoken),
            (contribution.PER_IMAGE_TOKEN, at, bits / corners.IMAGE_TOKENS),
        ]
        surer += [
            (certainty.AT_LEAST_AS_CERTAIN, at, 1.0),
            (certainty.CONFIDENCE_CHANGE, at, moved),
            (certainty.ACCURACY_WITH, at, right),
            (certainty.ACCURACY_WITHOUT, at, 0.25),
            (certainty.ACCURACY_CHANGE, at, right - 0.25),
            (certainty.CALIBRATION_WITHOUT, at, guess - 0.25),
        ]
        if not noisy:  # whose error is 0 exactly, where no interval of an absolute value reaches
            error = right - p if sees else guess - 0.25
            surer.append((certainty.CALIBRATION_WITH, at, error))
    return dependent, informed, surer


def against_hints(model: str) -> list[Known]:
    """log p(gold) / p(hinted) is the contrast's part less what the hint adds.

    A channel's symbol is gold in 7 of 10 documents and the hinted choice in 1; else it is neither,
    and the two are level. Hints are words too, which starve a model a little.
    """
    weights = MODELS[model]
    noisy, trust = model == "channel", weights.get("trust", 0.0)
    gap = 4 / 3 * weights["sight"] * (CLEAR - 0.1 if noisy else 1.0)
    share = 0.0 if trust else CLEAR + 0.1 if noisy else 1.0
    odds = {
        strength: gap * weight_under(model, words) - trust * HINT_STRENGTH[strength]
        for strength, words in HINT_WORDS.items()
    }
    odds["all"] = sum(odds.values()) / len(odds)
    found: list[Known] = []
    for strength, value in odds.items():
        at = {"strength": strength, "of": "all"}
        found += [(override.FOLLOWING, at, share), (override.LOG_ODDS, at, value)]
    return found


def shared(model: str) -> list[Known]:
    """Gaussian latents of known correlation, from the first layer on."""
    known = -corners.LATENTS / 2 * math.log2(1 - corners.CORRELATION**2)
    found: list[Known] = [(late_layers.HEAD, {}, accuracy(model))]
    for layer in range(corners.LAYERS + 1):
        value = known if MODELS[model]["fused"] and layer else 0.0
        found.append((consistency.INFORMATION, {"layer": layer}, value))
    return found


def under_damage(model: str) -> list[Known]:
    """Strength 0 is exactly 0; a mask on the squares leaves the surround's part of contrasts."""
    left = 0.75 * corners.SURROUND[0] / corners.FULL
    effect = sigma(model) - sigma(model, left)
    found: list[Known] = [(sensitivity.MASK_EFFECT, {"where": "regions", "of": "TV"}, effect)]
    for by in ("mask", "crop", "colour", "blur", "noise"):
        found.append((sensitivity.TOTAL_VARIATION, {"by": by, "strength": 0.0}, 0.0))
        if MODELS[model]["sight"] == 0:
            found.append((sensitivity.AREA, {"by": by}, 0.0))
    return found


def weight_under(model: str, words: int) -> float:
    """Return the image's weight with so many words more."""
    starved = MODELS[model].get("starved", False)
    return corners.LENGTH / (corners.LENGTH + words) if starved else 1.0


def mass_under(model: str, words: int) -> float:
    """Return the attention on the image: fixed, or as uniform as tokens are many."""
    uniform = corners.IMAGE_TOKENS / (corners.LENGTH + words)
    return MODELS[model].get("attention", uniform)


def within(model: str) -> list[Known]:
    """Attention without filler; the four squares are a quarter of the image."""
    mass = mass_under(model, 0)
    return [
        (budget.UNIFORM, {"group": "image"}, corners.IMAGE_TOKENS / corners.LENGTH),
        (budget.ATTENTION, {"group": "image", "layer": 2}, mass),
        (budget.ATTENTION, {"group": "regions", "layer": 2}, mass / 4),
    ]


def under_filler(model: str, place: str) -> list[Known]:
    """Influence and attention by length, their slopes, and what is lost at the longest."""
    sees = MODELS[model]["sight"] > 0
    influence, mass = {}, {}
    found: list[Known] = []
    for tokens, words in FILLERS.items():
        influence[tokens] = 0.75 * shift(model, weight_under(model, words)) if sees else 0.0
        mass[tokens] = mass_under(model, words)
        at = {"place": place, "tokens": tokens}
        found += [
            (budget.LENGTH, at, corners.LENGTH + words),
            (budget.IMAGE_ATTENTION, at, mass[tokens]),
            (budget.INFLUENCE, at, influence[tokens]),
            (budget.ACCURACY, at, accuracy(model)),
        ]
    at = {"place": place}
    found += [
        (budget.per_doubling(budget.INFLUENCE), at, slope(influence)),
        (budget.per_doubling(budget.IMAGE_ATTENTION), at, slope(mass)),
    ]
    if sees:
        found.append((budget.LOST, at, 1 - influence[1024] / influence[0]))
    return found
