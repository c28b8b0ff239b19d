"""What a depth head is trained to minimise, and how it is judged."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vlmbench.readouts.probes._recipe import DptRecipe

_LOG_FLOOR = 1e-3
_ROOT_FLOOR = 1e-12
_STRIDES = (1, 2, 4, 8)
_DELTA1_RATIO = 1.25

Maps = Float[Tensor, "batch height width"]
Mask = Bool[Tensor, "batch height width"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthMetrics:
    """How far predicted depth is off, each averaged over the images that have known depth.

    Attributes:
        abs_rel: Mean of |predicted - true| / true.
        delta1: Share of pixels whose prediction is within a factor of 1.25 of the truth.
        rmse: Root of the mean squared error, in metres.
    """

    abs_rel: float
    delta1: float
    rmse: float


def _log_error(predicted: Maps, true: Maps, known: Mask) -> Maps:
    """Return log(predicted) - log(true), 0 where depth is unknown."""
    error = torch.log(predicted + _LOG_FLOOR) - torch.log(true + _LOG_FLOOR)
    return torch.where(known, error, torch.zeros_like(error))


def sig_loss(predicted: Maps, true: Maps, known: Mask, *, sigma: float) -> Float[Tensor, ""]:
    """Return sqrt(mean(g^2) - sigma * mean(g)^2), g the log error over the batch's known pixels.

    The scale-invariant loss of Eigen et al., https://arxiv.org/abs/1406.2283, in the form of
    AdaBins, https://arxiv.org/abs/2011.14141, and Probe3D (0.001 m added before each logarithm).
    0 if no pixel is known.
    """
    error = _log_error(predicted, true, known)
    n = known.sum().clamp(min=1)
    spread = error.square().sum() / n - sigma * (error.sum() / n).square()
    return spread.clamp(min=_ROOT_FLOOR).sqrt()


def gradient_loss(predicted: Maps, true: Maps, known: Mask) -> Float[Tensor, ""]:
    """Return the mean absolute gradient of the log error, summed over strides of 1, 2, 4 and 8.

    At each stride: differences of the error between pixels two apart, in both directions, over
    pairs known at both ends, divided by the number of known pixels. After Li and Snavely,
    *MegaDepth*, https://arxiv.org/abs/1804.00607. Deviation from Probe3D's code, whose slices
    thin out batch and channel instead of rows and columns: here it is the maps that are thinned.
    """
    error = _log_error(predicted, true, known)
    total = error.new_zeros(())
    for stride in _STRIDES:
        part, valid = error[:, ::stride, ::stride], known[:, ::stride, ::stride]
        down = (part[:, 2:] - part[:, :-2]).abs() * (valid[:, 2:] & valid[:, :-2])
        across = (part[:, :, 2:] - part[:, :, :-2]).abs() * (valid[:, :, 2:] & valid[:, :, :-2])
        total = total + (down.sum() + across.sum()) / valid.sum().clamp(min=1)
    return total


def depth_loss(predicted: Maps, true: Maps, known: Mask, recipe: DptRecipe) -> Float[Tensor, ""]:
    """Return the weighted sum of both losses."""
    shape = recipe.sig_weight * sig_loss(predicted, true, known, sigma=recipe.sigma)
    return shape + recipe.gradient_weight * gradient_loss(predicted, true, known)


@torch.no_grad()
def depth_metrics(predicted: Maps, true: Maps, known: Mask) -> list[DepthMetrics]:
    """Return the metrics of every image in the batch that has a known pixel."""
    found = []
    for image, truth, mask in zip(predicted.double(), true.double(), known, strict=True):
        if not mask.any():
            continue
        guess, target = image[mask], truth[mask]
        ratio = torch.maximum(guess / target, target / guess)
        found.append(
            DepthMetrics(
                abs_rel=float(((guess - target).abs() / target).mean()),
                delta1=float((ratio < _DELTA1_RATIO).double().mean()),
                rmse=float((guess - target).square().mean().sqrt()),
            )
        )
    return found


def mean_metrics(parts: list[DepthMetrics]) -> DepthMetrics:
    """Return the mean over images; there must be at least one."""
    n = len(parts)
    return DepthMetrics(
        abs_rel=sum(part.abs_rel for part in parts) / n,
        delta1=sum(part.delta1 for part in parts) / n,
        rmse=sum(part.rmse for part in parts) / n,
    )
