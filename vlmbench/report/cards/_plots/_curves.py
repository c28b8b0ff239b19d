"""Plots of doses: hints against the image, and damage done to the image."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vlmbench.diagnostics import WITHOUT, Measured, contribution, override, sensitivity
from vlmbench.metrics import rate
from vlmbench.report.cards._plots._style import (
    INK,
    LOOKS,
    PALE,
    Look,
    Outcomes,
    curve,
    end_labels,
    grid,
    label_left,
    legend,
    level,
    plot_of,
    same_height,
    whiskers,
)

STRENGTHS = ("none", *override.STRENGTHS)


@plot_of(override.FOLLOWING)
def dose_curve(outcomes: Outcomes) -> Figure:
    """Draw, per task, the share of documents that follow the image over the hint's strength."""
    subsets = ("all", "encoder right", "own right")
    labels = ("all documents", "encoder right", "model right without hint")
    figure, panels = grid(list(outcomes))
    for panel, outcome in zip(panels, outcomes.values(), strict=True):
        level(panel, 0.5, "even")
        for place, (subset, label) in enumerate(zip(subsets, labels, strict=True)):
            found = [
                (x + (place - 1) * 0.07, stat)
                for x, strength in enumerate(STRENGTHS)
                if (stat := outcome.find(override.FOLLOWING, strength=strength, of=subset))
            ]
            if found:
                curve(panel, found, LOOKS[place], label)
        panel.set_xticks(range(len(STRENGTHS)), STRENGTHS)
        panel.set_xlim(-0.25, len(STRENGTHS) - 0.75)
        panel.set_ylim(0, 1.0)
        panel.set_xlabel("strength of the wrong hint")
    label_left(panels, override.FOLLOWING.name)
    legend(figure, panels, columns=3)
    return figure


@plot_of(sensitivity.AREA)
def sensitivity_curves(outcomes: Outcomes) -> Figure:
    """Draw, per task, how far the answer moves over the strength of each perturbation."""
    kinds = dict.fromkeys(
        str(found.at["by"])
        for outcome in outcomes.values()
        for found in outcome.every(sensitivity.AREA)
    )
    looks = dict(zip(kinds, itertools.cycle(LOOKS)))
    figure, panels = grid(list(outcomes))
    labels = []
    for panel, outcome in zip(panels, outcomes.values(), strict=True):
        ends = [
            end for kind, look in looks.items() if (end := _sensitivity(panel, outcome, kind, look))
        ]
        panel.set_xticks(np.linspace(0, 1, 5), ("0", ".25", ".5", ".75", "1"))
        panel.set_xlim(0, max((x for x, *_ in ends), default=1.0))
        panel.set_xlabel("strength")
        labels.append(ends)
    label_left(panels, "movement of the answer (TV)")
    same_height(panels, low=0.0, high=0.05)
    for panel, ends in zip(panels, labels, strict=True):
        end_labels(panel, ends)
    # A legend without handles: a line of text that the layout leaves room for.
    note = "Next to each name: the area under its curve."
    figure.legend([], [], title=note, loc="outside upper left", frameon=False, title_fontsize=8.5)
    return figure


def _sensitivity(
    panel: Axes, outcome: Measured, kind: str, look: Look
) -> tuple[float, float, str, str] | None:
    """Draw one kind's curve; return its end's label."""
    points = outcome.curve(sensitivity.TOTAL_VARIATION, "strength", by=kind)
    if not points:
        return None
    curve(panel, points, look)
    area = outcome.find(sensitivity.AREA, by=kind)
    text = kind if area is None else f"{kind} {rate(area.value, 2)}"
    x, stat = points[-1]
    return x, stat.value, text, look.colour


@plot_of(contribution.USABLE)
def information_bars(outcomes: Outcomes) -> Figure:
    """Draw, per task, what the image adds in bits: entropy taken away, and usable information."""
    rows = (contribution.USABLE, contribution.ENTROPY_REDUCTION)
    looks: tuple[dict[str, Any], ...] = ({"color": "#9db8d6"}, {"color": "white", "hatch": "////"})
    figure, panels = grid(list(outcomes), height=2.1)
    for panel, outcome in zip(panels, outcomes.values(), strict=True):
        for place, ((against, words), look) in enumerate(zip(WITHOUT.items(), looks, strict=True)):
            found = [
                (row + (place - 0.5) * 0.36, stat)
                for row, quantity in enumerate(rows)
                if (stat := outcome.find(quantity, against=against))
            ]
            if not found:
                continue
            y, stats = zip(*found, strict=True)
            panel.barh(
                y,
                [stat.value for stat in stats],
                0.32,
                xerr=whiskers(stats),
                label=f"against {words}",
                edgecolor=INK,
                linewidth=0.7,
                error_kw={"elinewidth": 0.9, "capsize": 2, "ecolor": INK},
                **look,
            )
        panel.axvline(0, color=INK, linewidth=0.9)
        panel.set_yticks(range(len(rows)), [quantity.name.replace(" ", "\n") for quantity in rows])
        panel.tick_params(axis="y", length=0)
        panel.invert_yaxis()
        panel.margins(x=0.08)
        panel.set_xlabel("bits")
        panel.grid(axis="x", color=PALE, linewidth=0.6)
        panel.set_axisbelow(True)
    lows, highs = zip(*(panel.get_xlim() for panel in panels), strict=True)
    for panel in panels:
        panel.set_xlim(min(lows), max(highs))
    legend(figure, panels, columns=2)
    return figure
