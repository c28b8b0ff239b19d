"""Conditional mutual information of two sets of vectors, estimated from a few hundred documents."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, stdtrit

from vlmbench.metrics import Clusters

Floats = NDArray[np.float64]

DOCUMENTS_PER_COMPONENT = 20
"""Documents per component and side, each class mean taking one away: ten per row of the
covariance."""

MOST_COMPONENTS = 16

SHRINKAGE = 1e-3
"""Weight of the identity in the correlation matrix. It keeps an exact relation finite (at 4.5 bits
a component) and costs less than .01 bits where the true value is one bit. Shrinkage
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
        left_out: (groups,) float64, the estimate without each group of documents.
        null: (permutations,) float64, the null, with its own mean taken off.
        p: Share of permutations, the data itself counted as one, that reach `bits`.
        components: Components per side, (a, b).
    """

    bits: float
    left_out: Floats
    null: Floats
    p: float
    components: tuple[int, int]

    @property
    def interval(self) -> tuple[float, float]:
        """Ends of the 95% jackknife interval."""
        half = float(stdtrit(len(self.left_out) - 1, 0.975)) * standard_error(self.left_out)
        return self.bits - half, self.bits + half


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shuffles:
    """Independent documents with their classes of y, and permutations within each class.

    Attributes:
        held: (n,) int64, positions of the documents: at most one of each cluster, those of a class
            together.
        classes: (n,) int64, the class of each, counted from 0.
        orders: (permutations, n) int64, places in `held`.
    """

    held: NDArray[np.int64]
    classes: NDArray[np.int64]
    orders: NDArray[np.int64]

    @classmethod
    def draw(
        cls,
        y: NDArray[np.int64],
        clusters: Clusters,
        *,
        permutations: int,
        rng: np.random.Generator,
    ) -> Shuffles | None:
        """Draw one document of each cluster, and permutations within every class of `y`.

        Documents of a cluster are not exchangeable one by one, and clusters whose documents have
        other answers not as wholes; single documents of different clusters are. Those that are
        alone in their class are left out. None if the rest cannot bear one component.
        """
        order = rng.permutation(len(y))
        drawn = order[np.unique(clusters.index[order], return_index=True)[1]]
        _, classes, sizes = np.unique(y[drawn], return_inverse=True, return_counts=True)
        drawn = drawn[sizes[classes] > 1]
        held = drawn[np.lexsort((drawn, y[drawn]))]
        _, classes, sizes = np.unique(y[held], return_inverse=True, return_counts=True)
        if len(held) - len(sizes) < DOCUMENTS_PER_COMPONENT:
            return None
        parts = np.split(np.arange(len(held)), np.cumsum(sizes)[:-1])
        orders = [rng.permuted(np.tile(rows, (permutations, 1)), axis=1) for rows in parts]
        return cls(held=held, classes=classes, orders=np.concatenate(orders, axis=1))

    @property
    def components(self) -> int:
        """Components per side that the documents can bear, at most `MOST_COMPONENTS`."""
        free = len(self.held) - int(self.classes[-1]) - 1
        return min(MOST_COMPONENTS, free // DOCUMENTS_PER_COMPONENT)


def conditional_information(a: Floats, b: Floats, shuffles: Shuffles) -> Shared:
    """Return I(a; b | y) under a Gaussian model, freed of small-sample bias.

    Class means are taken off each side, which is then projected to its first principal components.
    Classes share one covariance, so that a few documents of each are enough. The correlation
    matrix of both sides is shrunk towards the identity, and its mutual information is
    -1/2 log2 det(I - C C'), C being the cross-correlation of the whitened sides. The mean over
    permutations within classes is subtracted: the bias of the plug-in estimate depends on sizes
    only, not on the truth (the log-determinant of a Wishart matrix), so this removes it. The
    interval is a delete-a-group jackknife (20 groups stratified by class, Student's t). Documents
    are those of `shuffles`, no two of one cluster, so permutations exchange clusters and the
    jackknife leaves out whole ones.

    What it cannot see: dependence that leaves the correlations alone (of magnitudes, of signs, of
    anything not linear, of opposite sign in different classes); whatever lies outside the first
    principal components, which are the directions of most variance and not of most meaning; and
    that the inputs were dependent before any fusion.

    Args:
        a: (n, width of a) float64.
        b: (n, width of b) float64, the same documents.
        shuffles: Documents with their classes of y, and permutations within them.
    """
    a, b = project(a, shuffles), project(b, shuffles)
    white_a, white_b = _whitened(a), _whitened(b)
    observed = float(_bits(white_a.T @ white_b))
    draws = _bits(np.matmul(white_a[shuffles.orders].transpose(0, 2, 1), white_b))
    mean = float(draws.mean())
    # Sums taken in another order may differ by rounding; a tie is one that reached the value.
    reached = int((draws >= observed - 1e-9).sum())
    return Shared(
        bits=observed - mean,
        left_out=_left_out(a, b, shuffles.classes) - mean,
        null=draws - mean,
        p=(1 + reached) / (1 + len(draws)),
        components=(a.shape[1], b.shape[1]),
    )


def standard_error(left_out: Floats) -> float:
    """Return the jackknife's standard error, from what it finds without each group."""
    return math.sqrt((len(left_out) - 1) * float(np.var(left_out)))


def project(side: Floats, shuffles: Shuffles) -> Floats:
    """Return the first principal components of one side, class means taken off.

    (documents of `shuffles`, components) float64; a side that does not vary at all has one
    component of zeros.
    """
    side = side[shuffles.held]
    left, sizes, _ = np.linalg.svd(_within(side, shuffles.classes), full_matrices=False)
    # Rounding of a constant is not variation: it is compared with what was centred away as well.
    least = max(sizes[0] * RANK_TOLERANCE, np.linalg.norm(side) * 1e-7)
    rank = int((sizes > least).sum())
    if rank == 0:
        return np.zeros((len(side), 1))
    k = min(shuffles.components, rank)
    projected: Floats = left[:, :k] * sizes[:k]
    return projected


def _within(side: Floats, classes: NDArray[np.int64]) -> Floats:
    """Return what is left of each document's vector without the mean of its class."""
    one_hot = np.eye(int(classes.max()) + 1)[classes]
    means = one_hot.T @ side / np.maximum(one_hot.sum(axis=0), 1)[:, None]
    centred: Floats = side - means[classes]
    return centred


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
    """Return the KSG estimate in bits on the projected and standardised sides, class means off."""
    return ksg(*(_standardised(project(side, shuffles)) for side in (a, b)))


def _standardised(side: Floats) -> Floats:
    """Return columns of mean 0 and variance 1; those that do not vary become 0."""
    centred = side - side.mean(axis=0)
    deviation = centred.std(axis=0)
    return np.where(deviation > 0, centred / np.where(deviation > 0, deviation, 1.0), 0.0)


def _whitened(side: Floats) -> Floats:
    """Return a side scaled so that products of two sides are a shrunk correlation.

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


def _left_out(a: Floats, b: Floats, classes: NDArray[np.int64]) -> Floats:
    """Return the plug-in estimate without every 20th document, from each of the first 20 on."""
    groups = np.arange(len(a)) % GROUPS
    found = np.zeros(GROUPS)
    for group in range(GROUPS):
        kept = groups != group
        sides = (_whitened(_within(side[kept], classes[kept])) for side in (a, b))
        white_a, white_b = sides
        found[group] = _bits(white_a.T @ white_b)
    return found
