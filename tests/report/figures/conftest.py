"""Outcomes of a model that sees, one that is blind, and one that was hardly run."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vlmbench.diagnostics import Finding, Outcome
from vlmbench.types import Stat


def stat(value: float, half: float = 0.04) -> Stat:
    return Stat(value=value, low=value - half, high=value + half, n=150)


def dependency(sight: float) -> Outcome:
    found = [
        Finding(test="dependency", figure="numeric floor", stat=Stat(value=1e-6, n=60), unit="TV")
    ]
    for against, scale in (("swapped", 1.0), ("scrambled", 0.7), ("blank", 0.6), ("none", 0.6)):
        found.append(
            Finding(
                test="dependency",
                figure="total variation",
                at={"against": against},
                stat=stat(0.5 * sight * scale, 0.02 * sight),
                unit="TV",
            )
        )
    return Outcome(test="dependency", holds=sight > 0, reason="It moves.", findings=tuple(found))


def override(sight: float) -> Outcome:
    found = []
    for subset, shift in (("all", 0.0), ("encoder right", 0.05), ("own right", 0.12)):
        for x, strength in enumerate(("none", "weak", "medium", "strong", "all")):
            share = 0.5 + 0.45 * sight - (0.14 - 0.08 * sight) * (x % 4) + shift * sight
            found.append(
                Finding(
                    test="override",
                    figure="share following the image",
                    at={"strength": strength, "of": subset},
                    stat=stat(min(share, 0.97), 0.03),
                    unit="share",
                )
            )
    return Outcome(test="override", holds=sight > 0.5, reason="So.", findings=tuple(found))


def consistency(sight: float) -> Outcome:
    found = []
    for layer in range(13):
        bits = sight * 1.4 * math.exp(-((layer - 7) ** 2) / 12)
        at = {"layer": layer}
        p = 0.002 if bits > 0.2 else 0.4
        for figure, measured, unit in (
            ("information", stat(bits, 0.12), "bits"),
            ("permutation null", Stat(value=0.0, low=-0.15, high=0.17, n=150), "bits"),
            ("p", Stat(value=p, n=150), "p"),
            ("information by nearest neighbours", Stat(value=0.8 * bits, n=150), "bits"),
        ):
            found.append(
                Finding(test="consistency", figure=figure, at=at, stat=measured, unit=unit)
            )
    for layer in range(13):
        for of, top in (("last", 0.5), ("image", 0.25)):
            accuracy = 0.3 + sight * top * layer / 12
            found.append(
                Finding(
                    test="consistency",
                    figure="linear readout of the answer",
                    at={"layer": layer, "of": of},
                    stat=stat(accuracy, 0.07),
                    unit="accuracy",
                )
            )
    for figure, value in (("accuracy of the language-model head", 0.4), ("majority", 0.28)):
        measured = Stat(value=value, n=150)
        found.append(Finding(test="consistency", figure=figure, stat=measured, unit="accuracy"))
    p = Stat(value=0.002 if sight else 0.6, n=150)
    found.append(Finding(test="consistency", figure="p over layers", stat=p, unit="p"))
    return Outcome(test="consistency", holds=sight > 0, reason="So.", findings=tuple(found))


def sensitivity(sight: float) -> Outcome:
    found = []
    top = {"mask": 0.5, "crop": 0.42, "colour": 0.12, "blur": 0.4, "noise": 0.33}
    for by, height in top.items():
        for strength in (0.0, 0.25, 0.5, 0.75, 1.0):
            found.append(
                Finding(
                    test="sensitivity",
                    figure="total variation",
                    at={"by": by, "strength": strength},
                    stat=stat(sight * height * strength**0.7, 0.03 * sight * strength),
                    unit="TV",
                )
            )
        area = stat(sight * height * 0.59, 0.02)
        found.append(
            Finding(test="sensitivity", figure="area", at={"by": by}, stat=area, unit="TV")
        )
    return Outcome(
        test="sensitivity", holds=None if sight == 0.5 else sight > 0, reason="So.",
        findings=tuple(found),
    )  # fmt: skip


def contribution(sight: float) -> Outcome:
    found = [
        Finding(
            test="contribution",
            figure=figure,
            at={"against": against},
            stat=stat(bits * (1.0 if against == "none" else 0.85), 0.12),
            unit="bits",
        )
        for against in ("none", "blank")
        for figure, bits in (
            ("usable information", 1.3 * sight - 0.2),
            ("entropy reduction", 1.5 * sight),
        )
    ]
    return Outcome(test="contribution", holds=sight > 0, reason="So.", findings=tuple(found))


def budget(sight: float) -> Outcome:
    found = []
    for group, mass in (("image", 0.5), ("regions", 0.1), ("choices", 0.15), ("text", 0.35)):
        uniform = Stat(value=0.6 * mass, n=150)
        at = {"group": group}
        found.append(
            Finding(test="budget", figure="uniform share", at=at, stat=uniform, unit="share")
        )
        for layer in range(1, 9):
            value = mass + 0.05 * math.sin(layer + 6 * mass)
            found.append(
                Finding(
                    test="budget",
                    figure="attention mass",
                    at={"group": group, "layer": layer},
                    stat=stat(value, 0.01),
                    unit="share",
                )
            )
    for place, slow in (("before", 1.0), ("after", 0.5)):
        for tokens in (0, 64, 256, 1024, 4096):
            left = (120 / (120 + tokens)) ** (0.3 * slow)
            at = {"place": place, "tokens": tokens}
            for figure, value in (
                ("length of the prompt", 120.0 + tokens),
                ("influence", 0.5 * sight * left),
                ("image mass", 0.4 * left),
                ("uniform image share", 60 / (120 + tokens)),
            ):
                found.append(
                    Finding(test="budget", figure=figure, at=at, stat=stat(value, 0.02), unit="x")
                )
            for layer in range(1, 9):
                value = (0.4 + 0.1 * math.sin(layer)) * left
                found.append(
                    Finding(
                        test="budget",
                        figure="attention mass by length",
                        at={**at, "layer": layer},
                        stat=stat(value, 0.01),
                        unit="share",
                    )
                )
    return Outcome(test="budget", holds=False, reason="So.", findings=tuple(found))


def seven(sight: float) -> tuple[Outcome, ...]:
    made = (dependency, override, consistency, sensitivity, contribution)
    rest = (
        Outcome(test="certainty", holds=sight > 0, reason="So."),
        budget(sight)
        if sight
        else Outcome(test="budget", holds=None, reason="Could not be run: no internals."),
    )
    return (*(make(sight) for make in made), *rest)


def answers_of(seed: int, choices: int, n: int = 150) -> np.ndarray:
    rates = np.random.default_rng(seed).dirichlet(np.full(choices, 8.0))
    return np.append(rates, 0.0)


@pytest.fixture
def outcomes() -> dict[str, tuple[Outcome, ...]]:
    """The seven tests by task, from blind to seeing."""
    return {"depth": seven(0.0), "object_3d": seven(0.5), "naming": seven(1.0)}
