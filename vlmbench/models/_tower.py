"""A vision tower asked for its hidden states: what an encoder-probe twin reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from vlmbench.models.hf import HfBackend, checkpoint_path, weights_digest
from vlmbench.spec import Twin
from vlmbench.types import Problem, VlmbenchError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TowerStates:
    """Hidden states of a batch of images.

    Attributes:
        patch_tokens: Chosen layers, reshaped row by row to the patch grid.
        cls_token: The class token of the deepest chosen layer; None where the tower has none.
    """

    patch_tokens: Float[Tensor, "images layers h w dim"]
    cls_token: Float[Tensor, "images dim"] | None


class Tower:
    """A vision transformer with its own image transform.

    Args:
        module: A transformers vision model that returns `hidden_states`.
        image_processor: Its processor; only its rescaling and normalisation are used, because
            images arrive as squares of `side` pixels already.
        twin: How the tower is described in the model's YAML.

    Attributes:
        side: Side of the square the tower sees, in pixels.
        patch: Side of a patch, in pixels.
        n_layers: Transformer blocks; hidden states are numbered 0 (embedding) to `n_layers`.
        weights_digest: SHA-256 of the tower's own weights.
    """

    def __init__(self, module: Any, image_processor: Any, twin: Twin) -> None:
        self.module = module
        self.image_processor = image_processor
        self.twin = twin
        config = module.config
        self.side = int(twin.letterbox or config.image_size)
        self.patch = int(config.patch_size)
        self.n_layers = int(config.num_hidden_layers)
        self.weights_digest = weights_digest(module)
        if self.side % self.patch:
            raise VlmbenchError(
                Problem(
                    field="twin.letterbox",
                    message=f"a square of {self.side} pixels is no whole number of patches of "
                    f"{self.patch}",
                    remedy=f"Use a multiple of {self.patch}.",
                )
            )

    @classmethod
    def inside(cls, backend: HfBackend, twin: Twin) -> Tower:
        """Return the tower inside a VLM: the very weights that feed its projector."""
        module = backend.model.get_encoder(modality="image")
        return cls(module, backend.processor.image_processor, twin)

    @classmethod
    def load(cls, twin: Twin, folder: Path | None, device: torch.device) -> Tower:
        """Load a standalone encoder in float32.

        Raises:
            VlmbenchError: If it cannot be loaded.
        """
        from transformers import AutoImageProcessor, AutoModel

        source = checkpoint_path(twin.checkpoint, folder)
        try:
            module = AutoModel.from_pretrained(source, revision=twin.revision)
            processor = AutoImageProcessor.from_pretrained(source, revision=twin.revision)
        except (OSError, ValueError) as error:
            raise VlmbenchError(
                Problem(field="twin.checkpoint", message=f"cannot load {source!r}: {error}")
            ) from error
        # Two-tower checkpoints (CLIP, SigLIP) keep their vision part under this name.
        module = getattr(module, "vision_model", module)
        return cls(module.to(device).eval(), processor, twin)

    def randomised(self, seed: int) -> Tower:
        """Return a tower of the same architecture and transform with freshly drawn weights."""
        parameter = next(self.module.parameters())
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            module = type(self.module)(self.module.config)
        module = module.to(parameter.device, parameter.dtype).eval()
        return Tower(module, self.image_processor, self.twin)

    @torch.inference_mode()
    def states(self, squares: Sequence[Image.Image], layers: Sequence[int]) -> TowerStates:
        """Return hidden states of square images.

        Args:
            squares: RGB images of `side` x `side` pixels.
            layers: Which hidden states, 0 to `n_layers`, in the order wanted.
        """
        assert all(square.size == (self.side, self.side) for square in squares)
        pixels = self.image_processor(
            images=list(squares), do_resize=False, do_center_crop=False, return_tensors="pt"
        )["pixel_values"]
        parameter = next(self.module.parameters())
        output = self.module(
            pixels.to(parameter.device, parameter.dtype), output_hidden_states=True
        )
        stacked = torch.stack([output.hidden_states[layer] for layer in layers], dim=1).float()
        rows = self.side // self.patch
        # Class and register tokens come first in every tower of transformers; patches follow.
        extra = stacked.shape[2] - rows * rows
        if extra < 0:
            raise VlmbenchError(
                f"the tower returns {stacked.shape[2]} tokens an image, fewer than its "
                f"{rows} x {rows} patches; vlmbench cannot tell where they lie"
            )
        if extra == 0 and self.twin.pooled == "cls":
            raise VlmbenchError(
                Problem(
                    field="twin.pooled",
                    message="the tower has no class token to pool with",
                    remedy="Write `pooled: mean`.",
                )
            )
        patches = stacked[:, :, extra:].reshape(*stacked.shape[:2], rows, rows, -1)
        cls_token = stacked[:, -1, 0] if self.twin.pooled == "cls" else None
        return TowerStates(patch_tokens=patches, cls_token=cls_token)
