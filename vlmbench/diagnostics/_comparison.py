"""Comparing cells of one task: the same documents on every side, or an error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, xlogy

from vlmbench.metrics import (
    Clusters,
    above,
    bounded_stat,
    difference_stat,
    mean_stat,
    rate_stat,
)
from vlmbench.types import ChoiceScores, ComparisonError, Problem, Stat, VlmbenchError

DRAWS = 2000
"""Bootstrap resamples of a ratio, as many as `vlmbench.metrics` takes for a mean."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """Cells over the same documents, without those that failed or were abstained on in any.

    Attributes:
        cells: Scores, all over the same documents in the same order and of the same width.
        coverage: Share of the compared documents that are left.
    """

    cells: tuple[ChoiceScores, ...]
    coverage: float

    def __len__(self) -> int:
        return len(self.cells[0])

    @property
    def clusters(self) -> Clusters:
        """Which of the documents belong together."""
        return Clusters.among(self.cells[0])

    def mean(self, values: NDArray[np.float64], *, seed: int) -> Stat:
        """Return the mean of one number per document with its bootstrap interval."""
        return mean_stat(values, self.clusters, seed=seed, coverage=self.coverage)

    def share(self, values: NDArray[np.float64]) -> Stat:
        """Return the mean of one number in [0, 1] per document with Wilson's interval."""
        return rate_stat(values, self.clusters, coverage=self.coverage)

    def difference(self, values: NDArray[np.float64]) -> Stat:
        """Return the mean of one difference of credit per document with Tango's interval."""
        return difference_stat(values, self.clusters, coverage=self.coverage)

    def bounded(self, values: NDArray[np.float64], bound: float) -> Stat:
        """Return the mean of numbers in [-bound, bound] with an interval for rare extremes."""
        return bounded_stat(values, bound, self.clusters, coverage=self.coverage)

    def only(self, held: NDArray[np.bool_]) -> Comparison:
        """Return the comparison of the documents of a mask; coverage is less by their share."""
        cells = tuple(cell.take(held) for cell in self.cells)
        return Comparison(cells=cells, coverage=self.coverage * float(held.mean()))


def compare(*cells: ChoiceScores) -> Comparison:
    """Return the cells restricted to the documents of the shortest one.

    A cell may be capped to the first documents of its task, so the documents of the shortest
    must all be in each of the others, in the same order. Anything else is an error and not an
    inner join, which would compare whatever happens to be in both and call it the task.

    Raises:
        ComparisonError: If a cell lacks documents of the shortest or orders them otherwise, if
            gold or numbers of choices differ, or if no document was answered in all cells.
        VlmbenchError: If scores are not log-likelihoods, or one of an answered document is
            infinite.
    """
    for cell in cells:
        if cell.scale != "logprob":
            raise VlmbenchError(
                f"scores on the scale {cell.scale!r} cannot be turned into a distribution over "
                "choices; log-likelihoods are needed"
            )
    left = graded(*cells)
    answered = np.logical_and.reduce([~cell.abstained for cell in left.cells])
    if not answered.any():
        raise ComparisonError(
            f"none of the {min(map(len, cells))} documents was answered in every cell"
        )
    left = left.only(answered)
    width = int(left.cells[0].n_choices.max())
    trimmed = tuple(_trimmed(cell, width) for cell in left.cells)
    _require_finite(trimmed)
    return Comparison(cells=trimmed, coverage=left.coverage)


def graded(*cells: ChoiceScores) -> Comparison:
    """Return cells of any scale as `compare` does, with the documents that were abstained on.

    Raises:
        ComparisonError: As `compare`, if all documents failed in one cell or another.
    """
    shortest = min(cells, key=len)
    held = [restricted(cell, shortest.doc_ids) for cell in cells]
    for field in ("gold", "n_choices", "cluster_of"):
        if any((getattr(cell, field) != getattr(shortest, field)).any() for cell in held):
            what = field.removesuffix("_of")
            raise ComparisonError(f"the cells differ in {what}: they are not of the same task")
    ran = np.logical_and.reduce([~cell.failed for cell in held])
    if not ran.any():
        raise ComparisonError(f"none of the {len(shortest)} documents was answered in every cell")
    return Comparison(cells=tuple(cell.take(ran) for cell in held), coverage=float(ran.mean()))


def restricted(cell: ChoiceScores, doc_ids: Sequence[str]) -> ChoiceScores:
    """Return the documents of those ids.

    Raises:
        ComparisonError: If the cell lacks one of them, or holds them in another order.
    """
    place = {doc_id: index for index, doc_id in enumerate(cell.doc_ids)}
    missing = [doc_id for doc_id in doc_ids if doc_id not in place]
    if missing:
        raise ComparisonError(
            f"{len(missing)} of {len(doc_ids)} documents are not in a cell of {len(cell)}, the "
            f"first being {missing[0]!r}"
        )
    positions = np.array([place[doc_id] for doc_id in doc_ids], dtype=np.int64)
    if (np.diff(positions) <= 0).any():
        raise ComparisonError("the cells hold the same documents in different orders")
    return cell.take(positions)


