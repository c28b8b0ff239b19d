"""Several tests at once: p-values that allow for how many were made."""

from __future__ import annotations

import numpy as np

from vlmbench.metrics._clusters import Floats


def holm(p: Floats) -> Floats:
    """Return Holm's adjusted p-values, in the order of (tests,) `p`.

    Those at most .05 leave a chance of at most .05 that any of them is a false one, however the
    tests depend on one another. Holm 1979, https://www.jstor.org/stable/4615733.
    """
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return _placed(np.minimum(steps, 1.0), order)


def false_discovery(p: Floats) -> Floats:
    """Return Benjamini and Hochberg's adjusted p-values, in the order of (tests,) `p`.

    Of those at most .05, one in twenty is a false one on average. Benjamini and Hochberg 1995,
    https://doi.org/10.1111/j.2517-6161.1995.tb02031.x.
    """
    order = np.argsort(-p, kind="stable")
    count = len(p)
    steps = np.minimum.accumulate(p[order] * count / np.arange(count, 0, -1))
    return _placed(np.minimum(steps, 1.0), order)


def _placed(values: Floats, order: np.ndarray) -> Floats:
    placed = np.empty_like(values)
    placed[order] = values
    return placed
