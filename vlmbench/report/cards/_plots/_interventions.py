"""Plots of interventions: attention cut by window, states patched over depth, answers followed."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from vlmbench.diagnostics import Quantity
from vlmbench.diagnostics.analyses import counterfactual, interventions
from vlmbench.report.cards._plots._style import (
    INK,
    LOOKS,
    Outcomes,
    curve,
    grid,
    label_left,
    legend,
    level,
    plot_of,
    same_height,
    whiskers,
)

_WHO = {"last": "last position", "question": "question", "all": "all text"}
_PATCHES = (
    ("image", "other", "image states of another image"),
    ("image", "random", "moved as far in random directions"),
    ("last", "other", "last position's state alone"),
)
_BARS: tuple[tuple[Quantity, dict[str, Any], str], ...] = (
    (counterfactual.BOTH, {"color": "#9db8d6"}, "right with both images"),
    (counterfactual.SAME, {"color": "white", "hatch": "////"}, "same answer to both"),
)


@plot_of(interventions.GOLD)
def knockout_by_window(outcomes: Outcomes) -> Figure:
    """Draw, per task, how p(gold) changes as attention to the image is cut window by window."""
    figure, panels = grid(list(outcomes))
    for panel, outcome in zip(panels, outcomes.values(), strict=True):
        of = max(int(found.at["of"]) for found in outcome.every(interventions.GOLD))
        level(panel, 0.0, "intact")
        for place, (look, (to, label)) in enumerate(zip(LOOKS, _WHO.items(), strict=False)):
            points = outcome.curve(interventions.GOLD, "window", to=to, of=of)
            whole = outcome.find(interventions.GOLD, to=to, window=1, of=1)
            shift = (place - 1) * 0.07
            if points:
                curve(panel, [(x + shift, stat) for x, stat in points], look, label)
            if whole is not None and of > 1:
                curve(panel, [(of + 1 + shift, whole)], look)
        ticks = [*range(1, of + 1), of + 1]
        panel.set_xticks(ticks, [*map(str, range(1, of + 1)), "all"])
        panel.set_xlabel(f"window of layers, of {of}")
    label_left(panels, "change of p(gold)")
    same_height(panels)
    legend(figure, panels, columns=3)
    return figure


@plot_of(interventions.FLIPPED)
def patching_by_depth(outcomes: Outcomes) -> Figure:
    """Draw, per task, the share of answers that patched states change, over their depth."""
    figure, panels = grid(list(outcomes))
    for panel, outcome in zip(panels, outcomes.values(), strict=True):
        for look, (position, source, label) in zip(LOOKS, _PATCHES, strict=False):
            points = outcome.curve(interventions.FLIPPED, "depth", position=position, source=source)
            if points:
                curve(panel, points, look, label)
        panel.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", ".25", ".5", ".75", "1"])
        panel.set_ylim(0, 1)
        panel.set_xlabel("depth (0: first layer's input)")
    label_left(panels, "share of answers changed")
    legend(figure, panels, columns=1)
    return figure


@plot_of(counterfactual.BOTH)
def counterfactual_following(outcomes: Outcomes) -> Figure:
    """Draw, per task, whose answers follow an image drawn with another answer."""
    readouts = {"prompted": "model", "encoder": "encoder"}
    figure, panels = grid(list(outcomes))
    for panel, outcome in zip(panels, outcomes.values(), strict=True):
        for place, (quantity, look, label) in enumerate(_BARS):
            found = [
                (x + (place - 0.5) * 0.36, stat)
                for x, readout in enumerate(readouts)
                if (stat := outcome.find(quantity, readout=readout)) is not None
            ]
            if not found:
                continue
            where, stats = zip(*found, strict=True)
            panel.bar(
                where,
                [stat.value for stat in stats],
                0.32,
                yerr=whiskers(stats),
                label=label,
                edgecolor=INK,
                linewidth=0.7,
                error_kw={"elinewidth": 0.9, "capsize": 2, "ecolor": INK},
                **look,
            )
        panel.set_xticks(range(len(readouts)), list(readouts.values()))
        panel.set_xlim(-0.6, len(readouts) - 0.4)
        panel.set_ylim(0, 1)
    label_left(panels, "share of documents")
    legend(figure, panels, columns=2)
    return figure
