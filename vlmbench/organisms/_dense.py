"""A dense objective: every token is taught what the renderer knows of the point it stands for.

None of the paper's encoders is taught so. Tokens are read where the probes read them, raw, from the
last block and sampled bilinearly at points, so that what is learnt is what is measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vlmbench.organisms._dense_batch import (
    DEPTH_SHARES,
    DEPTH_STREAM,
    LABELS,
    NUMBERS,
    DenseBatch,
    Series,
    dense_batch,
)
from vlmbench.organisms._lessons import Library
from vlmbench.organisms._objectives import Objective
from vlmbench.organisms._recipe import EncoderRecipe
from vlmbench.tasks.worlds import CATEGORIES, COLOURS, STYLE_NAMES, UNKNOWN

TEMPERATURE = 0.08
"""Of cosines to proxies, and of cosines between views."""

APART = 6.0
"""Pixels within which two points of a view are too near to be told apart."""

WEIGHTS: Mapping[str, float] = {
    "part": 2.0,
    "use": 2.0,
    "match": 1.0,
    "category": 1.0,
    "colour": 0.25,
    "letter": 0.25,
    "style": 0.4,
    "depth": 1.0,
    "order": 2.0,
    "foot": 3.0,
    "image_category": 0.5,
    "image_colour": 0.1,
    "same": 1.0,
}
"""How much each loss counts."""

DEPTH_WEIGHTS: Mapping[str, float] = {**WEIGHTS, "depth": 3.0, "order": 6.0, "foot": 6.0}
"""The same in the stage for depth."""


class Proxies(nn.Module):
    """Classes as learnt vectors, to which a token's cosine is taken."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        # Short, so that they turn quickly: those of length 1 hardly move.
        self.vectors = nn.Parameter(functional.normalize(torch.randn(classes, width), dim=1) * 0.05)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return (..., classes) logits of (..., width) tokens."""
        unit = functional.normalize(tokens, dim=-1)
        logits: Tensor = unit @ functional.normalize(self.vectors, dim=-1).T / TEMPERATURE
        return logits


class DenseObjective(Objective):
    """An encoder and the heads that its tokens are taught by; only the encoder is shipped."""

    def __init__(self, recipe: EncoderRecipe) -> None:
        super().__init__(recipe)
        self.series, self.weights = Series(), WEIGHTS
        self.grid = recipe.image_size // recipe.patch_size
        self.side = recipe.image_size
        width = recipe.width
        self.labels = nn.ModuleDict({name: Proxies(n, width) for name, n in LABELS.items()})
        self.numbers = nn.ModuleDict({name: nn.Linear(width, n) for name, n in NUMBERS.items()})
        self.style = Proxies(len(STYLE_NAMES), width)
        self.image_category = nn.Linear(width, len(CATEGORIES))
        self.image_colour = nn.Linear(width, len(COLOURS))

    @property
    def matrices(self) -> Sequence[nn.Parameter]:
        """The matrices of the encoder's blocks."""
        named = self.encoder.named_parameters()
        return [p for name, p in named if p.ndim == 2 and ".layers." in name]

    def turn_to_depth(self) -> None:
        """Go over to what the stage for depth is taught."""
        self.series, self.weights = Series(DEPTH_SHARES, DEPTH_STREAM), DEPTH_WEIGHTS

    def loss_at(self, step: int, rng: np.random.Generator, library: Library) -> Tensor:
        """Return the weighted sum of all losses on views of its own; the library is not used."""
        del library
        found = self.losses(dense_batch(self.series.at(step, self.batch, rng), rng))
        return torch.stack([self.weights[name] * value for name, value in found.items()]).sum()

    def tokens(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, width) CLS and (B, width, rows, rows) patch tokens of the last block, raw."""
        output = self.encoder(pixel_values=pixels, output_hidden_states=True)
        state = output.hidden_states[-1].float()
        maps = state[:, 1:].transpose(1, 2).unflatten(2, (self.grid, self.grid))
        return state[:, 0], maps

    def losses(self, batch: DenseBatch) -> dict[str, Tensor]:
        """Return every loss of a batch by name, not yet weighted."""
        image, maps = self.tokens(batch.pixels)
        points = batch.points
        at = sampled(maps, points["xy"] / self.side * 2 - 1)
        every = maps.flatten(2).transpose(1, 2)
        style = batch.images["style"][:, None].expand(every.shape[:2])
        found = {name: label_loss(head(at), points[name]) for name, head in self.labels.items()}
        numbers = {name: head(at) for name, head in self.numbers.items()}
        found |= {name: number_loss(value, points[name]) for name, value in numbers.items()}
        things = torch.where(points["category"] == UNKNOWN, torch.nan, points["depth"])
        found["order"] = order_loss(numbers["depth"][..., 0], things)
        found["style"] = label_loss(self.style(every), style)
        found["match"] = match_loss(at, points, batch.pairs)
        found["image_category"] = label_loss(self.image_category(image), batch.images["category"])
        found["image_colour"] = label_loss(self.image_colour(image), batch.images["colour"])
        found["same"] = same_loss(image.index_select(0, batch.fours.flatten()))
        return found


def sampled(maps: Tensor, where: Tensor) -> Tensor:
    """Return (B, p, width) tokens of (B, width, h, w) maps at (B, p, 2) places in [-1, 1]."""
    found = functional.grid_sample(maps, where[:, None], padding_mode="border", align_corners=False)
    return found[:, :, 0].transpose(1, 2)


def _mean(values: Tensor, known: Tensor) -> Tensor:
    """Return the mean of what is known; 0 where nothing is."""
    return torch.where(known, values, 0).sum() / known.sum().clamp(min=1)


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of (..., classes) logits where (...) labels are known."""
    losses = functional.cross_entropy(
        logits.flatten(0, -2).float(), labels.flatten(), ignore_index=UNKNOWN, reduction="sum"
    )
    return losses / (labels != UNKNOWN).sum().clamp(min=1)


