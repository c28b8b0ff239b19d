"""Plots of attention: parts of the prompt by layer, the image by head, and maps over the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vlmbench.diagnostics import Evidence, Measured
from vlmbench.diagnostics.analyses import attention
from vlmbench.metrics import rate
from vlmbench.report.cards._plots._style import (
    LOOKS,
    Outcomes,
    grid,
    label_left,
    legend,
    over_layers,
    plot_of,
    settings,
)
from vlmbench.spec import Condition
from vlmbench.types import Document, VlmbenchError

_SHOWN = {
    "image": "image without sinks",
    "image_sinks": "image sinks",
    "candidates": "choices' regions",
    "choices": "listing of choices",
    "text": "other text",
    "text_sinks": "text sinks",
    "reference": "reference",
}
_COLOURS = "Greys"


@plot_of(attention.PAID)
def parts_by_layer(outcomes: Outcomes) -> Figure:
    """Draw, per task, the attention that each part of the prompt is paid, layer by layer."""
    figure, panels = grid(list(outcomes))
    for panel, outcome in zip(panels, outcomes.values(), strict=True):
        for look, (part, label) in zip(LOOKS, _SHOWN.items(), strict=True):
            over_layers(panel, outcome.curve(attention.PAID, "layer", part=part), look, label)
        panel.set_ylim(0, 1)
        panel.set_xlabel("layer")
    label_left(panels, "share of attention")
    legend(figure, panels, columns=3)
    return figure


@plot_of(attention.BY_HEAD)
def image_by_head(outcomes: Outcomes) -> Figure:
    """Draw, per task, what each head of each layer pays the image without its sinks."""
    figure, panels = grid(list(outcomes))
    tables = [_by_head(outcome) for outcome in outcomes.values()]
    most = max(float(table.max()) for table in tables)
    for panel, table in zip(panels, tables, strict=True):
        layers, heads = table.shape
        shown = panel.imshow(
            table,
            cmap=_COLOURS,
            vmin=0,
            vmax=most,
            aspect="auto",
            extent=(0.5, heads + 0.5, layers + 0.5, 0.5),
            interpolation="nearest",
        )
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.yaxis.set_major_locator(MaxNLocator(integer=True))
        panel.set_xlabel("head")
    figure.colorbar(shown, ax=panels, label="share of attention to the image", shrink=0.9)
    label_left(panels, "layer")
    return figure


def _by_head(outcome: Measured) -> NDArray[np.float64]:
    """Return (layers, heads) shares."""
    found = outcome.every(attention.BY_HEAD)
    places = [(int(one.at["layer"]), int(one.at["head"])) for one in found]
    layers, heads = (max(numbers) for numbers in zip(*places, strict=True))
    table = np.zeros((layers, heads))
    for (layer, head), one in zip(places, found, strict=True):
        table[layer - 1, head - 1] = one.stat.value
    return table


def maps_over_images(evidence: Mapping[str, Evidence]) -> Figure | None:
    """Draw, per task, how attention to the image lies on it, mean over documents.

    Sinks are left out, and each map is divided by its own sum, so that it says where and not how
    much. Under other weights, the change is drawn beside it.
    """
    tables: dict[str, NDArray[np.float64]] = {}
    for task, held in evidence.items():
        own = _mean_map(held, Condition())
        if own is None:
            continue
        tables[task] = own
        for condition in attention.other_weights(held):
            other = _mean_map(held, condition)
            if other is not None and other.shape == own.shape:
                tables[f"{task}: change with {condition.weights.label}"] = other - own
    if not tables:
        return None
    with settings():
        figure, panels = grid(list(tables), height=2.8)
        for panel, (title, table) in zip(panels, tables.items(), strict=True):
            _lay(panel, table, change="change" in title)
    return figure


def _mean_map(evidence: Evidence, condition: Condition) -> NDArray[np.float64] | None:
    """Return (rows, images x columns), documents of the commonest grid; None if there is none."""
    internals = evidence.internals.get(condition)
    if internals is None or internals.attention is None:
        return None
    held = [internals.attention.grid(index) for index in range(len(internals))]
    known = [one for one in held if one is not None and one.sum() > 0]
    if not known:
        return None
    shapes = [one.shape for one in known]
    shape = max(dict.fromkeys(shapes), key=shapes.count)
    normed = [one / one.sum() for one in known if one.shape == shape]
    return np.concatenate(list(np.stack(normed).mean(axis=0, dtype=np.float64)), axis=1)


def _lay(panel: Axes, table: NDArray[np.float64], *, change: bool) -> None:
    """Draw a map; a change around 0 in two colours."""
    most = float(np.abs(table).max())
    panel.imshow(
        table,
        cmap="PuOr" if change else _COLOURS,
        vmin=-most if change else 0,
        vmax=most,
        interpolation="nearest",
    )
    panel.set_xticks([])
    panel.set_yticks([])
    panel.set_xlabel(f"darkest: {rate(most)} of the attention to the image")


def attention_over(evidence: Evidence, document: Document) -> Figure:
    """Draw one document's images and, over them, what of its attention the last position pays.

    Beside the model's own weights each other ones are drawn that the run has attention of, and
    the change. A map is divided by its sum; sinks are left out.

    Args:
        evidence: What a run recorded, with internals.
        document: One of the documents that were run.

    Raises:
        VlmbenchError: If it was not run, or it is not known how its tokens lie on its images.
    """
    conditions = [Condition(), *attention.other_weights(evidence)]
    found = {one.weights.label: _map_of(evidence, one, document) for one in conditions}
    base = found["base"]
    tables = {"attention" if name == "base" else f"with {name}": m for name, m in found.items()}
    tables |= {f"change with {name}": m - base for name, m in found.items() if name != "base"}
    names = ["", *tables]
    with settings():
        figure, panels = grid(names, columns=len(names), width=2.3 * len(document.images))
        pictures = [np.asarray(image.decode().resize((96, 96))) for image in document.images]
        strip = np.concatenate(pictures, axis=1)
        for panel, name in zip(panels, names, strict=True):
            panel.imshow(strip, alpha=1.0 if not name else 0.45)
            panel.set_xticks([])
            panel.set_yticks([])
            if name:
                _over(panel, tables[name], strip.shape[:2], change=name.startswith("change"))
    return figure


def _map_of(evidence: Evidence, condition: Condition, document: Document) -> NDArray[np.float64]:
    """Return one document's map (rows, images x columns), summing to 1."""
    internals = evidence.internals.get(condition)
    if internals is None or internals.attention is None:
        raise VlmbenchError(f"the run has no attention by head under {condition.label}")
    if document.doc_id not in internals.doc_ids:
        raise VlmbenchError(f"document {document.doc_id!r} was not run under {condition.label}")
    found = internals.attention.grid(internals.doc_ids.index(document.doc_id))
    if found is None:
        raise VlmbenchError(f"how the tokens of {document.doc_id!r} lie on its images is unknown")
    joined = np.concatenate(list(found), axis=1).astype(np.float64)
    return np.asarray(joined / joined.sum())


def _over(panel: Axes, table: NDArray[np.float64], size: Sequence[int], *, change: bool) -> None:
    """Draw a map over a picture of (height, width)."""
    most = float(np.abs(table).max())
    panel.imshow(
        table,
        cmap="PuOr" if change else "Reds",
        vmin=-most if change else 0,
        vmax=most,
        alpha=0.6,
        extent=(-0.5, size[1] - 0.5, size[0] - 0.5, -0.5),
        interpolation="nearest",
    )
