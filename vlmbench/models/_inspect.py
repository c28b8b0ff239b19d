"""Listening to a language model while it reads a prompt: hidden states and attention, summed up.

Scores come from the very path of the prompted readout. While it runs, hooks on the decoder's
layers reduce every hidden state to means over tokens, and the attention of a prompt's last
position to sums over them, at once. The fused kernel does not give weights, so those of that
position are computed separately; hidden states and scores are the prompted readout's, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vlmbench.models._backend import Inside, Prompt
from vlmbench.models._blocks import block_states, blocks_of
from vlmbench.models._inputs import Inputs
from vlmbench.models._last_row import LastRow, with_last_row
from vlmbench.models._token_groups import (
    TokenGroups,
    known_grids,
    listed_tokens,
    region_cells,
    token_groups,
)
from vlmbench.types import Region, VlmbenchError

# Weights rounded to bfloat16 miss 1 by less than this; a map that is not a softmax misses by more.
_ROUNDING = 0.05


Score = Callable[[Sequence[Prompt], Sequence[Sequence[str]]], Sequence[NDArray[np.float64]]]
"""Gives the log-likelihoods of choices, by running the model."""


def look_inside(
    inputs: Inputs,
    score: Score,
    prompts: Sequence[Prompt],
    choices: Sequence[Sequence[str]],
    regions: Sequence[Sequence[Region]],
) -> list[Inside]:
    """Return, per prompt, the scores of its choices and what the language model held inside.

    Args:
        inputs: The model and how it takes prompts.
        score: What is listened to.
        prompts: Questions, run as one batch as far as the family allows.
        choices: Per prompt, the continuations exactly as they follow the rendered prompt.
        regions: Per prompt, regions in pixels of its images; empty if there are none.

    Raises:
        VlmbenchError: If the model's attention cannot be listened to.
    """
    text = inputs.text
    if text.family.internals:
        raise VlmbenchError(f"model {text.spec.model!r}: {text.family.internals}")
    with with_last_row(inputs.model.get_decoder()) as attention:

        def look(*alike: Sequence[Any]) -> list[Inside]:
            listener = _Listener(inputs, attention, *alike)
            with listener.listening():
                scores = score(listener.prompts, listener.choices)
            return listener.heard(scores)

        return inputs.by_likeness(look, prompts, choices, regions)


class _Listener:
    """Reduces what a decoder holds while it first reads one batch of `look_inside`'s prompts."""

    def __init__(
        self,
        inputs: Inputs,
        attention: LastRow,
        prompts: Sequence[Prompt],
        choices: Sequence[Sequence[str]],
        regions: Sequence[Sequence[Region]],
    ) -> None:
        self.inputs = inputs
        self.prompts, self.choices, self.regions = prompts, choices, regions
        self.attention = attention
        self.blocks = blocks_of(inputs.model.get_decoder())
        self._groups: list[TokenGroups] = []
        self._shape = (0, 0)  # prompts, tokens of the padded batch
        self._states: dict[int, NDArray[np.float32]] = {}  # by number: (prompts, 3, width)
        self._mass: dict[int, NDArray[np.float64]] = {}  # by layer: (prompts, 4)

    @property
    def _hears(self) -> bool:
        """Whether this is the pass to listen to."""
        return self.attention.ends is not None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen to the model for a while."""
        model = self.inputs.model
        with ExitStack() as hooks:
            starting = model.register_forward_pre_hook(self._starting, with_kwargs=True)
            hooks.enter_context(starting)
            hooks.enter_context(model.register_forward_hook(self._ending))
            states = range(len(self.blocks) + 1)
            hooks.enter_context(block_states(self.blocks, states, self._keep))
            for layer, block in enumerate(self.blocks):
                for part in block.children():
                    hooks.enter_context(part.register_forward_hook(self._attending(layer)))
            yield

    def heard(self, scores: Sequence[NDArray[np.float64]]) -> list[Inside]:
        """Return the summaries, with the scores that the listened-to calls gave.

        Raises:
            VlmbenchError: If not every layer gave a hidden state and one map of attention.
        """
        layers = len(self.blocks)
        if sorted(self._states) != list(range(layers + 1)) or len(self._mass) != layers:
            raise VlmbenchError(
                f"model {self.inputs.text.spec.model!r}: {len(self._mass)} of {layers} layers "
                "gave attention weights, so its hidden states and attention cannot be read"
            )
        states = np.stack([self._states[k] for k in range(layers + 1)])  # (L + 1, prompts, 3, d)
        mass = np.stack([self._mass[k] for k in range(layers)])  # (L, prompts, 4)
        return [
            Inside(
                scores=row,
                h_image=states[:, index, 0],
                h_text=states[:, index, 1],
                h_last=states[:, index, 2],
                mass=mass[:, index],
                tokens=self._groups[index].counts,
            )
            for index, row in enumerate(scores)
        ]

    # -- hooks ----------------------------------------------------------------------------

    def _starting(self, _: nn.Module, __: Any, batch: dict[str, Any]) -> None:
        if self._groups:
            return  # continuations of the prompts
        self._shape = tuple(batch["input_ids"].shape)
        self._groups = _groups_of(self.inputs, batch, self.prompts, self.choices, self.regions)
        self.attention.ends = batch["attention_mask"].sum(dim=1) - 1

    def _ending(self, _: nn.Module, __: Any, ___: Any) -> None:
        self.attention.ends = None

    def _attending(self, layer: int) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            weights = output[1] if isinstance(output, tuple) and len(output) > 1 else None
            if not self._hears or not isinstance(weights, Tensor) or weights.ndim != 4:
                return
            prompts, tokens = self._shape
            if weights.shape[0] != prompts or weights.shape[3] != tokens:
                return
            ends = [groups.last for groups in self._groups]
            if weights.shape[2] == tokens:  # the formula's, which gives all rows
                weights = weights[range(prompts), :, ends][:, :, None]
            if weights.shape[2] == 1:
                pairs = zip(weights[:, :, 0], self._groups, strict=True)
                self._mass[layer] = np.stack([_mass(row, groups) for row, groups in pairs])

        return hook

    def _keep(self, number: int, state: Tensor) -> None:
        if self._hears:
            means = [_means(state[i], groups) for i, groups in enumerate(self._groups)]
            self._states[number] = np.stack(means)


def _means(state: Tensor, groups: TokenGroups) -> NDArray[np.float32]:
    """Return (3, width): means of (tokens, width) over image and question, and the last state."""
    means = [
        state[torch.as_tensor(where, device=state.device)].float().mean(dim=0)
        for where in (groups.image, groups.question)
    ]  # the mean of nothing is NaN
    array: NDArray[np.float32] = torch.stack([*means, state[groups.last].float()]).cpu().numpy()
    return array


def _mass(weights: Tensor, groups: TokenGroups) -> NDArray[np.float64]:
    """Return (4,): what a prompt's last position pays to each group, from (heads, tokens)."""
    row = weights.float().mean(dim=0).double().cpu().numpy()
    total = row[: groups.last + 1].sum()
    if abs(total - 1) > _ROUNDING:
        raise VlmbenchError(f"attention weights sum to {total:.3f}, so they are not a distribution")
    parts = (groups.image, groups.regions, groups.choices, groups.text)
    return np.array([np.nan if part is None else row[part].sum() / total for part in parts])


