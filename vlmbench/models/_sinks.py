"""Attention sinks: tokens that are attended to whatever is asked, and say nothing.

Two rules. Where the language model is wide enough for massive activations, a token is a sink in a
layer if the state that the layer is given is massive in a dimension in which the first token's is
massive too: at least `MASSIVE` times the root mean square of the token's own state (arXiv
2503.03321). Departure from the source: there the dimensions are found once per language model, from
the beginning-of-sequence token, and here in each layer from the first token of the prompt.

In a narrower one (the square root of its width is the most that any ratio can be) a token is a sink
if the median question position pays it, on average over heads, at least `TIMES` an equal share.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

MASSIVE = 20.0
"""Ratio from which an activation is massive."""
TIMES = 10.0
"""How many equal shares a sink is paid."""
QUERIES = 8
"""Positions of the question that are looked at, spread evenly, where attention tells."""


def tells_by_states(width: int) -> bool:
    """Tell whether states of this width can be massive; else attention has to tell."""
    return width > MASSIVE**2


def rule(width: int) -> str:
    """Return in words how sinks are found in a language model of this width."""
    if tells_by_states(width):
        return f"states {MASSIVE:g} times their root mean square where the first token's are"
    return f"{TIMES:g} equal shares of the attention of the median question position"


def massive(state: Float[Tensor, "tokens width"]) -> NDArray[np.bool_]:
    """Tell which tokens are sinks by the states that a layer is given: (tokens,) bool."""
    state = state.float()
    ratio = state.abs() / state.square().mean(dim=1, keepdim=True).sqrt().clamp_min(1e-12)
    dimensions: Bool[Tensor, " width"] = ratio[0] >= MASSIVE
    found: NDArray[np.bool_] = (ratio[:, dimensions] >= MASSIVE).any(dim=1).cpu().numpy()
    return found


def attended(weights: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell which tokens are sinks by attention.

    Args:
        weights: (heads, queries, tokens), each row summing to 1 over the tokens of the prompt.

    Returns:
        (tokens,) bool.
    """
    share = np.median(weights.mean(axis=0), axis=0)
    found: NDArray[np.bool_] = share >= TIMES / weights.shape[2]
    return found


def queries(question: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """Return which positions' attention to compute: the last of the question stands last."""
    count = 1 if tells_by_states(width) else QUERIES
    spread = np.linspace(0, len(question) - 1, QUERIES)[-count:]
    found: NDArray[np.int64] = question[np.rint(spread).astype(np.int64)]
    return found
