"""Interventions while a decoder reads: attention to images cut, or states put in others' place.

Hooks on the decoder's blocks do it, so any way of scoring and generating runs under them unchanged.
Whoever runs the model says what it is about to read: a batch of prompts, or answers that continue
from one prompt's cache, which holds the states as they were changed when the prompt was read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from vlmbench.models._backend import Prompt
from vlmbench.models._blocks import blocks_of
from vlmbench.models._inputs import Inputs
from vlmbench.types import DocumentError, VlmbenchError


class Intervention(ABC):
    """Something that is done inside a decoder while it reads.

    Args:
        inputs: The model and how it takes prompts.

    Attributes:
        blocks: The decoder's layers.
        image: (prompts, tokens) True at image tokens of what is being read.
        ends: (prompts,) where its prompts end.
        start: Position of the first token of the pass under way; above 0 in answers.
    """

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self.blocks = blocks_of(inputs.model.get_decoder())
        self.image: Bool[Tensor, "prompts tokens"]
        self.ends: Int[Tensor, " prompts"]
        self.start = 0
        self._batch: tuple[Tensor, Tensor]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Intervene for a while."""
        with ExitStack() as hooks:
            starting = self.inputs.model.register_forward_pre_hook(self._starting, with_kwargs=True)
            hooks.enter_context(starting)
            for hook in self.hooks():
                hooks.enter_context(hook)
            yield

    def prompt(self, batch: Mapping[str, Any], prompts: Sequence[Prompt]) -> None:
        """Say that a batch of prompts is read next.

        Args:
            batch: The prompts, encoded, padded on either side.
            prompts: The same before they were.
        """
        self.image = self.inputs.image_positions(batch)
        mask = batch["attention_mask"]
        places = torch.arange(mask.shape[1], device=mask.device)
        self.ends = (mask * places).amax(dim=1)
        for index, prompt in enumerate(prompts):
            if not bool(self.image[index].any()):
                raise DocumentError(f"a prompt has no image to change: {prompt.user[:60]!r}")
        self._batch = self.image, self.ends

    def answers(self, index: Sequence[int]) -> None:
        """Say that answers to prompts of the batch are read next, from their cache.

        Args:
            index: Which prompt each answer follows. The cache ends where the longest of them does.
        """
        image, ends = self._batch
        chosen = torch.tensor(index, device=ends.device)
        self.ends = ends[chosen]
        self.image = image[chosen, : int(self.ends.max()) + 1]

    def _starting(self, _: nn.Module, __: Any, given: dict[str, Any]) -> None:
        cache = given.get("past_key_values")
        self.start = 0 if cache is None else int(cache.get_seq_length())

    @abstractmethod
    def hooks(self) -> Iterator[Any]:
        """Put the hooks on and yield their handles."""


class Knockout(Intervention):
    """Attention of some positions to image tokens, cut in some layers.

    Args:
        inputs: The model and how it takes prompts.
        to: Whose attention, as `spec.Knockout.to`.
        layers: In which layers, from 0.
    """

    def __init__(self, inputs: Inputs, to: str, layers: range) -> None:
        super().__init__(inputs)
        self.to, self.layers = to, layers
        if not layers:
            raise VlmbenchError(f"a window of {len(self.blocks)} layers is empty")

    def hooks(self) -> Iterator[Any]:
        """Change the mask that each layer is given."""
        for layer in self.layers:
            block = self.blocks[layer]
            if not any("attn" in name or "attention" in name for name, _ in block.named_children()):
                raise VlmbenchError(f"layer {layer + 1} has no attention to cut")
            yield block.register_forward_pre_hook(self._cutting, with_kwargs=True)

    def cut(self, queries: int, keys: int) -> Bool[Tensor, "prompts queries keys"]:
        """Tell which pairs of positions are cut in a pass.

        Args:
            queries: Tokens of the pass, of which the first stands at `start`.
            keys: Tokens that they look at, of which the last is the last of the pass.
        """
        total = self.start + queries
        more = max(0, total - self.image.shape[1])
        image = torch.nn.functional.pad(self.image, (0, more))[:, :total]
        places = torch.arange(total, device=image.device)
        ends = self.ends[:, None]
        match self.to:
            case "last":
                cut = places >= ends
            case "question":
                cut = (places > (image * places).amax(dim=1, keepdim=True)) & (places < ends)
            case _:
                cut = ~image
        return cut[:, self.start :, None] & image[:, None, total - keys :]

    def _cutting(self, _: nn.Module, args: Any, given: dict[str, Any]) -> Any:
        states = next(v for v in (*args, *given.values()) if isinstance(v, Tensor))
        mask, queries = given.get("attention_mask", ()), states.shape[1]
        if mask is None:  # the kernel is told `causal`, or sees one token that sees all
            shape = (queries, self.start + queries)
            mask = torch.ones(shape, dtype=torch.bool, device=states.device)
            mask = mask.tril(self.start)[None, None]
        if not isinstance(mask, Tensor) or mask.ndim != 4:
            raise VlmbenchError("attention is cut in models under `sdpa` and `eager` only")
        cut = self.cut(queries, mask.shape[3]).to(mask.device)[:, None]
        if mask.dtype == torch.bool:
            return args, {**given, "attention_mask": mask & ~cut}
        lowest = torch.finfo(mask.dtype).min
        return args, {**given, "attention_mask": mask.masked_fill(cut, lowest)}
