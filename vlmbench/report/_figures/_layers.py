"""Pictures of the inside: what image and text states share, and where attention goes."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from vlmbench.diagnostics import Outcome
from vlmbench.report._figures._style import (
    GREY,
    LOOKS,
    PALE,
    Look,
    curve,
    grid,
    label_left,
    legend,
    level,
    same_height,
    settings,
)


def consistency_by_layer(outcomes: Mapping[str, Outcome]) -> Figure | None:
    """Draw, per task, the information that image and text states share, with its null band."""
    outcomes = _with("information", outcomes)
    if not outcomes:
        return None
    with settings():
        figure, panels = grid(list(outcomes))
        for panel, outcome in zip(panels, outcomes.values(), strict=True):
            found = sorted(
                (finding for finding in outcome.findings if finding.figure == "information"),
                key=lambda finding: int(finding.at["layer"]),
            )
            layers = [int(finding.at["layer"]) for finding in found]
            nulls = [
                null.stat
                for layer in layers
                if (null := outcome.find("permutation null", layer=layer))
            ]
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
            points = [(float(finding.at["layer"]), finding.stat) for finding in found]
            curve(panel, points, LOOKS[0], "measured")
            p = outcome.find("p over layers")
            below = "" if p is None else f"\np over layers {_p(p.stat.value)}"
            panel.set_xlabel(f"layer (0: embeddings, not counted){below}")
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        label_left(panels, "shared information (bits)")
        same_height(panels, high=0.3)
        legend(figure, panels[0], columns=2)
    return figure


def readout_by_layer(outcomes: Mapping[str, Outcome]) -> Figure | None:
    """Draw, per task, what a linear readout of each layer gets right, beside the model's head."""
    name = "linear readout of the answer"
    outcomes = _with(name, outcomes)
    if not outcomes:
        return None
    with settings():
        figure, panels = grid(list(outcomes))
        for panel, outcome in zip(panels, outcomes.values(), strict=True):
            _over_layers(panel, outcome, name, LOOKS[0], "last position", {"of": "last"})
            _over_layers(panel, outcome, name, LOOKS[1], "mean over the image", {"of": "image"})
            head = outcome.find("accuracy of the language-model head")
            base = outcome.find("majority")
            for finding, label, line in ((head, "the model's head", "-"), (base, "majority", ":")):
                if finding is not None:
                    panel.axhline(
                        finding.stat.value, color=GREY, linewidth=1.2, linestyle=line, label=label
                    )
            panel.set_ylim(0, 1)
            panel.set_xlabel("layer (0: embeddings)")
        label_left(panels, "accuracy")
        legend(figure, panels[0], columns=4)
    return figure


def attention_by_layer(outcomes: Mapping[str, Outcome]) -> Figure | None:
    """Draw, per task, the attention that the prompt's last position gives to each token group."""
    groups = ("image", "regions", "choices", "text")
    outcomes = _with("attention mass", outcomes)
    if not outcomes:
        return None
    with settings():
        figure, panels = grid(list(outcomes))
        for panel, outcome in zip(panels, outcomes.values(), strict=True):
            for look, group in zip(LOOKS, groups, strict=False):
                _over_layers(panel, outcome, "attention mass", look, group, {"group": group})
            uniform = outcome.find("uniform share", group="image")
            if uniform is not None:
                level(panel, uniform.stat.value, "image if\nuniform")
            panel.set_ylim(0, 1)
            panel.set_xlabel("layer")
        label_left(panels, "share of attention")
        fullest = max(panels, key=lambda panel: len(panel.get_legend_handles_labels()[1]))
        legend(figure, fullest, columns=4)
    return figure


def attention_by_filler(outcomes: Mapping[str, Outcome]) -> Figure | None:
    """Draw, per task, attention to the image by layer, a curve for each length of filler."""
    name = "attention mass by length"
    outcomes = _with(name, outcomes)
    if not outcomes:
        return None
    with settings():
        figure, panels = grid(list(outcomes))
        for panel, outcome in zip(panels, outcomes.values(), strict=True):
            places = {str(found.at["place"]) for found in outcome.findings if found.figure == name}
            place = "before" if "before" in places else min(places)
            lengths = {
                int(found.at["tokens"])
                for found in outcome.findings
                if found.figure == name and found.at["place"] == place
            }
            for look, tokens in zip(LOOKS, sorted(lengths), strict=False):
                label = f"{tokens} tokens of filler" if tokens else "no filler"
                _over_layers(panel, outcome, name, look, label, {"place": place, "tokens": tokens})
            panel.set_xlabel(f"layer (filler {place} the image)")
        label_left(panels, "attention to the image")
        same_height(panels, low=0.0, high=0.1)
        fullest = max(panels, key=lambda panel: len(panel.get_legend_handles_labels()[1]))
        legend(figure, fullest, columns=3)
    return figure


def budget_by_length(outcomes: Mapping[str, Outcome]) -> Figure | None:
    """Draw, per task, influence of, attention to, and tokens of the image over prompt length."""
    outcomes = _with("image mass", outcomes)
    if not outcomes:
        return None
    series = (
        ("influence", "before", LOOKS[0], "influence (TV), filler before"),
        ("influence", "after", LOOKS[1], "influence (TV), filler after"),
        ("image mass", "before", LOOKS[2], "attention to image, filler before"),
        ("image mass", "after", LOOKS[3], "attention to image, filler after"),
        ("uniform image share", "before", LOOKS[5], "image's share of all tokens"),
    )
    with settings():
        figure, panels = grid(list(outcomes))
        for panel, outcome in zip(panels, outcomes.values(), strict=True):
            for figure_name, place, look, label in series:
                found = [
                    (length.stat.value, finding.stat)
                    for finding in outcome.findings
                    if finding.figure == figure_name and finding.at.get("place") == place
                    if (length := outcome.find("length of the prompt", **finding.at))
                ]
                if found:
                    found.sort(key=lambda point: point[0])
                    curve(panel, found, look, label)
            panel.set_xscale("log", base=2)
            panel.xaxis.set_major_formatter(ScalarFormatter())
            panel.set_xlabel("tokens of the prompt")
        label_left(panels, "share, or TV")
        same_height(panels, low=0.0, high=0.1)
        fullest = max(panels, key=lambda panel: len(panel.get_legend_handles_labels()[1]))
        legend(figure, fullest, columns=2)
    return figure


def _with(figure: str, outcomes: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """Return the outcomes that hold a figure of that name."""
    return {
        task: outcome
        for task, outcome in outcomes.items()
        if any(finding.figure == figure for finding in outcome.findings)
    }


def _over_layers(
    panel: Axes,
    outcome: Outcome,
    figure: str,
    look: Look,
    label: str,
    at: Mapping[str, str | int],
) -> None:
    """Draw a figure measured at `at` and every layer."""
    found = [
        (float(finding.at["layer"]), finding.stat)
        for finding in outcome.findings
        if finding.figure == figure
        and {key: value for key, value in finding.at.items() if key != "layer"} == at
    ]
    found.sort(key=lambda point: point[0])
    if found:
        curve(panel, found, look, label)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))


def _p(value: float) -> str:
    return "< .001" if value < 0.001 else f"= {value:.3f}".replace("0.", ".", 1)
