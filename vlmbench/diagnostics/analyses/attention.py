"""Where the last position looks, layer by layer and head by head, with attention sinks apart.

And how that changes with the weights: before and after training, on the same documents.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from vlmbench.diagnostics._cells import OWN
from vlmbench.diagnostics._comparison import Comparison, compare, distributions, rows_of
from vlmbench.diagnostics._evidence import Evidence
from vlmbench.diagnostics._outcome import Analysis, Finding, Measurement, Quantity
from vlmbench.metrics import INTERNALS, told
from vlmbench.spec import Condition
from vlmbench.types import PARTS, Attention, Stat, VlmbenchError

PAID = Quantity("attention by part", "share")
BY_HEAD = Quantity("attention to the image by head", "share")
SINKS = Quantity("sinks among image tokens", "tokens")
CHANGE = Quantity("change of attention", "share")
WITH_GAIN = Quantity("correlation of that change with the gain in p(gold)", "Spearman's rho")

Floats = NDArray[np.float64]


def paid(attention: Attention, shared: Comparison, *, seed: int) -> list[Measurement]:
    """Return the share of attention that each part of the prompt is paid.

    It is that of the last position, mean over heads, per layer and, without a layer, over all
    layers. Parts that make up the prompt sum to 1; reference and candidates are parts of the image.
    A part that is unknown for some documents covers the others. By head it is the image without
    its sinks, and has no interval.

    Args:
        attention: Of the compared documents, in their order.
        shared: The comparison of their scores.
        seed: Seed of the bootstrap.
    """
    by_layer = attention.heads.mean(axis=2, dtype=np.float64)  # (n, layers, parts)
    found = []
    for index, part in enumerate(PARTS):
        known = ~np.isnan(by_layer[:, :, index]).any(axis=1)
        if not known.any():
            continue
        subset, values = shared.only(known), by_layer[known, :, index]
        stat = subset.mean(values.mean(axis=1), seed=seed)
        found.append(PAID.measured(stat, part=part))
        found += [
            PAID.measured(subset.mean(values[:, layer], seed=seed), part=part, layer=layer + 1)
            for layer in range(values.shape[1])
        ]
    return found + list(_by_head(attention)) + list(_sinks(attention, shared, seed))


def _by_head(attention: Attention) -> Iterator[Measurement]:
    image = attention.heads[..., PARTS.index("image")].mean(axis=0, dtype=np.float64)
    for (layer, head), value in np.ndenumerate(image):
        stat = Stat(value=float(value), n=len(attention.heads))
        yield BY_HEAD.measured(stat, layer=layer + 1, head=head + 1)


def _sinks(attention: Attention, shared: Comparison, seed: int) -> Iterator[Measurement]:
    counts = attention.sinks[:, :, 0].astype(np.float64)
    for layer in range(counts.shape[1]):
        yield SINKS.measured(shared.mean(counts[:, layer], seed=seed), layer=layer + 1)


def changed(
    before: Attention, after: Attention, pair: Comparison, *, weights: str, seed: int
) -> list[Measurement]:
    """Return how attention changes with the weights, and whether that goes with better answers.

    Changes are those of each document's mean over heads, per layer and over all layers. The
    correlation is Spearman's, over documents, of the change over all layers with the change of
    p(gold); its interval is Fisher's with the variance 1.06 / (n - 3), and there is none where
    documents share clusters, or where one of the two is the same for all.

    Args:
        before: Attention of the compared documents under the model's own weights.
        after: Under the others.
        pair: The comparison of their scores, before and after.
        weights: Label of the other weights.
        seed: Seed of the bootstrap.
    """
    moved = (after.heads.mean(axis=2) - before.heads.mean(axis=2)).astype(np.float64)
    own, other = (distributions(c)[np.arange(len(c)), c.gold] for c in pair.cells)
    found = []
    for index, part in enumerate(PARTS):
        known = ~np.isnan(moved[:, :, index]).any(axis=1)
        if not known.any():
            continue
        subset, values = pair.only(known), moved[known, :, index]
        whole = values.mean(axis=1)
        at = {"weights": weights, "part": part}
        found.append(CHANGE.measured(subset.mean(whole, seed=seed), **at))
        found += [
            CHANGE.measured(subset.mean(values[:, layer], seed=seed), **at, layer=layer + 1)
            for layer in range(values.shape[1])
        ]
        found.append(WITH_GAIN.measured(_correlation(whole, (other - own)[known], subset), **at))
    return found


def _correlation(one: Floats, other: Floats, subset: Comparison) -> Stat:
    """Return Spearman's correlation of two numbers per document."""
    n = len(one)
    if n < 4 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return Stat(value=math.nan, n=n, coverage=subset.coverage)
    rho = float(spearmanr(one, other).statistic)
    if not subset.clusters.alone or abs(rho) >= 1:
        return Stat(value=rho, n=n, coverage=subset.coverage)
    reach = 1.96 * math.sqrt(1.06 / (n - 3))
    low, high = (math.tanh(math.atanh(rho) + side * reach) for side in (-1, 1))
    return Stat(value=rho, low=low, high=high, n=n, coverage=subset.coverage)


def attention_of(evidence: Evidence, condition: Condition, shared: Comparison) -> Attention:
    """Return the attention of the compared documents under a condition.

    Raises:
        VlmbenchError: If the run has none.
    """
    internals = evidence.internals[condition]
    if internals.attention is None:
        raise VlmbenchError(f"the internals under {condition.label} are without attention by head")
    rows, held = rows_of(internals.doc_ids, shared.cells[0]), internals.attention
    return Attention(
        heads=held.heads[rows], sinks=held.sinks[rows], maps=held.maps[rows], grids=held.grids[rows]
    )


def other_weights(evidence: Evidence) -> Iterator[Condition]:
    """Yield the conditions in which the weights alone are others, and attention was read."""
    for condition, internals in evidence.internals.items():
        alone = condition == Condition(weights=condition.weights)
        if alone and condition != OWN and internals.attention is not None:
            yield condition


def _run(evidence: Evidence, seed: int) -> Finding | None:
    internals = evidence.internals.get(OWN)
    if internals is None or internals.attention is None:
        return None
    own = evidence.scores[INTERNALS, OWN]
    shared = compare(own)
    found = paid(attention_of(evidence, OWN, shared), shared, seed=seed)
    for condition in other_weights(evidence):
        pair = compare(own, evidence.scores[INTERNALS, condition])
        before, after = (attention_of(evidence, one, pair) for one in (OWN, condition))
        found += changed(before, after, pair, weights=condition.weights.label, seed=seed)
    finding = Finding(analysis=ANALYSIS, says="", measurements=tuple(found))
    return Finding(analysis=ANALYSIS, says=_says(finding), measurements=tuple(found))


def _says(finding: Finding) -> str:
    """Return what the image and its sinks are paid, and what changed most."""
    shares = {part: finding.find(PAID, part=part) for part in PARTS}
    text = "Of its attention, over all layers and heads, the last position pays the image "
    text += " and its sinks ".join(
        told(stat) for part in ("image", "image_sinks") if (stat := shares[part]) is not None
    )
    sinks = shares["text_sinks"]
    text += "" if sinks is None else f", and sinks in the text {told(sinks)}"
    changes = [found for found in finding.every(CHANGE) if "layer" not in found.at]
    if not changes:
        return f"{text}."
    most = max(changes, key=lambda found: abs(found.stat.value))
    return (
        f"{text}. With `{most.at['weights']}` most changes for {most.at['part']}, by "
        f"{told(most.stat)}."
    )


ANALYSIS = Analysis(name="attention", title="where the last position looks", run=_run)