def number_loss(predicted: Tensor, true: Tensor) -> Tensor:
    """Return the mean smooth L1 loss of (B, p, k) predictions where (B, p[, k]) is known."""
    target = true.reshape(predicted.shape)
    known = target.isfinite()
    losses = functional.smooth_l1_loss(
        predicted.float(), target.nan_to_num(), beta=0.1, reduction="none"
    )
    return _mean(losses, known)


def order_loss(predicted: Tensor, depth: Tensor) -> Tensor:
    """Return the mean logistic loss of which of two points of an image, (B, p), is the nearer.

    Points that differ by less than a twentieth are not compared.
    """
    farther = depth[:, :, None] - depth[:, None] > 0.05  # False where either is not known
    ahead = (predicted[:, :, None] - predicted[:, None]).float()
    return _mean(functional.softplus(-4 * ahead), farther)


def match_loss(tokens: Tensor, points: Mapping[str, Tensor], pairs: Tensor) -> Tensor:
    """Return the InfoNCE loss between points that the two views of a pair share, both ways.

    Args:
        tokens: (B, p, width) at the points.
        points: As in `DenseBatch`.
        pairs: (n, 2) images.
    """
    unit = functional.normalize(tokens, dim=-1)
    one, two = (unit.index_select(0, images) for images in pairs.T)
    shared = points["match"][pairs].all(dim=1)  # (n, p)
    own = torch.eye(shared.shape[1], dtype=torch.bool, device=tokens.device)
    logits = one @ two.transpose(1, 2) / TEMPERATURE
    total = tokens.new_zeros(())
    for side, rows in ((1, logits), (0, logits.transpose(1, 2))):
        xy = points["xy"][pairs[:, side]]
        near = (xy[:, :, None] - xy[:, None]).norm(dim=-1) < APART
        left_out = (near | ~shared[:, None]) & ~own
        likely = rows.float().masked_fill(left_out, -torch.inf).log_softmax(dim=-1)
        total = total + _mean(-likely.diagonal(dim1=1, dim2=2), shared)
    return total / 2


def same_loss(images: Tensor) -> Tensor:
    """Return the InfoNCE loss of (4 m, width) images: each finds the other view of its thing.

    Four at a time belong together, two views of one thing and two of another.
    """
    unit = functional.normalize(images.float(), dim=-1).reshape(-1, 4, images.shape[1])
    own = torch.eye(4, dtype=torch.bool, device=images.device)
    logits = (unit @ unit.transpose(1, 2) / TEMPERATURE).masked_fill(own, -torch.inf)
    likely = logits.log_softmax(dim=-1)
    found = [likely[:, i, j] for i, j in ((0, 1), (1, 0), (2, 3), (3, 2))]
    return -torch.stack(found).sum() / max(1, len(images))
