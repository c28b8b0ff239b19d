"""How a DPT depth head is built and trained, and the rule that says which recipe is used."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DptRecipe:
    """How a depth head is built and trained. The defaults are those of Probe3D.

    Attributes:
        name: What the record calls it.
        hidden: Channels of the decoder.
        kernel: Side of its convolutions, odd.
        fuse_scale: Resolution at which layers are fused, in multiples of the patch grid.
        out_scale: Resolution of the two output convolutions, in multiples of the fused one.
        bins: Depth is a weighted mean of this many evenly spaced depths.
        depth_range: (least, greatest) depth in metres; None: that of the training maps.
            Pixels outside it are left out of loss and metrics.
        sigma: Share of a common scale that the scale-invariant loss forgives.
        sig_weight: Weight of that loss.
        gradient_weight: Weight of the multi-scale gradient loss.
        learning_rate: Greatest learning rate of AdamW (weight decay 0.01).
        epochs: Passes over the training split.
        warmup_epochs: Linear warm-up; a half cosine to 0 follows.
        batch_size: Images a step.
    """

    name: str = "probe3d"
    hidden: int = 512
    kernel: int = 3
    fuse_scale: int = 2
    out_scale: int = 4
    bins: int = 256
    depth_range: tuple[float, float] | None = (0.001, 10.0)
    sigma: float = 0.85
    sig_weight: float = 10.0
    gradient_weight: float = 0.5
    learning_rate: float = 5e-4
    epochs: int = 10
    warmup_epochs: float = 1.5
    batch_size: int = 8

    def __post_init__(self) -> None:
        if self.kernel % 2 != 1:
            raise ValueError(f"kernel must be odd, got {self.kernel}")
        if not 0 <= self.warmup_epochs < self.epochs:
            raise ValueError(f"warmup_epochs must lie in [0, epochs={self.epochs})")


PROBE3D_RECIPE = DptRecipe()
TINY_RECIPE = DptRecipe(
    name="tiny",
    hidden=32,
    fuse_scale=1,
    out_scale=2,
    bins=64,
    depth_range=None,
    learning_rate=2e-3,
    epochs=8,
    warmup_epochs=0.5,
)
TINY_EMBED_DIM = 256


def recipe_for(embed_dim: int) -> DptRecipe:
    """Return the recipe for a tower: `tiny` up to 256 channels, else `probe3d`."""
    return TINY_RECIPE if embed_dim <= TINY_EMBED_DIM else PROBE3D_RECIPE