def rows_of(doc_ids: Sequence[str], compared: ChoiceScores) -> NDArray[np.int64]:
    """Return where in `doc_ids` the documents of a `Comparison`'s cell are: (n,) int64.

    Raises:
        ComparisonError: If one of them is not there.
    """
    place = {doc_id: index for index, doc_id in enumerate(doc_ids)}
    missing = [doc_id for doc_id in compared.doc_ids if doc_id not in place]
    if missing:
        raise ComparisonError(
            f"{len(missing)} of {len(compared)} documents have no internals, the first being "
            f"{missing[0]!r}"
        )
    return np.array([place[doc_id] for doc_id in compared.doc_ids], dtype=np.int64)


def _trimmed(cell: ChoiceScores, width: int) -> ChoiceScores:
    return replace(cell, scores=cell.scores[:, :width])


def _require_finite(cells: Sequence[ChoiceScores]) -> None:
    """Refuse a choice that the model finds impossible: every mean of logarithms is infinite."""
    problems = [
        Problem(message=f"{cell.doc_ids[row]}: a choice has no finite log-likelihood")
        for cell in cells
        for row in np.flatnonzero((~np.isfinite(cell.scores) & ~cell.unused()).any(axis=1))
    ]
    if problems:
        raise VlmbenchError(dict.fromkeys(problems))


def log_probabilities(scores: ChoiceScores) -> NDArray[np.float64]:
    """Return log p(c | image, text) over each document's choices, in nats.

    The log-softmax of summed log-likelihoods; (n, most choices) float64, -inf past n_choices.
    """
    result: NDArray[np.float64] = log_softmax(scores.scores, axis=1)
    return result


def distributions(scores: ChoiceScores) -> NDArray[np.float64]:
    """Return p(c | image, text) over each document's choices: (n, most choices), rows sum to 1."""
    p: NDArray[np.float64] = np.exp(log_probabilities(scores))
    return p


def entropies(scores: ChoiceScores) -> NDArray[np.float64]:
    """Return the entropy of each document's distribution over choices, in bits: (n,) float64."""
    p = distributions(scores)
    result: NDArray[np.float64] = -xlogy(p, p).sum(axis=1) / np.log(2)
    return result


def entropy_changes(a: ChoiceScores, b: ChoiceScores) -> NDArray[np.float64]:
    """Return how much lower the first cell's entropy is than the other's, per document, in bits."""
    return entropies(b) - entropies(a)


def information_changes(a: ChoiceScores, b: ChoiceScores) -> NDArray[np.float64]:
    """Return log2 p(gold) in the first cell less that in the other, cut at log2(choices) bits."""
    most = np.log2(a.n_choices)
    cut: NDArray[np.float64] = np.clip(gold_bits(a) - gold_bits(b), -most, most)
    return cut


def gold_bits(scores: ChoiceScores) -> NDArray[np.float64]:
    """Return log2 p(gold | image, text) of each document: (n,) float64."""
    bits: NDArray[np.float64] = log_probabilities(scores)[
        np.arange(len(scores)), scores.gold
    ] / np.log(2)
    return bits


def distances(a: ChoiceScores, b: ChoiceScores) -> NDArray[np.float64]:
    """Return the total variation distance between two cells' distributions, per document.

    Args:
        a: Cell of a `Comparison`.
        b: Another cell of the same `Comparison`.

    Returns:
        (n,) float64 in [0, 1].
    """
    result: NDArray[np.float64] = np.abs(distributions(a) - distributions(b)).sum(axis=1) / 2
    return result


def ratio_of(
    top: NDArray[np.float64],
    bottom: NDArray[np.float64],
    clusters: Clusters,
    *,
    coverage: float,
    seed: int,
) -> Stat:
    """Return the ratio of two means over the same documents with its bootstrap interval.

    Documents are resampled as pairs, or clusters of them. There is no interval where some
    resamples have nothing to divide by.
    """
    value, n = float(top.mean() / bottom.mean()), len(top)
    sums = clusters.sums(np.stack([top, bottom], axis=1))
    equal = np.full(len(clusters), 1 / len(clusters))
    weights = np.random.default_rng(seed).multinomial(len(clusters), equal, size=DRAWS)
    top_sums, bottom_sums = np.einsum("dn,nb->bd", weights, sums)
    if (bottom_sums <= 0).any() or (len(clusters) == 1 and n > 1):
        return Stat(value=value, n=n, coverage=coverage)
    ends = np.quantile(top_sums / bottom_sums, (0.025, 0.975))
    low, high = ends if clusters.alone else value + clusters.stretch * (ends - value)
    return Stat(value=value, low=float(low), high=float(high), n=n, coverage=coverage)


def exceeds(stat: Stat, level: float) -> bool | None:
    """Tell whether an interval lies above a level: None if it straddles it or there is none."""
    if above(stat.low, level):
        return True
    return None if math.isnan(stat.high) or above(stat.high, level) else False


def every(*decisions: bool | None) -> bool | None:
    """Return the conjunction of decisions of which some may be open."""
    if any(decision is False for decision in decisions):
        return False
    return None if None in decisions else True
