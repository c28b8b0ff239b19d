"""What a tower says about one image, and where the image's pixels lie on its patch grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from torch import Tensor

from vlmbench.models import Letterbox

Points = Float[np.ndarray, "*points 2"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Where the pixels of an image lie in the square that a tower saw, and on its patch grid.

    All three frames are continuous, x to the right and y down from the top-left corner: the
    centre of pixel i is at i + 0.5, and the centre of patch (row, column) at
    (column + 0.5, row + 0.5). A square whose side is not a multiple of the patch ends in a strip
    that no patch covers, as in a convolution without padding.

    Attributes:
        image_size: (width, height) of the original image in pixels.
        side: Side of the square in pixels.
        patch: Side of a patch in pixels of the square.
        content: (x0, y0, x1, y1) of the image within the square; what lies around it is padding.
    """

    image_size: tuple[int, int]
    side: int
    patch: int
    content: tuple[float, float, float, float]

    def __post_init__(self) -> None:
        if min(self.image_size) < 1:
            raise ValueError(f"an image of {self.image_size} pixels has no frame")
        if not 1 <= self.patch <= self.side:
            raise ValueError(f"patch must lie between 1 and side={self.side}, got {self.patch}")
        x0, y0, x1, y1 = self.content
        if not (x0 < x1 and y0 < y1):
            raise ValueError(f"content {self.content} is empty")

    @classmethod
    def letterbox(cls, image_size: tuple[int, int], *, side: int, patch: int) -> Frame:
        """Return the frame of an image padded to an exact square and scaled to `side`."""
        return cls.inside_of(Letterbox(side=side), image_size, patch=patch)

    @classmethod
    def inside_of(cls, letterbox: Letterbox, image_size: tuple[int, int], *, patch: int) -> Frame:
        """Return the frame of an image on the square that a letterbox makes of it."""
        content = letterbox.content(image_size)
        return cls(image_size=image_size, side=letterbox.side, patch=patch, content=content)

    @classmethod
    def stretched(cls, image_size: tuple[int, int], *, side: int, patch: int) -> Frame:
        """Return the frame of an image resized to the whole square, whatever its aspect."""
        content = (0.0, 0.0, float(side), float(side))
        return cls(image_size=image_size, side=side, patch=patch, content=content)

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) patches."""
        return self.side // self.patch, self.side // self.patch

    @property
    def _scale(self) -> tuple[float, float]:
        """Pixels of the square per pixel of the image, along x and y."""
        x0, y0, x1, y1 = self.content
        return (x1 - x0) / self.image_size[0], (y1 - y0) / self.image_size[1]

    def to_square(self, xy: ArrayLike) -> Points:
        """Map points (..., 2) of the image to the square, float64."""
        return np.asarray(xy, dtype=np.float64) * self._scale + self.content[:2]

    def from_square(self, xy: ArrayLike) -> Points:
        """Map points (..., 2) of the square to the image, float64."""
        return (np.asarray(xy, dtype=np.float64) - self.content[:2]) / self._scale

    def to_grid(self, xy: ArrayLike) -> Points:
        """Map points (..., 2) of the image to the patch grid, float64."""
        return self.to_square(xy) / self.patch

    def inside(self) -> Bool[np.ndarray, "h w"]:
        """Tell which patches have their centre in the image rather than in the padding.

        If an image is so narrow that it contains no centre, the patches nearest to its middle are
        kept.
        """
        rows, columns = self.grid
        x0, y0, x1, y1 = (edge / self.patch for edge in self.content)
        return np.outer(_within(rows, y0, y1), _within(columns, x0, x1))


@dataclass(frozen=True, slots=True, kw_only=True)
class OnGrid:
    """Where the pixels of an image lie on a grid of tokens: a `Frame` for whatever grid there is.

    Attributes:
        image_size: (width, height) of the image in pixels.
        grid: (rows, columns) of tokens.
        box: (x0, y0, x1, y1) of the image on the grid, in tokens; partly outside where its edges
            are cut off.
    """

    image_size: tuple[int, int]
    grid: tuple[int, int]
    box: tuple[float, float, float, float]

    def to_grid(self, xy: ArrayLike) -> Points:
        """Map points (..., 2) of the image to the grid, float64."""
        x0, y0, x1, y1 = self.box
        scale = (x1 - x0) / self.image_size[0], (y1 - y0) / self.image_size[1]
        return np.asarray(xy, dtype=np.float64) * scale + (x0, y0)

    def inside(self) -> Bool[np.ndarray, "h w"]:
        """Tell which tokens have their centre in the image rather than beside it."""
        rows, columns = self.grid
        x0, y0, x1, y1 = self.box
        return np.outer(_within(rows, y0, y1), _within(columns, x0, x1))

    def shows(self, xy: ArrayLike) -> bool:
        """Tell whether all points of the image lie on the grid."""
        rows, columns = self.grid
        found = self.to_grid(xy)
        return bool(((found >= 0) & (found <= (columns, rows))).all())


def _within(count: int, low: float, high: float) -> Bool[np.ndarray, " count"]:
    """Tell which centres of `count` unit cells lie in [low, high); the nearest if none does."""
    centres = np.arange(count) + 0.5
    held: Bool[np.ndarray, " count"] = (centres >= low) & (centres < high)
    if not held.any():
        held[np.abs(centres - (low + high) / 2).argmin()] = True
    return held


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageFeatures:
    """What a tower says about one image.

    Attributes:
        patch_tokens: (layers, h, w, dim), shallow to deep; the last layer is the one the VLM
            consumes. Any float dtype, any device.
        cls_token: (dim,) at the consumed layer; None if the tower has none, or if the mean of the
            patch tokens should represent the image.
        frame: Where the image lies on the grid of tokens.
    """

    patch_tokens: Float[Tensor, "layers h w dim"]
    cls_token: Float[Tensor, " dim"] | None
    frame: Frame | OnGrid

    def __post_init__(self) -> None:
        shape = tuple(self.patch_tokens.shape)
        if len(shape) != 4 or shape[0] < 1 or shape[1:3] != self.frame.grid:
            raise ValueError(f"patch_tokens must be (layers, *{self.frame.grid}, dim), got {shape}")
        if self.cls_token is not None and self.cls_token.shape != shape[3:]:
            raise ValueError(f"cls_token must be {shape[3:]}, got {tuple(self.cls_token.shape)}")

    @property
    def square(self) -> Frame:
        """The frame of an image on a tower's square; what reads pixels of it takes no other."""
        assert isinstance(self.frame, Frame), "a stage's grid has no square of pixels"
        return self.frame

    @property
    def embed_dim(self) -> int:
        """Length of a token."""
        return int(self.patch_tokens.shape[-1])


@torch.no_grad()
def consumed_patches(features: ImageFeatures) -> Float[Tensor, "n dim"]:
    """Return the consumed layer's tokens inside the image, (n, dim) float64, where they are."""
    tokens = features.patch_tokens[-1].detach().double()
    return tokens[torch.from_numpy(features.frame.inside()).to(tokens.device)]


@torch.no_grad()
def pooled(
    features: ImageFeatures, pooling: Literal["twin", "mean"] = "twin"
) -> Float[Tensor, " dim"]:
    """Return one vector for the image, (dim,) float64, where its features are.

    The CLS token where there is one and the mean is not asked for, else the mean of the consumed
    layer's patch tokens over the patches that are not padding.
    """
    if features.cls_token is not None and pooling == "twin":
        return features.cls_token.detach().double()
    return consumed_patches(features).mean(dim=0)
