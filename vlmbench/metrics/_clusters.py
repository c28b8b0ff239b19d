"""Clusters: documents that share an image, a scene or a condition tell less than as many others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vlmbench.types import ChoiceScores

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clusters:
    """Which of n documents belong together.

    Attributes:
        index: (n,) int64, the cluster of each document, counted from 0.
        sizes: (clusters,) int64, documents of each.
    """

    index: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @classmethod
    def of(cls, labels: NDArray[np.int64]) -> Self:
        """Return the clusters of documents with these labels, equal ones for a cluster."""
        _, index, sizes = np.unique(labels, return_inverse=True, return_counts=True)
        return cls(index=index, sizes=sizes)

    @classmethod
    def among(cls, scores: ChoiceScores) -> Self:
        """Return the clusters of scored documents."""
        return cls.of(scores.cluster_of)

    @classmethod
    def none(cls, n: int) -> Self:
        """Return n documents that share nothing."""
        return cls.of(np.arange(n))

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def documents(self) -> int:
        """Number of documents."""
        return len(self.index)

    @property
    def alone(self) -> bool:
        """Whether every document stands for itself."""
        return len(self) == self.documents

    @property
    def evened(self) -> float:
        """Number of clusters of equal size that would weigh as these do: n^2 / sum of squares.

        Kish's effective number, n for documents that share nothing. Few large clusters among many
        small ones count for few (Carter, Schnepel and Steigerwald 2017,
        https://doi.org/10.1162/REST_a_00639).
        """
        return float(self.documents**2 / (self.sizes**2).sum())

    def sums(self, values: Floats) -> Floats:
        """Return the sums of (n,) or (n, columns) `values` over each cluster's documents."""
        totals = np.zeros((len(self), *values.shape[1:]))
        np.add.at(totals, self.index, values)
        return totals

    def variance(self, values: Floats) -> float:
        """Return the variance of the mean of (n,) `values`, by leaving out one cluster at a time.

        The jackknife, s^2 / n for documents that share nothing, and with few or unequal clusters
        rather too large than too small (MacKinnon, Nielsen and Webb 2023,
        https://doi.org/10.1002/jae.2969). Needs two clusters.
        """
        n, count = self.documents, len(self)
        moved = self.sums(values - values.mean()) / (n - self.sizes)
        return float((count - 1) / count * (moved**2).sum())

    def effective_n(self, values: Floats) -> float:
        """Return how many independent documents would tell as much about the mean of `values`.

        n over the design effect, the ratio of the clusters' variance to that of independent
        documents, taken as 1 where it is less; and less again by the ratio of Student's quantiles,
        because the effect is known from few clusters only. This is Korn and Graubard's effective
        sample size (1998, Survey Methodology 24, 193-201), with `evened` for their clusters. It is
        exactly n where every document stands for itself. Where all values are equal nothing tells
        how alike documents of a cluster are, and each cluster counts as one document. 0 for a
        single cluster.
        """
        n = self.documents
        if self.alone:
            return float(n)
        if len(self) == 1:
            return 0.0
        apart = float(values.var(ddof=1)) / n
        equal = np.ptp(values) == 0
        design = n / self.evened if equal else max(self.variance(values) / apart, 1.0)
        return n / design * (student(n - 1) / student(self.evened - 1)) ** 2

    @property
    def stretch(self) -> float:
        """What a bootstrap over clusters is too narrow by, as a factor.

        A resample varies less than the population by (clusters - 1) / clusters, and a percentile
        knows nothing of Student's tails (Hesterberg 2015, section 4.1,
        https://doi.org/10.1080/00031305.2015.1089789). Given relative to documents that share
        nothing, for which it is 1. Needs two clusters.
        """
        if self.alone:
            return 1.0
        n = self.documents
        spread = (self.evened / (self.evened - 1)) / (n / (n - 1))
        return float(student(self.evened - 1) / student(n - 1) * np.sqrt(spread))


def student(freedom: float) -> float:
    """Return Student's quantile at 0.975."""
    from scipy.special import stdtrit  # not above: the command line would wait for it

    return float(stdtrit(freedom, 0.975))
