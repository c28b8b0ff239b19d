"""A vision tower asked for its hidden states: what an encoder-probe twin reads.

Hidden states are taken by hooks on the tower's blocks, because what transformers itself returns
as `hidden_states` differs between towers (some put the projected or downsampled output last).
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from vlmbench.models._blocks import blocks_of, image_tower, tower_states
from vlmbench.models._checkpoint import (
    checkpoint_path,
    load_weights,
    remedy_for,
    weights_digest,
)
from vlmbench.models._consumed import mismatch
from vlmbench.models._folder import check_folder, folder_of
from vlmbench.models._images import Letterbox, letterbox_of
from vlmbench.models._pixels import packed_order, unpack, whole_squares
from vlmbench.models._threads import fit_threads
from vlmbench.models.hf import HfBackend
from vlmbench.spec import ImagePolicy, Twin
from vlmbench.types import Problem, VlmbenchError

# The class token follows the patches in these towers; in all others it comes first.
_CLASS_TOKEN_LAST = frozenset({"llama4_vision_model"})
# Parts of an encoder that sum its patches up. Nothing here is read of them, and many checkpoints
# leave them out.
_POOLING = ("pooler.", "head.")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TowerStates:
    """Hidden states of a batch of images.

    Attributes:
        patch_tokens: Chosen layers, reshaped row by row to the patch grid.
        cls_token: The class token of the deepest chosen layer; None if the tower has none.
    """

    patch_tokens: Float[Tensor, "images layers h w dim"]
    cls_token: Float[Tensor, "images dim"] | None


class Tower:
    """A vision tower with its own image transform, shown one whole square at a time.

    Models that cut images into tiles also look at the whole image; that view is the one read
    here. Patches are those of the tower, before any merging or pooling by the projector.

    Args:
        module: A transformers vision model.
        image_processor: Its processor; only its rescaling and normalisation are used, because
            images arrive as squares of `side` pixels already.
        twin: How the tower is described in the model's YAML.
        policy: How the model itself is shown images.

    Attributes:
        side: Side of the square the tower sees, in pixels.
        letterbox: How an image becomes that square.
        patch: Side of a patch, in pixels.
        n_layers: Transformer blocks; hidden states are numbered 0 (embedding) to `n_layers`.
            Where the twin says `final_norm`, state `n_layers` is the one after that norm. A
            convolutional tower has one state, the last map that it puts out, under every number.
        consumed: Number of the state that the VLM consumes, the deepest one if it takes several.
        several: Numbers of all that it consumes, concatenated; empty where that is the state after
            the final norm.
        packed: Whether it takes the patches of all images in one sequence.
    """

    def __init__(
        self, module: Any, image_processor: Any, twin: Twin, policy: ImagePolicy | None = None
    ) -> None:
        self.module = module
        self.image_processor = image_processor
        self.twin = twin
        self.policy = policy or ImagePolicy()
        # Now: later its weights may be others, while an update is merged or after it.
        self.weights_digest = weights_digest(module)
        self.blocks = blocks_of(module)
        self.n_layers = len(self.blocks)
        self.packed = "grid_thw" in inspect.signature(type(module).forward).parameters
        self.side = _side(module.config, twin)
        self.letterbox = _letterbox(self.policy, image_processor, self.side)
        self.several = tuple(self._index(one) for one in _indices(twin))
        self.consumed = max(self.several, default=self.n_layers)
        self.patch = self._patch()
        step = self.patch * (int(module.config.spatial_merge_size) if self.packed else 1)
        # Some towers' own size is not a multiple (SigLIP's 384 of 14): a strip is left uncovered.
        own = getattr(module.config, "image_size", None)
        if self.side % step and (own is None or self.packed or self.side != _one(own)):
            raise VlmbenchError(
                Problem(
                    field="twin.letterbox",
                    message=f"a square of {self.side} pixels cannot be cut into patches of {step}",
                    remedy=f"Use a multiple of {step}.",
                )
            )

    @classmethod
    def inside(cls, backend: HfBackend, twin: Twin) -> Tower:
        """Return the tower inside a VLM: the very weights that feed its projector.

        Raises:
            VlmbenchError: If no tower is known, or what the twin reads of it is not what the
                language model is given.
        """
        module = image_tower(backend.model)
        tower = cls(module, backend.processor.image_processor, twin, backend.spec.image)
        tower._refuse_unconsumed(backend)
        return tower

    @classmethod
    def load(
        cls,
        twin: Twin,
        folder: Path | None,
        device: torch.device,
        policy: ImagePolicy | None = None,
    ) -> Tower:
        """Load a standalone encoder in float32, to be shown images as the model is.

        Raises:
            VlmbenchError: If it cannot be loaded.
        """
        from transformers import AutoImageProcessor, AutoModel

        source = checkpoint_path(twin.checkpoint, folder)
        options = {"revision": twin.revision, "trust_remote_code": False}
        try:
            check_folder(folder_of(source, twin.revision))
            processor = AutoImageProcessor.from_pretrained(source, **options)
            whole, _ = load_weights(AutoModel, source, unread=_POOLING, **options)
        except VlmbenchError:
            raise
        except Exception as error:  # whatever a family may raise
            raise VlmbenchError(
                Problem(
                    field="twin.checkpoint",
                    message=f"cannot load {source!r}: {error}",
                    remedy=remedy_for(error),
                )
            ) from error
        # Two-tower checkpoints (CLIP, SigLIP) keep their vision part under this name.
        module = getattr(whole, "vision_model", whole)
        if device.type == "cpu":
            fit_threads(module)
        return cls(module.to(device).eval(), processor, twin, policy)

    def randomised(self, seed: int) -> Tower:
        """Return a tower of the same architecture and transform with freshly drawn weights."""
        parameter = next(self.module.parameters())
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            module = type(self.module)(self.module.config)
        module = module.to(parameter.device).eval()
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point():  # Llama 4 has complex buffers
                tensor.data = tensor.data.to(parameter.dtype)
        return Tower(module, self.image_processor, self.twin, self.policy)

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        found: torch.device = next(self.module.parameters()).device
        return found

    @property
    def dtype(self) -> torch.dtype:
        """Number format of its weights."""
        found: torch.dtype = next(self.module.parameters()).dtype
        return found

    @cached_property
    def transform(self) -> str:
        """All that decides which pixels it is given of an image, as JSON."""
        processor = self.image_processor.to_dict()
        about = {"squares": self.letterbox.record(), "processor": processor, "patch": self.patch}
        return json.dumps(about, sort_keys=True, default=str)

    @cached_property
    def width(self) -> int:
        """Channels of the consumed state."""
        blank = Image.new("RGB", (self.side, self.side))
        return int(self.states([blank], [self.consumed]).patch_tokens.shape[-1])

    @torch.inference_mode()
    def states(self, squares: Sequence[Image.Image], layers: Sequence[int]) -> TowerStates:
        """Return hidden states of square images.

        Where the VLM concatenates several states, the consumed one asked for alone is that
        concatenation; asked for together with shallower ones (a depth head), it is the deepest of
        them, since all must be of one width.

        Args:
            squares: RGB images of `side` x `side` pixels.
            layers: Which hidden states, 0 to `n_layers`, in the order wanted.
        """
        assert all(square.size == (self.side, self.side) for square in squares)
        whole = len(self.several) > 1 and tuple(layers) == (self.consumed,)
        states = self._run(squares, self.several if whole else layers)
        states = [torch.cat(states, dim=-1)] if whole else states
        stacked = torch.stack(states, dim=1).float()
        rows = self.side // self.patch
        extra = stacked.shape[2] - rows * rows
        if extra < 0:
            raise VlmbenchError(
                f"the tower returns {stacked.shape[2]} tokens per image, fewer than its {rows} x "
                f"{rows} patches; vlmbench cannot tell where they belong"
            )
        if extra == 0 and self.twin.pooled == "cls":
            raise VlmbenchError(
                Problem(
                    field="twin.pooled",
                    message="the tower has no class token to pool with",
                    remedy="Write `pooled: mean`.",
                )
            )
        patches = self._patches(stacked).reshape(*stacked.shape[:2], rows, rows, -1)
        cls_token = stacked[:, -1, self.class_place] if self.twin.pooled == "cls" else None
        return TowerStates(patch_tokens=patches, cls_token=cls_token)

    @property
    def class_place(self) -> Literal[0, -1]:
        """Where the class token stands, if there is one, and registers beside it."""
        return -1 if self.module.config.model_type in _CLASS_TOKEN_LAST else 0

    def _patches(self, state: Tensor) -> Tensor:
        """Return the tokens that stand for patches, of (..., tokens, dim)."""
        extra = max(0, state.shape[-2] - (self.side // self.patch) ** 2)
        kept = state.shape[-2] - extra
        return state[..., :kept, :] if self.class_place else state[..., extra:, :]

    def _run(self, squares: Sequence[Image.Image], layers: Sequence[int]) -> list[Tensor]:
        """Return (images, tokens, width) per layer, tokens row by row."""
        parameter = next(self.module.parameters())
        batch = whole_squares(self.image_processor, squares, packed=self.packed)
        pixels = batch.pop("pixel_values").to(parameter.device, parameter.dtype)
        batch = {name: value.to(parameter.device) for name, value in batch.items()}
        runs: list[list[Tensor]] = []
        with tower_states(self.module, layers, runs.append, normed=self.normed):
            self.module(pixels, **batch)
        states = [unpack(state, len(squares)) for state in runs[0]]
        if self.packed:
            order = packed_order(self.module, batch["grid_thw"])
            states = [state[:, order] for state in states]
        return states

    @property
    def normed(self) -> bool:
        """Whether the deepest state is the one after the final norm."""
        return self.twin.layer == "final_norm"

    def _refuse_unconsumed(self, backend: HfBackend) -> None:
        """Refuse to read what the language model is not given."""
        layers = self.several or (self.consumed,)
        try:
            batch = backend.inputs.trial(self.side)
            reason = mismatch(
                backend.model, self.module, batch, layers, self._patches, normed=self.normed
            )
            _ = self.width  # it must take a square alone, too
        except Exception as error:  # whatever a family may raise
            reason = f"its tower cannot be asked: {type(error).__name__}: {error}"
        if reason:
            raise VlmbenchError(
                Problem(
                    field="twin",
                    message=f"model {backend.spec.model!r} (model_type "
                    f"{backend.model.config.model_type!r}): the twin is refused: {reason}",
                    remedy="Write the hidden state that is consumed under `twin.layer`, name a "
                    "standalone encoder with `twin.checkpoint`, or leave `twin` out.",
                )
            )

    def _index(self, layer: int) -> int:
        """Return a hidden state's number counted from 0."""
        if not -(self.n_layers + 1) <= layer <= self.n_layers:
            message = f"there is no layer {layer}: the tower has {self.n_layers + 1} hidden states"
            raise VlmbenchError(Problem(field="twin.layer", message=message))
        return layer % (self.n_layers + 1)

    def _patch(self) -> int:
        size = getattr(self.module.config, "patch_size", None)
        if size is not None:
            return _one(size)
        blank = Image.new("RGB", (self.side, self.side))
        with torch.inference_mode():  # a convolutional tower, or timm's: its map says it
            (state,) = self._run([blank], [self.n_layers])
        return self.side // int(state.shape[1] ** 0.5)


