"""The choices in every order: what the model answers by content, and what by position."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vlmbench.diagnostics._comparison import DRAWS, Comparison, graded
from vlmbench.diagnostics._outcome import Measurement, Quantity
from vlmbench.metrics import answers, credit, distance_stat
from vlmbench.types import ChoiceScores

Mask = NDArray[np.bool_]

ROBUST = Quantity("accuracy of the mean over all orders", "accuracy")
GAIN_ROBUST = Quantity("gain of the mean over all orders", "accuracy")
SHARE = Quantity("share of answers", "share")
BIAS = Quantity("position bias", "TV")


def over_rotations(
    plain: ChoiceScores, rotated: Mapping[int, ChoiceScores], *, seed: int
) -> list[Measurement]:
    """Return accuracy of scores averaged over all orders, and how answers lie over positions.

    *Accuracy of the mean*: each document's scores, in canonical order, are averaged over all K
    rotations of its K choices; of an answer that was read from text, its votes. A model that
    always answers one position then ties everywhere and is exactly at chance. Its *gain* is over
    the plain order, paired. *Share of answers*: how often each position was answered, over
    documents and rotations. *Position bias*: the total variation between that and an even share
    of each document's positions, 1 - 1/K for a model that always answers one. Every content comes
    to every position once, so that a model which answers by content has no bias, whatever is
    right; that a sum of absolute values is biased upward is in the interval of `distance_stat`.

    Args:
        plain: Scores in the plain order.
        rotated: Scores by rotation, in canonical order.
        seed: Seed of the bootstrap.

    Returns:
        Measurements of the documents of which all K orders were run; none if there are none.

    Raises:
        ComparisonError: If a cell does not cover documents of the plain one, in order.
    """
    if not rotated:
        return []
    shared = graded(plain, *(rotated[rotation] for rotation in sorted(rotated)))
    counts = shared.cells[0].n_choices
    held = np.array([set(range(1, count)) <= set(rotated) for count in counts])
    if not held.any():
        return []
    shared = shared.only(held)
    cells = dict(zip((0, *sorted(rotated)), shared.cells, strict=True))
    robust = credit(mean_of(cells))
    found = [
        ROBUST.measured(shared.share(robust)),
        GAIN_ROBUST.measured(shared.difference(robust - credit(shared.cells[0]))),
    ]
    return found + _positions(shared, cells, seed)


def _uses(cells: Mapping[int, ChoiceScores]) -> Mask:
    """(rotations, n) bool: whether a rotation is one of a document's K different ones."""
    counts = cells[0].n_choices
    return np.stack([rotation < counts for rotation in cells])


def mean_of(cells: Mapping[int, ChoiceScores]) -> ChoiceScores:
    """Return the mean scores over each document's rotations, 0 among them, as similarities.

    Rotations whose answer could not be read are left out; a document without any is abstained on.
    """
    used: Mask = _uses(cells) & np.stack([~cell.abstained for cell in cells.values()])
    values = np.stack([cell.scores for cell in cells.values()])
    plain = cells[0]
    total = np.where(used[..., None] & ~plain.unused(), values, 0.0).sum(axis=0)
    mean = total / np.maximum(used.sum(axis=0), 1)[:, None]
    return replace(
        plain,
        scores=np.where(plain.unused(), -np.inf, mean),
        scale="similarity",
        abstained=~np.logical_or.reduce(used),
    )


def _positions(
    shared: Comparison, cells: Mapping[int, ChoiceScores], seed: int
) -> list[Measurement]:
    """Return the shares of positions and their distance from even, over answered documents."""
    used = _uses(cells)
    unread = np.stack([cell.abstained for cell in cells.values()]) & used
    answered: Mask = ~np.logical_or.reduce(unread)
    if not answered.any():
        return []
    counts, width = cells[0].n_choices, cells[0].scores.shape[1]
    shares = np.zeros((len(counts), width))
    rows = np.arange(len(counts))
    for (rotation, cell), used_here in zip(cells.items(), used, strict=True):
        given = answers(replace(cell, abstained=np.zeros(len(cell), bool)))
        for position in range(int(counts.max())):
            content = (position + rotation) % counts
            here = used_here & answered & (position < counts)
            shares[here, position] += given[rows, content][here]
    shares /= counts[:, None]
    even = np.where(cells[0].unused(), 0.0, 1 / counts[:, None])
    shares, even, left = shares[answered], even[answered], shared.only(answered)
    bias = distance_stat(
        (shares - even) / 2, left.clusters, coverage=left.coverage, seed=seed, draws=DRAWS
    )
    letters = [chr(ord("A") + place) for place in range(int(counts.max()))]
    return [
        BIAS.measured(bias),
        *(
            SHARE.measured(left.share(shares[:, place]), position=letter)
            for place, letter in enumerate(letters)
        ),
    ]
