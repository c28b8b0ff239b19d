"""Plot of prompts: what a model gets right under every form of one question."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vlmbench.diagnostics import Measured
from vlmbench.diagnostics.analyses import prompts
from vlmbench.report.cards._plots._style import (
    GREY,
    LOOKS,
    Look,
    Outcomes,
    grid,
    legend,
    plot_of,
    whiskers,
)
from vlmbench.types import Stat

_FORMS = {
    "as the task asks": (prompts.PLAIN,),
    "other words": ("paraphrase",),
    "choices in another order": ("order",),
    "letters or texts": ("letters", "texts"),
    "other markers": ("markers",),
}
"""Kinds of form, by what the legend calls them."""

_DERIVED = {
    "mean over orders": prompts.ROBUST,
    "minus letters' prior": prompts.UNPRIMED,
    "best, cross-fitted": prompts.BEST,
}
"""Numbers that several forms make together, by what their row is called."""

_LEVELS: dict[str, tuple[Any, Any]] = {
    "chance": (prompts.CHANCE, (0, (1, 1.2))),
    "encoder": (prompts.ENCODER_ACCURACY, "-"),
}
"""Vertical lines: what is drawn, and how."""

_GAP = 0.6  # between groups, in rows


@plot_of(prompts.ACCURACY)
def accuracy_by_prompt(outcomes: Outcomes) -> Figure:
    """Draw, per task, the accuracy of each form of the question, with the encoder and chance."""
    groups = {task: list(_groups(outcome)) for task, outcome in outcomes.items()}
    rows = max(sum(len(group) + _GAP for _, group in found) for found in groups.values())
    figure, panels = grid(list(outcomes), width=3.6, height=0.8 + 0.17 * rows)
    for panel, (task, outcome) in zip(panels, outcomes.items(), strict=True):
        _rows(panel, groups[task])
        for quantity, line in _LEVELS.values():
            stat = outcome.find(quantity)
            if stat is not None:
                panel.axvline(stat.value, color=GREY, linewidth=1.0, linestyle=line, zorder=1)
        panel.set_xlim(0, 1)
        panel.set_xlabel("accuracy")
    for label, look in zip((*_FORMS, "of several prompts"), LOOKS, strict=False):
        panels[0].plot([], [], look.marker, label=label, **_face(look))
    for label, (_, line) in _LEVELS.items():
        panels[0].plot([], [], color=GREY, linewidth=1.0, linestyle=line, label=label)
    legend(figure, panels, columns=3)
    return figure


def _groups(outcome: Measured) -> Iterator[tuple[Look, list[tuple[str, Stat]]]]:
    """Yield the rows of each kind of form that was asked, and what is made of several."""
    for look, kinds in zip(LOOKS, _FORMS.values(), strict=False):
        found = [
            (str(one.at["form"]), one.stat)
            for one in outcome.every(prompts.ACCURACY)
            if one.at["by"] in kinds
        ]
        if found:
            yield look, found
    made = [(name, outcome.find(quantity)) for name, quantity in _DERIVED.items()]
    held = [(name, stat) for name, stat in made if stat is not None]
    if held:
        yield LOOKS[len(_FORMS)], held


def _rows(panel: Axes, groups: list[tuple[Look, list[tuple[str, Stat]]]]) -> None:
    """Draw a dot with its interval for each form, a space between groups."""
    places: list[float] = []
    names: list[str] = []
    y = 0.0
    for look, group in groups:
        stats = [stat for _, stat in group]
        at = [y + row for row in range(len(group))]
        panel.errorbar(
            [stat.value for stat in stats],
            at,
            xerr=whiskers(stats),
            fmt=look.marker,
            ecolor=look.colour,
            elinewidth=0.8,
            capsize=2,
            zorder=3,
            **_face(look),
        )
        places += at
        names += [name for name, _ in group]
        y = at[-1] + 1 + _GAP
    panel.set_yticks(places, names)
    panel.set_ylim(y - 1, -0.8)


def _face(look: Look) -> dict[str, Any]:
    """Return how a kind's dots are filled and edged."""
    return {
        "color": look.colour,
        "markerfacecolor": "white",
        "markeredgecolor": look.colour,
        "markeredgewidth": 1.2,
    }
