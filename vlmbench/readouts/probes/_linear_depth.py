"""Depth by one linear map of each token: fitted in closed form from sums, so at any stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample

from vlmbench.readouts.probes._depth import Answer, region_scores
from vlmbench.readouts.probes._features import ImageFeatures
from vlmbench.readouts.probes._head import check_regions
from vlmbench.spec import DepthProbe
from vlmbench.types import Document, Scale, VlmbenchError

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Ridge penalties on standardised features, as shares of their variance."""

Floats = NDArray[np.float64]


class DepthSums:
    """Sums over tokens of known depth, from which a linear map is fitted or judged.

    They take 8 (dim + 2)^2 bytes where the tokens are, however many images there are.

    Attributes:
        moments: (dim + 2, dim + 2) float64, sums of products of (1, token, log depth); None before
            the first token.
    """

    def __init__(self) -> None:
        self.moments: Float[Tensor, "all all"] | None = None

    @torch.no_grad()
    def add(self, features: ImageFeatures, depth: Float[np.ndarray, "height width"]) -> None:
        """Add the tokens of one image whose centres have a known depth.

        Args:
            features: The last layer is read.
            depth: (height, width) in metres; 0 where unknown.

        Raises:
            VlmbenchError: If the map is not of the image's size.
        """
        if depth.shape != features.frame.image_size[::-1]:
            size = " x ".join(map(str, features.frame.image_size))
            shape = " x ".join(map(str, depth.shape[::-1]))
            raise VlmbenchError(f"a depth map of {shape} pixels for an image of {size}")
        rows, columns = features.frame.grid
        # The pixel nearest to each token's centre, by where pixels lie on the grid.
        corner = features.frame.to_grid(np.array([0.5, 0.5]))
        step = features.frame.to_grid(np.array([1.5, 1.5])) - corner
        px = np.rint((np.arange(columns) + 0.5 - corner[0]) / step[0]).astype(int)
        py = np.rint((np.arange(rows) + 0.5 - corner[1]) / step[1]).astype(int)
        held_x, held_y = (px >= 0) & (px < depth.shape[1]), (py >= 0) & (py < depth.shape[0])
        seen = np.zeros((rows, columns))
        seen[np.ix_(held_y, held_x)] = depth[np.ix_(py[held_y], px[held_x])]
        known = seen > 0
        if not known.any():
            return
        tokens = features.patch_tokens[-1].detach()
        tokens = tokens[torch.from_numpy(known).to(tokens.device)].double()
        target = torch.from_numpy(np.log(seen[known])).to(tokens.device)
        whole = torch.cat([torch.ones_like(target)[:, None], tokens, target[:, None]], dim=1)
        self._add(whole.T @ whole)

    def join(self, other: DepthSums) -> None:
        """Add the sums of other tokens."""
        if other.moments is not None:
            self._add(other.moments)

    def _add(self, moments: Float[Tensor, "all all"]) -> None:
        # In place, after a copy of the first: another's sums must not grow with these.
        self.moments = moments.clone() if self.moments is None else self.moments.add_(moments)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearDepthHead:
    """A linear map from a token to the logarithm of its depth, which can score.

    Attributes:
        weights: (dim,) float64.
        bias: Log depth of a token of zeros.
        penalty: The ridge penalty, chosen on validation.
        errors: Mean squared error of log depth on validation, by penalty.
        answer: Which region the question asks for.
    """

    scale: ClassVar[Scale] = "similarity"
    weights: Floats
    bias: float
    penalty: float
    errors: dict[float, float]
    answer: Answer = "nearest"

    @classmethod
    def fit(
        cls, train: DepthSums, validation: DepthSums, *, answer: Answer = "nearest"
    ) -> LinearDepthHead:
        """Fit on `train` with every penalty and keep the one with the least error on `validation`.

        Raises:
            VlmbenchError: If no token of either split has a known depth.
        """
        if train.moments is None or validation.moments is None:
            raise VlmbenchError("no token of the training or validation split has a known depth")
        learnt, judged = (sums.cpu().numpy() for sums in (train.moments, validation.moments))
        fits = {penalty: _ridge(learnt, penalty) for penalty in PENALTIES}
        errors = {penalty: _error(judged, *fit) for penalty, fit in fits.items()}
        best = min(reversed(PENALTIES), key=errors.__getitem__)  # of equals the most regularised
        weights, bias = fits[best]
        return cls(weights=weights, bias=bias, penalty=best, errors=errors, answer=answer)

    @torch.no_grad()
    def predict(self, features: ImageFeatures) -> Float[np.ndarray, "height width"]:
        """Return depth at the centre of every pixel of the image, metres, float64."""
        frame = features.frame
        tokens = features.patch_tokens[-1].detach().double()
        weights = torch.from_numpy(self.weights).to(tokens.device)
        depth = torch.exp(tokens @ weights + self.bias).cpu()  # (rows, columns)
        width, height = frame.image_size
        x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        rows, columns = frame.grid
        where = frame.to_grid(np.stack([x, y], axis=-1)) / (columns, rows) * 2 - 1
        found = grid_sample(
            depth[None, None],
            torch.from_numpy(where)[None],
            mode="bilinear",
            padding_mode="border",
            align_corners=False,
        )
        pixels: Floats = found[0, 0].numpy()
        return pixels

    def score(
        self, document: Document, features: Sequence[ImageFeatures]
    ) -> Float[np.ndarray, " choices"]:
        """Return minus the mean predicted depth of each region; as `FittedDepthHead.score`."""
        check_regions(DepthProbe.needs, document, features)
        return region_scores(document, lambda image: self.predict(features[image]), self.answer)

    def record(self) -> dict[str, Any]:
        """Return how the head came about, as JSON values."""
        return {
            "head": "ridge regression of log depth on each token",
            "penalty": self.penalty,
            "chosen_by": "least squared error of log depth on validation",
            "validation_error": {str(penalty): error for penalty, error in self.errors.items()},
            "embed_dim": len(self.weights),
        }


def _ridge(moments: Floats, penalty: float) -> tuple[Floats, float]:
    """Return weights and bias of ridge regression on standardised features, from sums."""
    n = moments[0, 0]
    mean = moments[0] / n
    covariance = moments / n - np.outer(mean, mean)
    deviation = np.sqrt(np.maximum(np.diag(covariance)[1:-1], 0))
    scale = np.where(deviation > 1e-9 * (1 + np.abs(mean[1:-1])), deviation, np.inf)
    inner = covariance[1:-1, 1:-1] / np.outer(scale, scale)
    solved = np.linalg.solve(inner + penalty * np.eye(len(inner)), covariance[1:-1, -1] / scale)
    weights: Floats = solved / scale
    return weights, float(mean[-1] - weights @ mean[1:-1])


def _error(moments: Floats, weights: Floats, bias: float) -> float:
    """Return the mean squared error of a linear map, from sums."""
    line = np.concatenate([[bias], weights, [-1.0]])
    return float(line @ moments @ line / moments[0, 0])
