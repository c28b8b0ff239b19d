"""The last position's attention by head, summed over parts of the prompt and laid on its images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vlmbench.models._token_groups import TokenGroups
from vlmbench.types import PARTS, WINDOWS

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeadAttention:
    """One prompt's attention; see `types.Attention` for what each array holds.

    Attributes:
        heads: (layers, heads, parts) float32.
        sinks: (layers, 2) int64.
        maps: (windows, image tokens) float32.
        grid: (3,) int64.
    """

    heads: Floats
    sinks: NDArray[np.int64]
    maps: Floats
    grid: NDArray[np.int64]


def head_attention(
    rows: Sequence[Floats], sinks: Sequence[Mask], groups: TokenGroups
) -> HeadAttention:
    """Return one prompt's attention by head.

    Args:
        rows: Per layer, (heads, tokens) what the last position pays; rows sum to 1.
        sinks: Per layer, (tokens,) which tokens are sinks.
        groups: What each token is.
    """
    apart = np.zeros(len(sinks[0]), dtype=bool)
    apart[groups.image] = True
    mapped = [
        (row.mean(axis=0) * ~sink)[groups.image] for row, sink in zip(rows, sinks, strict=True)
    ]
    return HeadAttention(
        heads=np.stack(
            [_parts(row, sink, groups) for row, sink in zip(rows, sinks, strict=True)]
        ).astype(np.float32),
        sinks=np.array([[int((sink & apart).sum()), int((sink & ~apart).sum())] for sink in sinks]),
        maps=_windows(np.stack(mapped)),
        grid=_grid(groups),
    )


def _parts(row: Floats, sink: Mask, groups: TokenGroups) -> NDArray[np.float64]:
    """Return (heads, parts): what each head pays to each of `PARTS`."""
    tokens, image = np.arange(len(sink)), np.zeros(len(sink), dtype=bool)
    image[groups.image] = True
    held = {
        "image": tokens[image & ~sink],
        "reference": _without(groups.reference, sink),
        "candidates": _without(groups.candidates, sink),
        "choices": _without(groups.choices, sink),
        "text": _without(groups.text, sink),
        "image_sinks": tokens[image & sink],
        "text_sinks": tokens[~image & sink],
    }
    paid = row.astype(np.float64)
    nothing = np.full(len(row), np.nan)
    sums = [nothing if (at := held[part]) is None else paid[:, at].sum(axis=1) for part in PARTS]
    return np.stack(sums, axis=1)


def _without(places: NDArray[np.int64] | None, sink: Mask) -> NDArray[np.int64] | None:
    return None if places is None else places[~sink[places]]


def _windows(mapped: Floats) -> Floats:
    """Return means of (layers, image tokens) over windows of layers; NaN for an empty one."""
    layers = len(mapped)
    edges = [window * layers // WINDOWS for window in range(WINDOWS + 1)]
    nothing = np.full(mapped.shape[1], np.nan, dtype=np.float32)
    means = [
        mapped[start:end].mean(axis=0) if end > start else nothing for start, end in pairwise(edges)
    ]
    return np.stack(means).astype(np.float32)


def _grid(groups: TokenGroups) -> NDArray[np.int64]:
    """Return images, rows and columns where all images have one grid; else zeros."""
    grids = groups.grids or []
    if len(set(grids)) != 1:
        return np.zeros(3, dtype=np.int64)
    return np.array([len(grids), *grids[0]], dtype=np.int64)