# -- groups -------------------------------------------------------------------------------


def _groups_of(
    inputs: Inputs,
    batch: Mapping[str, Any],
    prompts: Sequence[Prompt],
    choices: Sequence[Sequence[str]],
    regions: Sequence[Sequence[Region]],
) -> list[TokenGroups]:
    """Return the token groups of each prompt of an encoded batch."""
    text = inputs.text
    ids = batch["input_ids"].cpu().numpy()
    lengths = batch["attention_mask"].sum(dim=1).tolist()
    shown = any(prompt.images for prompt in prompts)
    images = inputs.image_positions(batch).cpu().numpy() if shown else ids < 0
    grids = batch.get("image_grid_thw")
    merge = getattr(getattr(inputs.model.config, "vision_config", None), "spatial_merge_size", 1)
    whole = _sees_whole(text.processor.image_processor, batch, prompts)
    found, seen = [], 0
    for index, prompt in enumerate(prompts):
        before, _ = text.answers(text.render(prompt), choices[index])
        length = int(lengths[index])
        is_image = images[index, :length]
        packed = None if grids is None else grids[seen : seen + len(prompt.images)].tolist()
        seen += len(prompt.images)
        laid = known_grids(prompt.images, int(is_image.sum()), packed, merge=merge, whole=whole)
        known = laid is not None and len(regions[index]) > 0
        listed = listed_tokens(
            text.processor.tokenizer,
            ids[index, :length].tolist(),
            text.tail(before),
            [text.without_delimiter(choice) for choice in choices[index]],
        )
        cells = region_cells(regions[index], prompt.images, laid or []) if known else None
        found.append(token_groups(is_image, cells, listed))
    return found


def _sees_whole(processor: Any, batch: Mapping[str, Any], prompts: Sequence[Prompt]) -> bool:
    """Tell whether the processor makes one view of each image and cuts nothing off a square."""
    pixels = batch.get("pixel_values")
    n_images = sum(len(prompt.images) for prompt in prompts)
    one = pixels is not None and pixels.ndim == 4 and pixels.shape[0] == n_images
    if not getattr(processor, "do_center_crop", False):
        return one
    size, crop = dict(processor.size), dict(processor.crop_size)
    shortest = size.get("shortest_edge", size.get("height"))
    return one and crop == {"height": shortest, "width": shortest}
