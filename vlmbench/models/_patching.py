"""Activation patching: states of one prompt replaced by those that another image gives."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vlmbench import spec
from vlmbench.models._backend import Prompt
from vlmbench.models._blocks import block_states, blocks_of
from vlmbench.models._inputs import Inputs
from vlmbench.models._interventions import Intervention, Knockout
from vlmbench.spec import ForwardChange
from vlmbench.types import DocumentError, VlmbenchError

States = Float[Tensor, "places width"]


class Patch(Intervention):
    """States of one depth, replaced at the image's tokens or at the prompt's last position.

    Before a batch of prompts is read, the same prompts are read with `Prompt.others` in place of
    their images. Their states stand in for the batch's own from the given depth on, or say how far
    random directions move those.

    Args:
        inputs: The model and how it takes prompts.
        number: Which state: 0 is what the first layer is given, k what layer k puts out.
        last: Whether the last position is patched, and not the image.
        random: Whether states move in random directions.
        seed: Of the directions.
    """

    def __init__(self, inputs: Inputs, number: int, *, last: bool, random: bool, seed: int) -> None:
        super().__init__(inputs)
        self.number, self.last, self.random, self.seed = number, last, random, seed
        self._where: Bool[Tensor, "prompts tokens"]
        self._given: States | None = None
        self._directions: States

    def prompt(self, batch: Mapping[str, Any], prompts: Sequence[Prompt]) -> None:
        """Say that a batch of prompts is read next; see `Intervention.prompt`.

        Raises:
            DocumentError: If the other images do not take the very places of a prompt's own.
        """
        super().prompt(batch, prompts)
        places = torch.arange(self.image.shape[1], device=self.ends.device)
        self._where = places == self.ends[:, None] if self.last else self.image
        self._given = None  # nothing is replaced while the others are read
        self._given = self._states_of_others(batch, prompts)
        if self.random:
            count = self._where.sum(dim=1).tolist()
            drawn = [self._drawn(*pair) for pair in zip(prompts, count, strict=True)]
            self._directions = torch.cat(drawn)

    def answers(self, index: Sequence[int]) -> None:
        """Say that answers are read next; their prompt's cache holds the states as replaced."""
        super().answers(index)
        self._given = None

    def hooks(self) -> Iterator[Any]:
        """Replace what the block below the depth puts out, or what the first one is given."""
        if self.number:
            yield self.blocks[self.number - 1].register_forward_hook(self._leaving)
        else:
            yield self.blocks[0].register_forward_pre_hook(self._entering, with_kwargs=True)

    def _states_of_others(self, batch: Mapping[str, Any], prompts: Sequence[Prompt]) -> States:
        """Return the states that the other images give at the places to be patched."""
        others = [replace(prompt, images=prompt.others, others=()) for prompt in prompts]
        if not all(prompt.images for prompt in others):
            raise DocumentError("no other document has images of the same sizes and another gold")
        left = not bool(batch["attention_mask"][:, 0].all())
        texts = [self.inputs.text.render(prompt) for prompt in others]
        theirs = self.inputs.encode(texts, others, side="left" if left else "right")
        for name in ("input_ids", "image_grid_thw"):
            if name in batch and not _equal(batch[name], theirs[name]):
                raise DocumentError("the other document's images do not take the same places")
        kept: list[Tensor] = []
        with block_states(self.blocks, [self.number], lambda _, state: kept.append(state)):
            # Not the model itself: whoever listens to it waits for the prompts' own pass.
            self.inputs.model.base_model.forward(**theirs, use_cache=False)
        states: Tensor = kept[0][self._where.to(kept[0].device)]
        return states

    def _drawn(self, prompt: Prompt, count: int) -> States:
        """Return random unit vectors (count, width) that depend on seed and prompt alone."""
        pixels = [image.tobytes() for image in (*prompt.images, *prompt.others)]
        digest = hashlib.sha256(b"|".join([str(self.seed).encode(), prompt.user.encode(), *pixels]))
        rng = np.random.default_rng(int.from_bytes(digest.digest()[:16], "big"))
        assert self._given is not None, "drawn for states that are known"
        drawn = rng.standard_normal((count, self._given.shape[1]))
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        return torch.from_numpy(drawn.astype(np.float32))

    def _patched(self, state: Tensor) -> Tensor:
        """Return the states (prompts, tokens, width) of a pass as they go on."""
        if self._given is None or self.start:
            return state
        more = state.shape[1] - self._where.shape[1]
        ours = torch.nn.functional.pad(self._where, (0, more)).to(state.device)
        new = self._given.to(state.device)
        if self.random:
            own = state[ours].float()
            far = (new.float() - own).norm(dim=1, keepdim=True)
            new = (own + far * self._directions.to(state.device)).to(state.dtype)
        state = state.clone()
        state[ours] = new
        return state

    def _leaving(self, _: nn.Module, __: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (self._patched(output[0]), *output[1:])
        return self._patched(output)

    def _entering(self, _: nn.Module, args: Any, given: dict[str, Any]) -> Any:
        return _with_first(args, given, self._patched)


@contextmanager
def intervening(change: ForwardChange, inputs: Inputs, *, seed: int) -> Iterator[Intervention]:
    """Give the intervention that a change of the forward pass means, applied for a while.

    Args:
        change: What to do.
        inputs: The model and how it takes prompts.
        seed: Of everything that is drawn.

    Raises:
        VlmbenchError: If the decoder does not allow it, or nothing is to be done.
    """
    layers = len(blocks_of(inputs.model.get_decoder()))
    match change:
        case spec.Knockout():
            found: Intervention = Knockout(inputs, change.to, change.layers(layers))
        case spec.Patch():
            found = Patch(
                inputs,
                change.state(layers),
                last=isinstance(change, spec.PatchLast),
                random=change.source == "random",
                seed=seed,
            )
        case _:
            raise VlmbenchError(f"`{change.label}` does not change a forward pass")
    with found.applied():
        yield found


def _with_first(
    args: tuple[Any, ...], given: dict[str, Any], change: Callable[[Tensor], Tensor]
) -> tuple[Any, dict[str, Any]]:
    """Return a call's arguments with the first tensor, the states, changed."""
    if args and isinstance(args[0], Tensor):
        return (change(args[0]), *args[1:]), given
    name = next(name for name, value in given.items() if isinstance(value, Tensor))
    return args, {**given, name: change(given[name])}


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one, other)
