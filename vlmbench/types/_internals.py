"""What a language model held inside while it read: hidden states and attention, summed up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vlmbench.types._attention import Attention

Group = Literal["image", "regions", "choices", "text"]

GROUPS: tuple[Group, ...] = get_args(Group)
"""Groups of a prompt's tokens, in the order of `mass` and `tokens`. Image, choices and text
together are all tokens; regions are some of the image's."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Internals:
    """Summaries of what happened inside a language model, per document.

    Hidden state 0 is what the first layer is given, k what layer k puts out, before any final
    norm. A document that failed is NaN throughout, with no tokens.

    Attributes:
        doc_ids: Documents in order; length n.
        h_image: (n, layers + 1, width) float32, mean over image positions; NaN without images.
        h_text: (n, layers + 1, width) float32, mean over the positions after the last image, or
            over all where there is no image.
        h_last: (n, layers + 1, width) float32, at the last position of the prompt.
        mass: (n, layers, 4) float64, attention that the last position of the prompt pays to each
            of `GROUPS`, mean over heads; image, choices and text sum to 1. Regions are NaN where
            it is not known which tokens show them.
        tokens: (n, 4) int64, tokens in each group; regions 0 where unknown.
        attention: The same attention by head, with sinks apart; None in records from before it
            was read.
    """

    doc_ids: tuple[str, ...]
    h_image: NDArray[np.float32]
    h_text: NDArray[np.float32]
    h_last: NDArray[np.float32]
    mass: NDArray[np.float64]
    tokens: NDArray[np.int64]
    attention: Attention | None = None

    def __post_init__(self) -> None:
        n = len(self.doc_ids)
        if self.h_last.ndim != 3 or self.h_last.shape[0] != n:
            raise ValueError(f"h_last must be ({n}, states, width), got {self.h_last.shape}")
        expected = {
            "h_image": self.h_last.shape,
            "h_text": self.h_last.shape,
            "mass": (n, self.layers, len(GROUPS)),
            "tokens": (n, len(GROUPS)),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must be {shape}, got {getattr(self, name).shape}")
        if self.attention is not None and self.attention.heads.shape[:2] != (n, self.layers):
            found = self.attention.heads.shape[:2]
            raise ValueError(f"attention must be of {(n, self.layers)}, got {found}")

    def __len__(self) -> int:
        return len(self.doc_ids)

    @property
    def layers(self) -> int:
        """Layers of the language model."""
        return int(self.h_last.shape[1]) - 1

    @property
    def width(self) -> int:
        """Channels of a hidden state."""
        return int(self.h_last.shape[2])
