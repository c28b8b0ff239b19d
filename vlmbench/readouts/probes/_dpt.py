"""A dense prediction transformer decoder (DPT) from patch tokens to a depth map.

Sources: Ranftl et al., *Vision transformers for dense prediction*,
https://arxiv.org/abs/2103.13413; as a probe: El Banani et al., *Probing the 3D awareness of
visual foundation models*, https://arxiv.org/abs/2404.08636. As in the latter all four layers are
fused at one resolution. Deviations: tokens are standardised per layer and channel, so that one
learning rate serves towers of any scale; every resize is bilinear; and convolutions repeat the
border instead of padding with zeros, since a head that can see the border knows where it is, and
position must come from the features alone.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from vlmbench.readouts.probes._recipe import DptRecipe

N_LAYERS = 4
# What Probe3D, DINOv2 and AdaBins ("linear" norm) add to each bin's rectified weight.
_BIN_FLOOR = 0.1
_SPREAD_FLOOR = 1e-6


def _convolution(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, padding_mode="replicate")


def _enlarge(maps: Tensor, scale: int) -> Tensor:
    if scale == 1:
        return maps
    return interpolate(maps, scale_factor=scale, mode="bilinear", align_corners=False)


class ResidualUnit(nn.Module):
    """Two rectified convolutions next to an identity: x + conv(relu(conv(relu(x))))."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.first = _convolution(channels, channels, kernel)
        self.second = _convolution(channels, channels, kernel)

    def forward(self, maps: Tensor) -> Tensor:
        """Map (batch, channels, h, w) to the same shape."""
        inner: Tensor = self.second(torch.relu(self.first(torch.relu(maps))))
        return maps + inner


class DptNetwork(nn.Module):
    """Predicts depth on the tower's input square.

    Args:
        embed_dim: Channels of a token.
        recipe: Sizes.
        depth_range: (least, greatest) depth in metres.
        side: Side of the square in pixels.
    """

    centre: Tensor
    spread: Tensor
    bins: Tensor

    def __init__(
        self, *, embed_dim: int, recipe: DptRecipe, depth_range: tuple[float, float], side: int
    ) -> None:
        super().__init__()
        hidden, kernel = recipe.hidden, recipe.kernel
        self.side, self.fuse_scale, self.out_scale = side, recipe.fuse_scale, recipe.out_scale
        self.lateral = nn.ModuleList(nn.Conv2d(embed_dim, hidden, 1) for _ in range(N_LAYERS))
        # The deepest layer starts the fusion, so it has no earlier result to be added to.
        self.before = nn.ModuleList(ResidualUnit(hidden, kernel) for _ in range(N_LAYERS - 1))
        self.after = nn.ModuleList(ResidualUnit(hidden, kernel) for _ in range(N_LAYERS))
        self.out = nn.Sequential(
            _convolution(hidden, hidden, kernel),
            nn.ReLU(),
            _convolution(hidden, recipe.bins, kernel),
        )
        self.register_buffer("centre", torch.zeros(N_LAYERS, embed_dim))
        self.register_buffer("spread", torch.ones(N_LAYERS, embed_dim))
        self.register_buffer("bins", torch.linspace(*depth_range, recipe.bins))

    def standardise_by(self, patch_tokens: Iterable[Float[Tensor, "layers h w dim"]]) -> None:
        """Set mean and standard deviation per layer and channel from training tokens."""
        count = 0
        total = torch.zeros(self.centre.shape, dtype=torch.float64)
        squares = torch.zeros_like(total)
        for tokens in patch_tokens:
            flat = tokens.detach().cpu().double().flatten(1, 2)  # (layers, h * w, dim)
            count += flat.shape[1]
            total += flat.sum(dim=1)
            squares += flat.square().sum(dim=1)
        mean = total / count
        variance = (squares / count - mean.square()).clamp(min=0)
        self.centre.copy_(mean)
        self.spread.copy_(variance.sqrt().clamp(min=_SPREAD_FLOOR))

    def forward(
        self, patch_tokens: Float[Tensor, "batch layers h w dim"]
    ) -> Float[Tensor, "batch side side"]:
        """Map (batch, 4, h, w, dim) tokens, shallow to deep, to depth in metres."""
        tokens = patch_tokens.to(self.bins)
        fused: Tensor | None = None
        for layer in reversed(range(N_LAYERS)):
            level = (tokens[:, layer] - self.centre[layer]) / self.spread[layer]
            level = _enlarge(self.lateral[layer](level.permute(0, 3, 1, 2)), self.fuse_scale)
            if fused is not None:
                level = fused + self.before[layer](level)
            fused = self.after[layer](level)
        assert fused is not None
        weights = torch.relu(self.out(_enlarge(fused, self.out_scale))) + _BIN_FLOOR
        depth = torch.einsum("bkhw,k->bhw", weights, self.bins) / weights.sum(dim=1)
        size = (self.side, self.side)
        return interpolate(depth[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
