"""Plots of the stages: accuracy from the encoder to the answer, and the gap taken apart."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vlmbench.diagnostics.analyses import answer_inside, stages
from vlmbench.report.cards._plots._style import (
    GREY,
    INK,
    LOOKS,
    PALE,
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
from vlmbench.types import Stat

WAY = ("tower", "same", "projector", "language")
"""Parts of the image's way, in order; value vectors stand below their layers."""


@plot_of(stages.ACCURACY)
def stage_curve(outcomes: Outcomes) -> Figure:
    """Draw, per task, what the task's probe gets right at every stage, from left to right."""
    figure, panels = grid(list(outcomes), width=4.2)
    for panel, outcome in zip(panels, outcomes.values(), strict=True):
        start, ticks = 1.0, [(0.0, "best\nview")]
        best = outcome.find(stages.ENCODER_ACCURACY)
        if best is not None:
            curve(panel, [(0.0, best)], LOOKS[3], "encoder's best view")
        for part, look in zip(WAY, (LOOKS[0], LOOKS[3], LOOKS[2], LOOKS[1]), strict=True):
            points = outcome.curve(stages.ACCURACY, "layer", part=part)
            if not points:
                continue
            placed = [(start + i, stat) for i, (_, stat) in enumerate(points)]
            label = {"same": "tower's output, as the model reads it"}.get(part, part)
            curve(panel, placed, look, label)
            ticks.append((start + (len(points) - 1) / 2, part if part != "same" else "same"))
            if part == "language":
                _values(panel, outcome.curve(stages.ACCURACY, "layer", part="value"), start)
            start += len(points)
        said = outcome.find(stages.ANSWER_ACCURACY)
        if said is not None:
            curve(panel, [(start, said)], LOOKS[5], "answer")
            ticks.append((start, "answer"))
        base = outcome.find(stages.CHANCE)
        if base is not None:
            level(panel, base.value, "chance")
        panel.set_xticks([x for x, _ in ticks], [name for _, name in ticks], fontsize=7)
        panel.set_ylim(0, 1)
    label_left(panels, "accuracy")
    legend(figure, panels, columns=4)
    return figure


def _values(panel: Axes, points: list[tuple[float, Stat]], start: float) -> None:
    placed = [(start + layer, stat) for layer, stat in points]
    if placed:
        curve(panel, placed, LOOKS[4], "value vectors")


@plot_of(stages.LOST)
def waterfall(outcomes: Outcomes) -> Figure:
    """Draw, per task, the way from the encoder's accuracy down to the answer's."""
    figure, panels = grid(list(outcomes), width=4.4)
    for panel, outcome in zip(panels, outcomes.values(), strict=True):
        lost = [(str(found.at["of"]), found.stat) for found in outcome.every(stages.LOST)]
        best, said = (outcome.find(of) for of in (stages.ENCODER_ACCURACY, stages.ANSWER_ACCURACY))
        top = 0.0 if best is None else best.value
        names = ["encoder", *(name for name, _ in lost), "answer"]
        panel.bar(0, top, color=LOOKS[0].colour, width=0.7)
        for place, (_, stat) in enumerate(lost, start=1):
            panel.bar(
                place, -stat.value, bottom=top, width=0.7, edgecolor=INK, linewidth=0.7,
                color=PALE if stat.value >= 0 else "white",
                hatch="" if stat.value >= 0 else "////",
            )  # fmt: skip
            panel.errorbar(
                place, top - stat.value, yerr=whiskers([stat.reversed()]), color=INK, capsize=2,
                elinewidth=0.8,
            )  # fmt: skip
            panel.text(
                place, 0.02, f"{stat.value:+.2f}".replace("0.", "."), ha="center", fontsize=7
            )
            top -= stat.value
        panel.bar(
            len(lost) + 1, 0 if said is None else said.value, color=LOOKS[1].colour, width=0.7
        )
        base = outcome.find(stages.CHANCE)
        if base is not None:
            level(panel, base.value, "chance")
        panel.set_xticks(range(len(names)), [n.replace(" ", "\n") for n in names], fontsize=6.5)
        panel.set_ylim(0, 1)
    label_left(panels, "accuracy")
    return figure


@plot_of(answer_inside.INSIDE)
def answer_by_layer(outcomes: Outcomes) -> Figure:
    """Draw, per task, what the last position holds of the answer at every layer."""
    series = (
        (answer_inside.INSIDE, LOOKS[0], "linear readout"),
        (answer_inside.SHUFFLED, LOOKS[5], "shuffled labels"),
        (answer_inside.LENS, LOOKS[1], "logit lens"),
    )
    figure, panels = grid(list(outcomes))
    for panel, outcome in zip(panels, outcomes.values(), strict=True):
        for quantity, look, label in series:
            points = outcome.curve(quantity, "layer")
            if points:
                curve(panel, points, look, label)
        said = outcome.find(answer_inside.SAID)
        if said is not None:
            panel.axhline(said.value, color=GREY, linewidth=1.2, label="answer")
        panel.set_ylim(0, 1)
        panel.set_xlabel("layer (0: embeddings)")
    label_left(panels, "accuracy")
    same_height(panels, low=0.0, high=1.0)
    legend(figure, panels, columns=4)
    return figure
