"""The probes that need no fitting: correspondence, style and the odd one out.

Every score is computed in float64 and is larger for a likelier choice. Sources: the direct
visual readouts of Fu et al., *Hidden in plain sight*, https://arxiv.org/abs/2506.08008; Gram
matrices as style: Gatys et al., https://arxiv.org/abs/1505.07376.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from vlmbench.readouts.probes._features import ImageFeatures, consumed_patches, pooled
from vlmbench.readouts.probes._head import Fitting, check_regions
from vlmbench.readouts.probes._regions import sample_at_points
from vlmbench.spec import GramProbe, KeypointProbe, OddOneOutProbe
from vlmbench.types import Document, Scale

# Cosines are compared in these steps, far above float64 rounding and far below any difference
# that means something, so that equal inputs tie exactly whatever the order of the sums.
_COSINE_STEP = 1e-9


def _cosines(
    vectors: Float[Tensor, "n dim"], others: Float[Tensor, "m dim"]
) -> NDArray[np.float64]:
    """Return (n, m) cosine similarities in whole steps of 1e-9; 0 for a vector of zeros."""
    unit = torch.nn.functional.normalize(vectors, dim=1)
    other_unit = torch.nn.functional.normalize(others, dim=1)
    return np.rint((unit @ other_unit.T).cpu().numpy() / _COSINE_STEP).astype(np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeypointHead:
    """Correspondence: cosine similarity of each choice's token to the reference point's.

    Attributes:
        sampling: As `spec.Encoder.sampling`.
    """

    scale: ClassVar[Scale] = "similarity"
    sampling: Literal["bilinear", "nearest"] = "bilinear"

    @torch.no_grad()
    def score(
        self, document: Document, features: Sequence[ImageFeatures]
    ) -> Float[np.ndarray, " choices"]:
        """Return cosine similarities in [-1, 1] of tokens sampled at the points, float64."""
        check_regions(KeypointProbe.needs, document, features)
        assert document.reference is not None
        regions = (document.reference, *document.candidates)
        tokens = torch.cat(
            [
                sample_at_points(
                    features[region.image].patch_tokens[-1],
                    np.asarray([region.xy], dtype=np.float64),
                    features[region.image].frame,
                    sampling=self.sampling,
                )
                for region in regions
            ]
        )
        similarities: NDArray[np.float64] = _cosines(tokens[:1], tokens[1:])[0] * _COSINE_STEP
        return similarities

    def record(self) -> dict[str, Any]:
        """Return nothing: it is not fitted."""
        return {}


def keypoint_head(probe: KeypointProbe, fitting: Fitting) -> KeypointHead:
    """Return what scores documents; nothing is fitted."""
    del probe
    return KeypointHead(sampling=fitting.how.sampling)


@torch.no_grad()
def gram_matrix(tokens: Float[Tensor, "n dim"]) -> Float[Tensor, "dim dim"]:
    """Return F^T F / n of n tokens, (dim, dim): which channels fire together, wherever."""
    return tokens.T @ tokens / tokens.shape[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class GramHead:
    """Style: minus the mean squared error between the choice's Gram matrix and the reference's.

    Deviations from the source: sums are divided by the number of positions, so that images of
    different shape compare, and patches of padding are left out. A document's errors are shares of
    the mean square of its largest Gram matrix: ties are decided in a fixed step, which must mean
    the same for towers whose features are of different size.
    """

    scale: ClassVar[Scale] = "similarity"

    @torch.no_grad()
    def score(
        self, document: Document, features: Sequence[ImageFeatures]
    ) -> Float[np.ndarray, " choices"]:
        """Return minus mean squared errors, in [-4, 0] without a unit, float64."""
        check_regions(GramProbe.needs, document, features)
        assert document.reference is not None
        regions = (document.reference, *document.candidates)
        grams = torch.stack(
            [gram_matrix(consumed_patches(features[region.image])) for region in regions]
        )
        size = grams.square().mean(dim=(1, 2)).max().clamp(min=torch.finfo(grams.dtype).tiny)
        errors = (grams[1:] - grams[0]).square().mean(dim=(1, 2)) / size
        scores: NDArray[np.float64] = -errors.cpu().numpy()
        return scores

    def record(self) -> dict[str, Any]:
        """Return nothing: it is not fitted."""
        return {}


def gram_head(probe: GramProbe, fitting: Fitting) -> GramHead:
    """Return what scores documents; nothing is fitted."""
    del probe, fitting
    return GramHead()


@dataclass(frozen=True, slots=True, kw_only=True)
class OddOneOutHead:
    """The odd one out: minus the mean cosine similarity of an image to the other choices.

    Attributes:
        pooling: As `spec.Encoder.pooling`.
    """

    scale: ClassVar[Scale] = "similarity"
    pooling: Literal["twin", "mean"] = "twin"

    @torch.no_grad()
    def score(
        self, document: Document, features: Sequence[ImageFeatures]
    ) -> Float[np.ndarray, " choices"]:
        """Return minus mean similarities in [-1, 1] of pooled features, float64."""
        check_regions(OddOneOutProbe.needs, document, features)
        vectors = torch.stack(
            [pooled(features[region.image], self.pooling) for region in document.candidates]
        )
        steps = _cosines(vectors, vectors)
        # Sums of whole numbers below 2**53 are exact, so the order of the images cannot matter.
        to_others = steps.sum(axis=1) - np.diag(steps)
        oddness: NDArray[np.float64] = -to_others / (len(vectors) - 1) * _COSINE_STEP
        return oddness

    def record(self) -> dict[str, Any]:
        """Return nothing: it is not fitted."""
        return {}


def odd_one_out_head(probe: OddOneOutProbe, fitting: Fitting) -> OddOneOutHead:
    """Return what scores documents; nothing is fitted."""
    del probe
    return OddOneOutHead(pooling=fitting.how.pooling)
