"""How many of torch's threads run a model on the CPU."""

from __future__ import annotations

import os
from typing import Final

import torch
from torch import nn

SMALL: Final = 50_000_000
"""Parameters below which more threads lose on a busy machine what they cannot gain on an idle one
(benchmarks/RESULTS.md)."""

_most = _chosen = torch.get_num_threads()


def share_threads(count: int) -> None:
    """Let this process use `count` threads at most, from now on."""
    global _most, _chosen  # noqa: PLW0603 -- torch's own number is one for the process, too
    _most = _chosen = count
    torch.set_num_threads(count)


def fit_threads(model: nn.Module) -> None:
    """Choose the number of threads for a model that runs next: one if it is small, else all.

    Threads wait for each other after every operation. A small model's take microseconds, so they
    wait longer than they work, and on a machine that is busy otherwise, by far: the one that is
    not running keeps all others waiting.

    Whoever sets `OMP_NUM_THREADS`, or calls `torch.set_num_threads`, has chosen already.
    """
    global _chosen  # noqa: PLW0603
    if "OMP_NUM_THREADS" in os.environ or torch.get_num_threads() != _chosen:
        return
    size = sum(parameter.numel() for parameter in model.parameters())
    _chosen = 1 if size < SMALL else _most
    torch.set_num_threads(_chosen)
