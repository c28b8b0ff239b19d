"""One style for all plots: small multiples, told apart by shape, line and hatch, not colour."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vlmbench.diagnostics import Measured, Quantity
from vlmbench.types import Stat

Outcomes = Mapping[str, Measured]

INK, GREY, PALE = "#1a1a1a", "#6b6b6b", "#d9d9d9"
WIDTH, HEIGHT = 3.2, 2.6  # inches of a panel
DPI = 150
MOST_COLUMNS = 3
LABEL_HEIGHT = 0.092  # of a line of text, as a share of the height of a panel

_SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.parse_math": False,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "hatch.linewidth": 0.7,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "svg.hashsalt": "vlmbench",
    "svg.fonttype": "path",
}


@dataclass(frozen=True, slots=True)
class Look:
    """How one series is drawn; no two series of a plot share a marker or a line style."""

    marker: str
    line: Any
    colour: str


LOOKS = (
    Look("o", "-", "#1f4e79"),
    Look("s", (0, (5, 1.5)), "#b8450b"),
    Look("^", (0, (1, 1.2)), "#2d6a2d"),
    Look("D", (0, (6, 1.5, 1, 1.5)), "#6a3d8a"),
    Look("v", (0, (3, 1, 1, 1, 1, 1)), "#8a6d00"),
    Look("P", (0, (9, 2)), "#444444"),
    Look("X", (0, (2, 2, 7, 2)), "#a01a58"),
)


def settings() -> Any:
    """Return the context that every plot is made and saved in."""
    return mpl.rc_context(_SETTINGS)


def plot_of(
    quantity: Quantity,
) -> Callable[[Callable[[Outcomes], Figure]], Callable[[Outcomes], Figure | None]]:
    """Return a decorator for a plot of one test's outcomes by task.

    The plot is given those in which the quantity was measured, and drawn in the style of all
    plots; where there is none it is None.
    """

    def decorated(draw: Callable[[Outcomes], Figure]) -> Callable[[Outcomes], Figure | None]:
        @wraps(draw)
        def drawn(outcomes: Outcomes) -> Figure | None:
            held = {task: outcome for task, outcome in outcomes.items() if outcome.every(quantity)}
            with settings():
                return draw(held) if held else None

        return drawn

    return decorated


def sheet(width: float, height: float) -> tuple[Figure, Axes]:
    """Return an empty figure whose data units are inches from the upper left corner."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    panel = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    panel.set_xlim(0, width)
    panel.set_ylim(height, 0)
    panel.set_axis_off()
    return figure, panel


def grid(
    titles: Sequence[str],
    *,
    width: float = WIDTH,
    height: float = HEIGHT,
    columns: int | None = None,
) -> tuple[Figure, list[Axes]]:
    """Return a figure with one titled panel each, row by row."""
    across = min(len(titles), columns or MOST_COLUMNS)
    down = math.ceil(len(titles) / across)
    figure = Figure(
        figsize=(max(width * across, 4.0), height * down),
        layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08),
    )
    FigureCanvasAgg(figure)
    axes = []
    for place, title in enumerate(titles):
        panel = figure.add_subplot(down, across, place + 1)
        panel.set_title(title, loc="left")
        axes.append(panel)
    return figure, axes


def whiskers(stats: Sequence[Stat]) -> NDArray[np.float64]:
    """Return (2, n) distances from each value to the ends of its interval, 0 where it has none."""
    ends = [(stat.value - stat.low, stat.high - stat.value) for stat in stats]
    lengths: NDArray[np.float64] = np.nan_to_num(np.array(ends, np.float64).reshape(-1, 2).T)
    return np.maximum(lengths, 0.0)


