"""Plots of answers: which letters are given, and how certain the model is with the image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator
from numpy.typing import NDArray

from vlmbench.metrics import TIE_TOLERANCE, rate
from vlmbench.report.cards._plots._style import (
    GREY,
    INK,
    PALE,
    grid,
    label_left,
    legend,
    same_height,
    settings,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """How often each letter is answered on one task; the last entry is abstention.

    Attributes:
        truth: (choices + 1,) float64, how often each letter is right.
        vision: The model with its images; None if it was not asked so.
        blind: The model with blank images, or None.
    """

    truth: NDArray[np.float64]
    vision: NDArray[np.float64] | None
    blind: NDArray[np.float64] | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Confidence:
    """The largest probability of each document, without and with the image.

    Attributes:
        text: (n,) float64 in [0, 1], from the text alone or with a blank image.
        both: (n,) float64, with the image.
        right: (n,) bool, whether the answer with the image is right.
        without: What stands for no image: "text alone" or "a blank image".
    """

    text: NDArray[np.float64]
    both: NDArray[np.float64]
    right: NDArray[np.bool_]
    without: str


def answer_distributions(tasks: Mapping[str, Answers]) -> Figure | None:
    """Draw, per task, the rates of each letter: with vision, blind, and the truth."""
    if not tasks:
        return None
    with settings():
        figure, panels = grid(list(tasks))
        for panel, answers in zip(panels, tasks.values(), strict=True):
            heights = _used(answers)
            letters = [chr(ord("A") + i) for i in range(len(answers.truth) - 1)] + ["none"]
            letters = letters[: heights.shape[1]]
            x = np.arange(len(letters))
            looks: tuple[tuple[str, dict[str, Any]], ...] = (
                ("truth", {"color": PALE, "edgecolor": INK}),
                ("with the image", {"color": "#1f4e79", "edgecolor": INK}),
                ("blank image", {"color": "white", "edgecolor": INK, "hatch": "////"}),
            )
            for place, (values, (label, look)) in enumerate(zip(heights, looks, strict=True)):
                if np.isnan(values).all():
                    continue
                panel.bar(x + (place - 1) * 0.27, values, 0.27, label=label, linewidth=0.7, **look)
            panel.set_xticks(x, letters)
            panel.tick_params(axis="x", length=0)
            panel.set_ylim(0, float(np.nanmax(heights)) * 1.08)
        same_height(panels, low=0.0)
        label_left(panels, "share of documents")
        legend(figure, panels, columns=3)
    return figure


def _used(answers: Answers) -> NDArray[np.float64]:
    """Return (3, letters) rates, without the column of abstentions if there are none."""
    missing = np.full(len(answers.truth), np.nan)
    rows = [
        answers.truth,
        missing if answers.vision is None else answers.vision,
        missing if answers.blind is None else answers.blind,
    ]
    heights = np.stack(rows)
    if np.nan_to_num(heights[:, -1]).max() == 0:
        heights = heights[:, :-1]
    return heights


def confidence_shift(tasks: Mapping[str, Confidence]) -> Figure | None:
    """Draw each document's confidence with the image over that without it."""
    if not tasks:
        return None
    with settings():
        figure, panels = grid(list(tasks), height=3.1)
        for panel, each in zip(panels, tasks.values(), strict=True):
            low = float(min(each.text.min(), each.both.min())) - 0.03
            panel.plot([low, 1], [low, 1], color=GREY, linewidth=0.9, linestyle=(0, (2, 2)))
            for held, label, marker, colour in (
                (each.right, "right with the image", "o", "#1f4e79"),
                (~each.right, "wrong with the image", "x", "#b8450b"),
            ):
                panel.scatter(
                    each.text[held],
                    each.both[held],
                    s=15,
                    marker=marker,
                    facecolors="none" if marker == "o" else colour,
                    edgecolors=colour if marker == "o" else None,
                    linewidths=0.9,
                    alpha=0.75,
                    label=label,
                    clip_on=False,
                )
            panel.set_xlim(low, 1.02)
            panel.set_ylim(low, 1.02)
            panel.set_aspect("equal")
            for axis in (panel.xaxis, panel.yaxis):
                axis.set_major_locator(MultipleLocator(0.2 if low < 0.6 else 0.1))
            surer = float((each.both >= each.text - TIE_TOLERANCE).mean())
            panel.set_xlabel(
                f"confidence with {each.without}\n(share at least as certain: {rate(surer, 2)})"
            )
        label_left(panels, "confidence with the image")
        legend(figure, panels, columns=2)
    return figure