def _indices(twin: Twin) -> tuple[int, ...]:
    match twin.layer:
        case "final_norm":
            return ()
        case int() as layer:
            return (layer,)
        case several:
            return several


def _side(config: Any, twin: Twin) -> int:
    size = twin.letterbox or getattr(config, "image_size", None)
    if size is None:
        raise VlmbenchError(
            Problem(
                field="twin.letterbox",
                message=f"a {config.model_type} tower takes squares of any size",
                remedy="Give the side, in pixels, of the square that it is shown.",
            )
        )
    return _one(size)


def _letterbox(policy: ImagePolicy, image_processor: Any, side: int) -> Letterbox:
    """Return how the model's own images are padded and scaled, onto the tower's square."""
    own = letterbox_of(policy)
    if own is not None:
        return replace(own, side=side)
    filled = Letterbox(side=side, fill=_fill(image_processor))
    resample = getattr(image_processor, "resample", None)
    return filled if resample is None else replace(filled, resample=Image.Resampling(resample))


def _fill(image_processor: Any) -> tuple[int, int, int]:
    """Return the colour that a processor pads with: its own, LLaVA's mean, else black."""
    colour = getattr(image_processor, "background_color", None)
    if colour is None and getattr(image_processor, "do_pad", False):
        pads = hasattr(image_processor, "pad_to_square")
        colour = [int(255 * mean) for mean in image_processor.image_mean] if pads else None
    red, green, blue = (int(level) for level in colour or (0, 0, 0))
    return red, green, blue


def _one(size: Any) -> int:
    """Return the side that a config gives as one number or as a pair."""
    return int(size[0] if isinstance(size, list | tuple) else size)
