"""Attention of a prompt's last position by layer and head, with attention sinks apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Part = Literal["image", "reference", "candidates", "choices", "text", "image_sinks", "text_sinks"]

PARTS: tuple[Part, ...] = get_args(Part)
"""Parts of a prompt's tokens, in the order of `Attention.heads`. Image, choices, text and the two
kinds of sinks are all tokens; reference and candidates are some of the image's, and none of them
are sinks."""

WHOLE = tuple(PARTS.index(part) for part in PARTS if part not in ("reference", "candidates"))
"""Places in `PARTS` of those that make up a whole prompt."""

WINDOWS = 4
"""Equal windows of layers that maps are averaged over, each with all heads."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Attention:
    """Attention that the last position of each prompt pays, per document.

    A document that failed is NaN throughout.

    Attributes:
        heads: (n, layers, heads, parts) float32, share paid to each of `PARTS`; reference and
            candidates are NaN where it is not known which tokens show them.
        sinks: (n, layers, 2) int64, how many image tokens and how many others are sinks.
        maps: (n, windows, most image tokens) float32, attention to each image token in order,
            mean over heads and over the layers of each of `WINDOWS`; layers in which a token is a
            sink count as 0. NaN past a document's image tokens, and for windows without layers.
        grids: (n, 3) int64, images of the document, and rows and columns of tokens of each; 0 where
            they do not all lie in one known grid.
    """

    heads: NDArray[np.float32]
    sinks: NDArray[np.int64]
    maps: NDArray[np.float32]
    grids: NDArray[np.int64]

    def __post_init__(self) -> None:
        n, layers = self.heads.shape[:2]
        expected = {
            "heads": (n, layers, self.heads.shape[2], len(PARTS)),
            "sinks": (n, layers, 2),
            "maps": (n, WINDOWS, self.maps.shape[-1]),
            "grids": (n, 3),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must be {shape}, got {getattr(self, name).shape}")

    def grid(self, index: int) -> NDArray[np.float32] | None:
        """Return a document's map as it lies on its images.

        Args:
            index: Which document.

        Returns:
            (images, rows, columns) float32, mean over the windows that have layers; None where the
            grid is not known.
        """
        images, rows, columns = (int(number) for number in self.grids[index])
        tokens = images * rows * columns
        kept = self.maps[index, ~np.isnan(self.maps[index, :, 0])]
        if not tokens or not len(kept):
            return None
        flat: NDArray[np.float32] = kept[:, :tokens].mean(axis=0)
        return flat.reshape(images, rows, columns)
