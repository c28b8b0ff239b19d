"""Outcomes of a model that sees, one that is blind, and one that was hardly run."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vlmbench.diagnostics import (
    Outcome,
    budget,
    certainty,
    consistency,
    contribution,
    dependency,
    late_layers,
    override,
    sensitivity,
)
from vlmbench.types import GROUPS, Stat


def stat(value: float, half: float = 0.04) -> Stat:
    return Stat(value=value, low=value - half, high=value + half, n=150)


def moved(sight: float) -> Outcome:
    found = [dependency.NUMERIC_FLOOR.measured(Stat(value=1e-6, n=60))]
    for against, scale in (("swapped", 1.0), ("scrambled", 0.7), ("blank", 0.6), ("none", 0.6)):
        distance = stat(0.5 * sight * scale, 0.02 * sight)
        found.append(dependency.TOTAL_VARIATION.measured(distance, against=against))
    return Outcome(
        test=dependency.TEST, holds=sight > 0, reason="It moves.", measurements=tuple(found)
    )


def hinted(sight: float) -> Outcome:
    found = []
    for subset, shift in (("all", 0.0), ("encoder right", 0.05), ("own right", 0.12)):
        for x, strength in enumerate(("none", "weak", "medium", "strong", "all")):
            share = 0.5 + 0.45 * sight - (0.14 - 0.08 * sight) * (x % 4) + shift * sight
            measured = stat(min(share, 0.97), 0.03)
            found.append(override.FOLLOWING.measured(measured, strength=strength, of=subset))
    return Outcome(test=override.TEST, holds=sight > 0.5, reason="So.", measurements=tuple(found))


def shared(sight: float) -> Outcome:
    found = []
    for layer in range(13):
        bits = sight * 1.4 * math.exp(-((layer - 7) ** 2) / 12)
        p = 0.002 if bits > 0.2 else 0.4
        null = Stat(value=0.0, low=-0.15, high=0.17, n=150)
        found += [
            consistency.INFORMATION.measured(stat(bits, 0.12), layer=layer),
            consistency.NULL.measured(null, layer=layer),
            consistency.P.measured(Stat(value=p, n=150), layer=layer),
            consistency.CONTROL.measured(stat(0.1 * sight, 0.12), layer=layer),
            consistency.NEAREST_NEIGHBOURS.measured(Stat(value=0.8 * bits, n=150), layer=layer),
        ]
        for of, top in (("last", 0.5), ("image", 0.25)):
            accuracy = stat(0.3 + sight * top * layer / 12, 0.07)
            found.append(late_layers.READOUT.measured(accuracy, layer=layer, of=of))
    found += [
        late_layers.HEAD.measured(Stat(value=0.4, n=150)),
        late_layers.MAJORITY.measured(Stat(value=0.28, n=150)),
        consistency.P_OVER_LAYERS.measured(Stat(value=0.002 if sight else 0.6, n=150)),
    ]
    return Outcome(test=consistency.TEST, holds=sight > 0, reason="So.", measurements=tuple(found))


def damaged(sight: float) -> Outcome:
    found = []
    top = {"mask": 0.5, "crop": 0.42, "colour": 0.12, "blur": 0.4, "noise": 0.33}
    for by, height in top.items():
        for strength in (0.0, 0.25, 0.5, 0.75, 1.0):
            distance = stat(sight * height * strength**0.7, 0.03 * sight * strength)
            found.append(sensitivity.TOTAL_VARIATION.measured(distance, by=by, strength=strength))
        found.append(sensitivity.AREA.measured(stat(sight * height * 0.59, 0.02), by=by))
    holds = None if sight == 0.5 else sight > 0
    return Outcome(test=sensitivity.TEST, holds=holds, reason="So.", measurements=tuple(found))


def informed(sight: float) -> Outcome:
    found = [
        quantity.measured(stat(bits * (1.0 if against == "none" else 0.85), 0.12), against=against)
        for against in ("none", "blank")
        for quantity, bits in (
            (contribution.USABLE, 1.3 * sight - 0.2),
            (contribution.ENTROPY_REDUCTION, 1.5 * sight),
        )
    ]
    return Outcome(test=contribution.TEST, holds=sight > 0, reason="So.", measurements=tuple(found))


def spent(sight: float) -> Outcome:
    found = []
    for group, mass in zip(GROUPS, (0.5, 0.1, 0.15, 0.35), strict=True):
        found.append(budget.UNIFORM.measured(Stat(value=0.6 * mass, n=150), group=group))
        for layer in range(1, 9):
            value = stat(mass + 0.05 * math.sin(layer + 6 * mass), 0.01)
            found.append(budget.ATTENTION.measured(value, group=group, layer=layer))
    for place, slow in (("before", 1.0), ("after", 0.5)):
        for tokens in (0, 64, 256, 1024, 4096):
            left = (120 / (120 + tokens)) ** (0.3 * slow)
            at = {"place": place, "tokens": tokens}
            for quantity, value in (
                (budget.LENGTH, 120.0 + tokens),
                (budget.INFLUENCE, 0.5 * sight * left),
                (budget.IMAGE_ATTENTION, 0.4 * left),
                (budget.IMAGE_UNIFORM, 60 / (120 + tokens)),
            ):
                found.append(quantity.measured(stat(value, 0.02), **at))
            for layer in range(1, 9):
                value = stat((0.4 + 0.1 * math.sin(layer)) * left, 0.01)
                found.append(budget.ATTENTION_BY_LENGTH.measured(value, **at, layer=layer))
    return Outcome(test=budget.TEST, holds=False, reason="So.", measurements=tuple(found))


def all_tests(sight: float) -> tuple[Outcome, ...]:
    made = (moved, hinted, shared, damaged, informed)
    rest = (
        Outcome(test=certainty.TEST, holds=sight > 0, reason="So."),
        spent(sight) if sight else budget.TEST.could_not_run("no internals"),
    )
    return (*(make(sight) for make in made), *rest)


def answers_of(seed: int, choices: int, n: int = 150) -> np.ndarray:
    rates = np.random.default_rng(seed).dirichlet(np.full(choices, 8.0))
    return np.append(rates, 0.0)


@pytest.fixture
def outcomes() -> dict[str, tuple[Outcome, ...]]:
    """All tests by task, from blind to seeing."""
    return {"depth": all_tests(0.0), "object_3d": all_tests(0.5), "naming": all_tests(1.0)}
