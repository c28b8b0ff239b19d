"""Training curves as a picture, for the model card."""

from __future__ import annotations

import io
import json

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_SETTINGS = {
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "vlmbench",
    "svg.fonttype": "none",
}


def curves_svg(log: str) -> str:
    """Draw the loss of every stage, one panel each, as SVG; the same log gives the same bytes.

    Args:
        log: Lines of JSON with `stage`, `step` and `loss`; where a stage was restarted, the last
            line of a step counts.
    """
    stages: dict[str, dict[int, float]] = {}
    for line in log.splitlines():
        entry = json.loads(line)
        stages.setdefault(entry["stage"], {})[entry["step"]] = entry["loss"]
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(2.6 * len(stages), 2.2), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, len(stages), squeeze=False)[0]
        for panel, (name, points) in zip(panels, stages.items(), strict=True):
            steps = sorted(points)
            panel.plot(steps, [points[step] for step in steps], color="#1f4e79", linewidth=1.2)
            panel.set(title=name, xlabel="step", ylim=(0, None))
            panel.set_xlim(0, steps[-1])
        panels[0].set_ylabel("loss")
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in drawn.getvalue().splitlines()) + "\n"