def curve(panel: Axes, points: Sequence[tuple[float, Stat]], look: Look, label: str = "") -> None:
    """Draw stats over x with whiskers."""
    stats = [stat for _, stat in points]
    panel.errorbar(
        [x for x, _ in points],
        [stat.value for stat in stats],
        yerr=whiskers(stats),
        marker=look.marker,
        linestyle=look.line,
        color=look.colour,
        markerfacecolor="white",
        markeredgewidth=1.2,
        elinewidth=0.8,
        capsize=2,
        label=label or None,
        clip_on=False,
        zorder=3,
    )


def over_layers(panel: Axes, points: Sequence[tuple[float, Stat]], look: Look, label: str) -> None:
    """Draw a curve over layers, if there is one."""
    if points:
        curve(panel, points, look, label)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))


def label_left(panels: Sequence[Axes], text: str) -> None:
    """Name the y axis of the first panel of every row."""
    for panel in panels:
        spec = panel.get_subplotspec()
        if spec is not None and spec.is_first_col():
            panel.set_ylabel(text)


def end_labels(panel: Axes, labels: Sequence[tuple[float, float, str, str]]) -> None:
    """Write a label right of each curve's end, moved apart where they would overlap.

    Args:
        panel: Axes whose limits are final.
        labels: (x, y, text, colour) of each end, x and y in data units.
    """
    low, high = panel.get_ylim()
    step = (high - low) * LABEL_HEIGHT
    ordered = sorted(labels, key=lambda item: (item[1], item[2]))
    places = [y for _, y, _, _ in ordered]
    for _ in range(100):
        for i in range(len(places) - 1):
            short = step - (places[i + 1] - places[i])
            if short > 1e-9:
                places[i] -= short / 2
                places[i + 1] += short / 2
    lift = max(low - min(places, default=low), 0.0)
    for (x, _, text, colour), place in zip(ordered, places, strict=True):
        _beside(panel, (x, place + lift), text, colour, gap=7)


def level(panel: Axes, y: float, text: str) -> None:
    """Draw a named horizontal line of reference."""
    panel.axhline(y, color=GREY, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
    _beside(panel, (1.0, y), text, GREY, gap=4, xycoords=("axes fraction", "data"))


def _beside(
    panel: Axes, at: tuple[float, float], text: str, colour: str, *, gap: int, **more: Any
) -> None:
    """Write a label so many points right of a place, outside of the axes if need be."""
    panel.annotate(
        text,
        at,
        xytext=(gap, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=colour,
        annotation_clip=False,
        **more,
    )


def same_height(panels: Sequence[Axes], *, low: float | None = None, high: float = 0.0) -> None:
    """Give all panels one y axis, from `low` if given, at least up to `high`."""
    ends = [panel.get_ylim() for panel in panels]
    bottom = min(end[0] for end in ends) if low is None else low
    for panel in panels:
        panel.set_ylim(bottom, max(high, *(end[1] for end in ends)))


def legend(figure: Figure, panels: Sequence[Axes], *, columns: int) -> None:
    """Put the legend of the fullest panel above all of them."""
    found = (panel.get_legend_handles_labels() for panel in panels)
    handles, labels = max(found, key=lambda legend: len(legend[1]))
    figure.legend(handles, labels, loc="outside upper left", ncols=columns, frameon=False)


_FORMATS: dict[str, dict[str, None]] = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}


def save(
    figures: Mapping[str, Figure | None], folder: Path, formats: Sequence[str] = tuple(_FORMATS)
) -> tuple[str, ...]:
    """Write each figure as NAME.svg and NAME.png, the same bytes every time; return the names."""
    written = []
    folder.mkdir(parents=True, exist_ok=True)
    with settings():
        for name, figure in figures.items():
            if figure is None:
                continue
            for suffix in formats:
                # In memory first, so that a reader never meets half a plot.
                buffer = io.BytesIO()
                figure.savefig(buffer, format=suffix, dpi=DPI, metadata=_FORMATS[suffix])
                figure.set_layout_engine("none")  # laid out once, for both
                (folder / f"{name}.{suffix}").write_bytes(buffer.getvalue())
            written.append(name)
    return tuple(written)
