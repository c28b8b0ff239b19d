"""Plots of the inside: what image and text states share, and where attention goes."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from vlmbench.diagnostics import budget, consistency, late_layers
from vlmbench.metrics import p_value
from vlmbench.report.cards._plots._style import (
    GREY,
    LOOKS,
    PALE,
    Outcomes,
    curve,
    grid,
    label_left,
    legend,
    level,
    over_layers,
    plot_of,
    same_height,
)
from vlmbench.types import GROUPS


@plot_of(consistency.INFORMATION)
def consistency_by_layer(outcomes: Outcomes) -> Figure:
    """Draw, per task, what image and text states share, with its null band and its control."""
    figure, panels = grid(list(outcomes))
    for panel, outcome in zip(panels, outcomes.values(), strict=True):
        points = outcome.curve(consistency.INFORMATION, "layer")
        layers = [layer for layer, _ in points]
        nulls = [null for _, null in outcome.curve(consistency.NULL, "layer")]
        if len(nulls) == len(layers):
            panel.fill_between(
                layers,
                [null.low for null in nulls],
                [null.high for null in nulls],
                facecolor=PALE,
                edgecolor=GREY,
                linewidth=0.6,
                hatch="....",
                label="null: documents shuffled (95%)",
            )
        over_layers(panel, points, LOOKS[0], "measured")
        control = outcome.curve(consistency.CONTROL, "layer")
        over_layers(panel, control, LOOKS[1], "control: text about a blank image")
        p = outcome.find(consistency.P_OVER_LAYERS)
        below = "" if p is None else f"\np over layers: {p_value(p.value)}"
        panel.set_xlabel(f"layer (0: embeddings, not counted){below}")
    label_left(panels, "shared information (bits)")
    same_height(panels, high=0.3)
    legend(figure, panels, columns=2)
    return figure


@plot_of(late_layers.READOUT)
def readout_by_layer(outcomes: Outcomes) -> Figure:
    """Draw, per task, what a linear readout of each layer gets right, next to the model's head."""
    figure, panels = grid(list(outcomes))
    for panel, outcome in zip(panels, outcomes.values(), strict=True):
        for look, of, label in zip(
            LOOKS, ("last", "image"), ("last position", "mean over the image"), strict=False
        ):
            over_layers(panel, outcome.curve(late_layers.READOUT, "layer", of=of), look, label)
        head = outcome.find(late_layers.HEAD)
        base = outcome.find(late_layers.MAJORITY)
        for stat, label, line in ((head, "the model's head", "-"), (base, "majority", ":")):
            if stat is not None:
                panel.axhline(stat.value, color=GREY, linewidth=1.2, linestyle=line, label=label)
        panel.set_ylim(0, 1)
        panel.set_xlabel("layer (0: embeddings)")
    label_left(panels, "accuracy")
    legend(figure, panels, columns=4)
    return figure


@plot_of(budget.ATTENTION)
def attention_by_layer(outcomes: Outcomes) -> Figure:
    """Draw, per task, the attention that the prompt's last position gives to each token group."""
    figure, panels = grid(list(outcomes))
    for panel, outcome in zip(panels, outcomes.values(), strict=True):
        for look, group in zip(LOOKS, GROUPS, strict=False):
            points = outcome.curve(budget.ATTENTION, "layer", group=group)
            over_layers(panel, points, look, group)
        uniform = outcome.find(budget.UNIFORM, group="image")
        if uniform is not None:
            level(panel, uniform.value, "image if\nuniform")
        panel.set_ylim(0, 1)
        panel.set_xlabel("layer")
    label_left(panels, "share of attention")
    legend(figure, panels, columns=4)
    return figure


@plot_of(budget.ATTENTION_BY_LENGTH)
def attention_by_filler(outcomes: Outcomes) -> Figure:
    """Draw, per task, attention to the image by layer, a curve for each length of filler."""
    figure, panels = grid(list(outcomes))
    for panel, outcome in zip(panels, outcomes.values(), strict=True):
        places = {str(found.at["place"]) for found in outcome.every(budget.ATTENTION_BY_LENGTH)}
        place = "before" if "before" in places else min(places)
        lengths = {
            int(found.at["tokens"])
            for found in outcome.every(budget.ATTENTION_BY_LENGTH, place=place)
        }
        for look, tokens in zip(LOOKS, sorted(lengths), strict=False):
            label = f"{tokens} tokens of filler" if tokens else "no filler"
            points = outcome.curve(budget.ATTENTION_BY_LENGTH, "layer", place=place, tokens=tokens)
            over_layers(panel, points, look, label)
        panel.set_xlabel(f"layer (filler {place} the image)")
    label_left(panels, "attention to the image")
    same_height(panels, low=0.0, high=0.1)
    legend(figure, panels, columns=3)
    return figure


@plot_of(budget.IMAGE_ATTENTION)
def budget_by_length(outcomes: Outcomes) -> Figure:
    """Draw, per task, influence of, attention to, and tokens of the image over prompt length."""
    series = (
        (budget.INFLUENCE, "before", LOOKS[0], "influence (TV), filler before"),
        (budget.INFLUENCE, "after", LOOKS[1], "influence (TV), filler after"),
        (budget.IMAGE_ATTENTION, "before", LOOKS[2], "attention to image, filler before"),
        (budget.IMAGE_ATTENTION, "after", LOOKS[3], "attention to image, filler after"),
        (budget.IMAGE_UNIFORM, "before", LOOKS[5], "image's share of all tokens"),
    )
    figure, panels = grid(list(outcomes))
    for panel, outcome in zip(panels, outcomes.values(), strict=True):
        for quantity, place, look, label in series:
            lengths = outcome.curve(budget.LENGTH, "tokens", place=place)
            points = outcome.curve(quantity, "tokens", place=place)
            if points:
                x = [stat.value for _, stat in lengths]
                curve(panel, list(zip(x, (stat for _, stat in points), strict=True)), look, label)
        panel.set_xscale("log", base=2)
        panel.xaxis.set_major_formatter(ScalarFormatter())
        panel.set_xlabel("tokens of the prompt")
    label_left(panels, "share, or TV")
    same_height(panels, low=0.0, high=0.1)
    legend(figure, panels, columns=2)
    return figure
