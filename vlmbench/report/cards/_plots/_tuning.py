"""Plots of training: the parts of a model beside each other, and prefixes by their length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vlmbench.diagnostics.analyses import prefix, tuning
from vlmbench.metrics import rate
from vlmbench.report.cards._plots._style import (
    GREY,
    LOOKS,
    Outcomes,
    curve,
    end_labels,
    grid,
    label_left,
    plot_of,
    same_height,
    whiskers,
)
from vlmbench.types import Stat

_ARMS = {tuning.BASE: "un-\ntrained", "tower": "tower", "projector": "pro-\njector",
         "language": "language\nmodel"}  # fmt: skip
_LEVELS = {"encoder": "encoder", "blank": "blind", "chance": "chance"}


@plot_of(tuning.ACCURACY)
def arms(outcomes: Outcomes) -> Figure:
    """Draw, per task, accuracy of the untrained model and of each trained part, and every seed."""
    figure, panels = grid(list(outcomes))
    for panel, outcome in zip(panels, outcomes.values(), strict=True):
        for place, arm in enumerate(_ARMS):
            stat = outcome.find(tuning.ACCURACY, arm=arm)
            if stat is None:
                continue
            look = LOOKS[place]
            panel.errorbar(
                place, stat.value, yerr=whiskers([stat]), marker=look.marker, color=look.colour,
                markerfacecolor="white", markeredgewidth=1.2, elinewidth=0.8, capsize=2,
                markersize=6, zorder=3,
            )  # fmt: skip
            seeds = outcome.curve(tuning.ACCURACY, "seed", arm=arm)
            beside = [place + 0.25] * len(seeds)
            panel.plot(beside, [seed.value for _, seed in seeds], "_", color=GREY, markersize=7)
        panel.set_xlim(-0.5, len(_ARMS) - 0.3)
        panel.set_xticks(range(len(_ARMS)), list(_ARMS.values()))
    _finish(panels, [
        {name: outcome.find(tuning.ACCURACY, arm=name) for name in _LEVELS}
        for outcome in outcomes.values()
    ])  # fmt: skip
    return figure


@plot_of(prefix.ACCURACY)
def prefix_curve(outcomes: Outcomes) -> Figure:
    """Draw, per task, accuracy over the number of learned embeddings before the prompt."""
    figure, panels = grid(list(outcomes))
    for panel, outcome in zip(panels, outcomes.values(), strict=True):
        points = outcome.curve(prefix.ACCURACY, "tokens")
        curve(panel, points, LOOKS[0])
        lengths = [length for length, _ in points]
        panel.set_xticks(lengths, [f"{length:.0f}" for length in lengths])
        panel.set_xlabel("learned embeddings")
    _finish(panels, [
        {name: outcome.find(prefix.LEVEL, of=name) for name in _LEVELS}
        for outcome in outcomes.values()
    ])  # fmt: skip
    return figure


def _finish(panels: Sequence[Axes], levels: Sequence[Mapping[str, Stat | None]]) -> None:
    """Draw what accuracy is to be seen beside, and give all panels one scale."""
    ends = []
    for panel, named in zip(panels, levels, strict=True):
        known = {_LEVELS[name]: stat.value for name, stat in named.items() if stat is not None}
        for value in known.values():
            panel.axhline(value, color=GREY, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
        right = panel.get_xlim()[1]
        ends.append(
            [(right, value, f"{name} {rate(value)}", GREY) for name, value in known.items()]
        )
    label_left(panels, "accuracy")
    same_height(panels)
    for panel, labels in zip(panels, ends, strict=True):
        end_labels(panel, labels)
