"""Conditional mutual information of two sets of vectors, estimated from a few hundred documents."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, stdtrit

Floats = NDArray[np.float64]

SMALLEST_CLASS = 10
"""A class of y with fewer documents is left out: its covariance says nothing."""

DOCUMENTS_PER_COMPONENT = 6
"""Documents of the smallest class per component and side, so three per row of its covariance."""

MOST_COMPONENTS = 16

SHRINKAGE = 1e-3
"""Weight of the identity in each class's correlation matrix. It keeps an exact relation finite (at
4.5 bits a component) and costs less than .01 bits where the true value is one bit. Shrinkage
estimated from the data takes most of the signal: on the states of benchmarks/consistency.py
Ledoit-Wolf gives .5 to .97 and reads .18 bits where 1.28 are true. Few components and the
permutations do its work instead."""

RANK_TOLERANCE = 1e-3
"""Components with less than this share of the first one's standard deviation are rounding."""

GROUPS = 20
"""Groups of documents that the jackknife leaves out in turn."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shared:
    """How much two sets of vectors tell about one another given y.

    Attributes:
        bits: Estimate of I(a; b | y) in bits: the plug-in estimate minus the mean of its
            permutation null. May be negative.
        low: Lower end of its 95% jackknife interval.
        high: Upper end.
        null: (permutations,) float64, the null, with its own mean taken off.
        p: Share of permutations, the data itself counted as one, that reach `bits`.
        components: Components per side, (a, b).
    """

    bits: float
    low: float
    high: float
    null: Floats
    p: float
    components: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shuffles:
    """Documents by class of y, and permutations of the documents within each class.

    Attributes:
        classes: Positions of each class's documents.
        orders: Per class, (permutations, documents of the class) int64.
        held: Positions of all documents of these classes.
    """

    classes: tuple[NDArray[np.int64], ...]
    orders: tuple[NDArray[np.int64], ...]
    held: NDArray[np.int64]

    @classmethod
    def draw(
        cls, y: NDArray[np.int64], *, permutations: int, rng: np.random.Generator
    ) -> Shuffles | None:
        """Draw permutations within every class of `y` that is large enough; None if none is."""
        found = [np.flatnonzero(y == value) for value in np.unique(y)]
        classes = tuple(rows for rows in found if len(rows) >= SMALLEST_CLASS)
        if not classes:
            return None
        orders = tuple(
            rng.permuted(np.tile(np.arange(len(rows)), (permutations, 1)), axis=1)
            for rows in classes
        )
        return cls(classes=classes, orders=orders, held=np.sort(np.concatenate(classes)))

    @property
    def components(self) -> int:
        """Components per side that the smallest class can bear, at most `MOST_COMPONENTS`."""
        smallest = min(len(rows) for rows in self.classes)
        return min(MOST_COMPONENTS, max(1, smallest // DOCUMENTS_PER_COMPONENT))


def conditional_information(a: Floats, b: Floats, shuffles: Shuffles) -> Shared:
    """Return I(a; b | y) under a Gaussian model of each class, freed of small-sample bias.

    Each side is projected to its first principal components after the class means are taken off.
    Within each class the correlation matrix of both sides is shrunk towards the identity, and its
    mutual information is -1/2 log2 det(I - C C'), C being the cross-correlation of the whitened
    sides; classes count by their documents. The mean over permutations within classes is
    subtracted: the bias of the plug-in estimate depends on sizes only, not on the truth (the
    log-determinant of a Wishart matrix), so this removes it where y leaves enough documents. The
    interval is a stratified delete-a-group jackknife (20 groups, Student's t).

    What it cannot see: dependence that leaves the class-wise correlations alone (of magnitudes,
    of signs, of anything not linear); whatever lies outside the first principal components, which
    are the directions of most variance and not of most meaning; and dependence that is there
    because the inputs were dependent before any fusion.

    Args:
        a: (n, width of a) float64.
        b: (n, width of b) float64, the same documents.
        shuffles: Classes of y and permutations within them.
    """
    a, b = project(a, shuffles), project(b, shuffles)
    observed = _information(a, b, shuffles.classes)
    draws = np.zeros(len(shuffles.orders[0]))
    for rows, orders in zip(shuffles.classes, shuffles.orders, strict=True):
        white_a, white_b = _whitened(a[rows]), _whitened(b[rows])
        weight = len(rows) / len(shuffles.held)
        draws += weight * _bits(np.matmul(white_a[orders].transpose(0, 2, 1), white_b))
    mean = float(draws.mean())
    half = _jackknife_half_width(a, b, shuffles.classes)
    # Sums taken in another order may differ by rounding; a tie is one that reached the value.
    reached = int((draws >= observed - 1e-9).sum())
    return Shared(
        bits=observed - mean,
        low=observed - mean - half,
        high=observed - mean + half,
        null=draws - mean,
        p=(1 + reached) / (1 + len(draws)),
        components=(a.shape[1], b.shape[1]),
    )


def project(side: Floats, shuffles: Shuffles) -> Floats:
    """Return the first principal components of one side, class means taken off.

    (n, components) float64 with rows of zeros for documents of classes left out; a side that
    does not vary at all has one component of zeros.
    """
    centred = np.zeros(side.shape)
    for rows in shuffles.classes:
        centred[rows] = side[rows] - side[rows].mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    # Rounding of a constant is not variation: it is compared with what was centred away as well.
    least = max(sizes[0] * RANK_TOLERANCE, np.linalg.norm(side[shuffles.held]) * 1e-7)
    rank = int((sizes > least).sum())
    if rank == 0:
        return np.zeros((len(side), 1))
    k = min(shuffles.components, rank)
    projected: Floats = left[:, :k] * sizes[:k]
    return projected


def ksg(a: Floats, b: Floats, *, neighbours: int = 3) -> float:
    """Return the k-nearest-neighbour estimate of I(a; b) in bits.

    Estimator 1 of Kraskov, Stoegbauer and Grassberger 2004
    (https://doi.org/10.1103/PhysRevE.69.066138) in the maximum norm, with at most n distances a
    document: for a few hundred documents. Not clipped at 0. It sees any dependence, but in more
    than a few dimensions it needs far more documents than there are, and then reads low.

    Args:
        a: (n, width of a) float64.
        b: (n, width of b) float64.
        neighbours: Neighbours that set the size of a document's box; below n.
    """
    n = len(a)
    apart_a = np.abs(a[:, None] - a[None]).max(axis=2)
    apart_b = np.abs(b[:, None] - b[None]).max(axis=2)
    both = np.maximum(apart_a, apart_b)
    np.fill_diagonal(both, np.inf)
    radius = np.partition(both, neighbours - 1, axis=1)[:, neighbours - 1 : neighbours]
    # Each count holds the document itself, which stands for the "+ 1" of the formula.
    inside = [np.maximum((apart < radius).sum(axis=1), 1) for apart in (apart_a, apart_b)]
    nats = digamma(n) + digamma(neighbours) - sum(digamma(count).mean() for count in inside)
    return float(nats) / math.log(2)


def conditional_ksg(a: Floats, b: Floats, shuffles: Shuffles) -> float:
    """Return the KSG estimate of I(a; b | y) in bits, on the projected and standardised sides."""
    a, b = project(a, shuffles), project(b, shuffles)
    total = sum(
        len(rows) * ksg(_standardised(a[rows]), _standardised(b[rows])) for rows in shuffles.classes
    )
    return float(total) / len(shuffles.held)


def _standardised(side: Floats) -> Floats:
    """Return columns of mean 0 and variance 1; those that do not vary become 0."""
    centred = side - side.mean(axis=0)
    deviation = centred.std(axis=0)
    return np.where(deviation > 0, centred / np.where(deviation > 0, deviation, 1.0), 0.0)


def _whitened(side: Floats) -> Floats:
    """Return one class's side scaled so that products of two sides are a shrunk correlation.

    With R the shrunk correlation matrix and L L' = R, the rows z become sqrt((1 - s) / n) L^-1 z.
    """
    z = _standardised(side)
    n, k = z.shape
    shrunk = (1 - SHRINKAGE) * (z.T @ z) / n + SHRINKAGE * np.eye(k)
    root = np.linalg.cholesky(shrunk)
    white: Floats = np.linalg.solve(root, z.T).T * np.float64(math.sqrt((1 - SHRINKAGE) / n))
    return white


def _bits(cross: Floats) -> Floats:
    """Return -1/2 log2 det(I - C C') of each (..., k, l) cross-correlation."""
    inner = np.eye(cross.shape[-2]) - np.matmul(cross, np.swapaxes(cross, -1, -2))
    bits: Floats = -np.linalg.slogdet(inner)[1] / (2 * math.log(2))
    return bits


def _information(a: Floats, b: Floats, classes: Sequence[NDArray[np.int64]]) -> float:
    """Return the plug-in estimate in bits, classes counting by their documents."""
    total = sum(
        len(rows) * float(_bits(_whitened(a[rows]).T @ _whitened(b[rows]))) for rows in classes
    )
    return total / sum(len(rows) for rows in classes)


def _jackknife_half_width(a: Floats, b: Floats, classes: Sequence[NDArray[np.int64]]) -> float:
    """Return half the 95% interval from leaving out every 20th document of each class in turn."""
    groups = min(GROUPS, *(len(rows) for rows in classes))
    left, total = np.zeros(groups), np.zeros(groups)
    for rows in classes:
        kept, bits = _left_out(np.concatenate([a[rows], b[rows]], axis=1), a.shape[1], groups)
        left += kept * bits
        total += kept
    spread = (groups - 1) * float(np.var(left / total))
    return float(stdtrit(groups - 1, 0.975)) * math.sqrt(spread)


def _left_out(both: Floats, k: int, groups: int) -> tuple[Floats, Floats]:
    """Return, per group left out, one class's documents that are left and its plug-in estimate.

    From moments, which are those of all documents less those of the group. `both` holds side a in
    its first k columns and side b in the others.
    """
    both = both - both.mean(axis=0)
    member = (np.arange(len(both)) % groups == np.arange(groups)[:, None]).astype(np.float64)
    kept = len(both) - member.sum(axis=1)
    first = -(member @ both) / kept[:, None]
    second = both.T @ both - np.matmul((both.T[None] * member[:, None]), both)
    covariance = second / kept[:, None, None] - first[:, :, None] * first[:, None, :]
    variance = np.diagonal(covariance, axis1=1, axis2=2)
    scale = np.where(variance > 0, np.sqrt(np.abs(variance)), np.inf)
    correlation = covariance / scale[:, :, None] / scale[:, None, :]
    shrunk = (1 - SHRINKAGE) * correlation + SHRINKAGE * np.eye(both.shape[1])
    logs = [np.linalg.slogdet(part)[1] for part in (shrunk[:, :k, :k], shrunk[:, k:, k:], shrunk)]
    return kept, (logs[0] + logs[1] - logs[2]) / (2 * math.log(2))
