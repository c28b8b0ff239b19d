"""Every stage of an image on its way through a model, in the model's own forward pass.

Stages, in the order in which the signal goes: the tower's hidden states, `same` (the one that the
language model consumes), what each part of the projector puts out, the language model's hidden
states at the image's positions, and the value vectors there. All are those of the pass that scores
the choices: of its pixels, views, joined images and markers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from vlmbench.models._backend import Prompt
from vlmbench.models._blocks import block_states, blocks_of, norms_after, tower_states
from vlmbench.models._parts import projector_of
from vlmbench.models._pixels import merged_order, packed_order
from vlmbench.models._tower import Tower
from vlmbench.models._views import Box, View, Views
from vlmbench.models._whole_views import cut, on_grid
from vlmbench.models.hf import HfBackend
from vlmbench.types import VlmbenchError

SAME = "same"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """One image at one stage.

    Attributes:
        tokens: (rows, columns, dim) of the view that shows it whole, on the model's device.
        box: (x0, y0, x1, y1) of the image on that grid, in tokens.
        cls_token: (dim,) the tower's class token where the twin is pooled by it; else None.
    """

    tokens: Float[Tensor, "rows columns dim"]
    box: Box
    cls_token: Float[Tensor, " dim"] | None = None


Keep = Callable[[int, str, Sequence[Seen]], None]
"""Given a prompt's number, a stage's name and the prompt's images there, as the pass goes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Staged:
    """What one prompt gives besides its images.

    Attributes:
        scores: (choices,) float64, as `Backend.choice_logprobs` gives them.
        lens: (layers + 1, choices) float64, log-probability of each choice's first token if the
            model's final norm and head read the last position of each hidden state; (0, choices)
            where choices share their first token.
    """

    scores: NDArray[np.float64]
    lens: NDArray[np.float64]


class StageTap:
    """Listens to a model while it scores choices.

    Args:
        backend: The model.
        tower: The tower inside it, as its twin describes it.
    """

    def __init__(self, backend: HfBackend, tower: Tower) -> None:
        self.backend = backend
        self.tower = tower
        self.views = Views(backend.inputs, tower)
        self.blocks = blocks_of(backend.model.get_decoder())
        self.projector = [leaf for part in projector_of(backend.model) for leaf in _leaves(part)]
        self.values = [_value_of(block) for block in self.blocks]

    def read(
        self, prompts: Sequence[Prompt], choices: Sequence[Sequence[str]], keep: Keep
    ) -> list[Staged]:
        """Return the scores of choices, and hand over every stage of every image meanwhile.

        Args:
            prompts: Questions with images, run as one batch as far as the family allows.
            choices: Per prompt, the continuations exactly as they follow the rendered prompt.
            keep: Is given the stages.

        Raises:
            DocumentError: If it is not known which tokens show what of an image.
        """
        numbers = list(range(len(prompts)))

        def run(
            alike: Sequence[Prompt], rows: Sequence[Sequence[str]], places: Sequence[int]
        ) -> list[Staged]:
            views = [
                [self.views.of(image.size, len(prompt.images)) for image in prompt.images]
                for prompt in alike
            ]
            listener = _Listener(self, alike, rows, views, lambda i, *of: keep(places[i], *of))
            with listener.listening():
                scores = self.backend.whole_logprobs(alike, rows, tower=True)
            return listener.heard(scores)

        return self.backend.inputs.by_likeness(run, prompts, choices, numbers)


class _Listener:
    """Hands over what the parts of a model put out while it first reads a batch."""

    def __init__(
        self,
        tap: StageTap,
        prompts: Sequence[Prompt],
        choices: Sequence[Sequence[str]],
        views: Sequence[Sequence[View]],
        keep: Keep,
    ) -> None:
        self.tap, self.prompts, self.choices, self.views = tap, prompts, choices, views
        self.keep = keep
        self.all_views = [view for one in views for view in one]
        self._hears = self._heard = False
        self._batch: Any = None
        self._parts = 0  # of the projector that have been seen
        self._positions: list[Tensor] = []
        self._last: dict[int, Tensor] = {}  # (prompts, width) by number of the hidden state

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen for a while."""
        tap = self.tap
        tower, model = tap.tower, tap.backend.model
        states = range(tower.n_layers + 1)
        with ExitStack() as hooks:
            hooks.enter_context(model.register_forward_pre_hook(self._starting, with_kwargs=True))
            hooks.enter_context(model.register_forward_hook(self._ending))
            hooks.enter_context(
                tower_states(tower.module, list(states), self._towers, normed=tower.normed)
            )
            for leaf in tap.projector:
                hooks.enter_context(leaf.register_forward_hook(self._projected))
            layers = range(len(tap.blocks) + 1)
            hooks.enter_context(block_states(tap.blocks, layers, self._language))
            for number, value in enumerate(tap.values, start=1):
                if value is not None:
                    hooks.enter_context(value.register_forward_hook(self._values(number)))
            yield

    def heard(self, scores: Sequence[NDArray[np.float64]]) -> list[Staged]:
        """Return what each prompt gave, with the scores that the listened-to calls gave."""
        if sorted(self._last) != list(range(len(self.tap.blocks) + 1)):
            raise VlmbenchError("not every layer of the language model was seen to run")
        states = torch.stack([self._last[k] for k in sorted(self._last)], dim=1)
        return [Staged(scores=row, lens=self._lens(states[i], i)) for i, row in enumerate(scores)]

    @torch.inference_mode()
    def _lens(self, states: Tensor, index: int) -> NDArray[np.float64]:
        """Return (layers + 1, choices) from one prompt's (layers + 1, width) last states.

        (0, choices) where choices share their first token.
        """
        model, text = self.tap.backend.model, self.tap.backend.text
        decoder, head = model.get_decoder(), model.get_output_embeddings()
        norm = next(iter(norms_after(decoder, self.tap.blocks)), nn.Identity())
        _, tokens = text.answers(text.render(self.prompts[index]), self.choices[index])
        first = [ids[0] for ids in tokens]
        if len(set(first)) < len(first):
            return np.zeros((0, len(first)))
        logs = head(norm(states)).float().log_softmax(dim=-1)
        found: NDArray[np.float64] = logs[:, first].double().cpu().numpy()
        return found

    # -- hooks ----------------------------------------------------------------------------

    def _starting(self, _: nn.Module, __: Any, batch: dict[str, Any]) -> None:
        if self._heard:
            return  # continuations of the prompts
        self._hears, self._batch = True, batch
        positions = self.tap.backend.inputs.image_positions(batch)
        self._positions = [row.nonzero()[:, 0] for row in positions]
        for row, views in zip(self._positions, self.views, strict=True):
            if len(row) != sum(view.tokens for view in views):
                raise VlmbenchError(
                    f"{len(row)} image tokens for images that take "
                    f"{[view.tokens for view in views]} each"
                )

    def _ending(self, _: nn.Module, __: Any, ___: Any) -> None:
        self._hears, self._heard = False, True

    def _towers(self, states: list[Tensor]) -> None:
        if not self._hears:
            return
        tower = self.tap.tower
        chosen = [states[k] for k in tower.several] or [states[tower.consumed]]
        named = {f"tower-{k}": state for k, state in enumerate(states)}
        named[SAME] = torch.cat(chosen, dim=-1) if len(chosen) > 1 else chosen[0]
        for name, state in named.items():
            found = self._whole_views(state, at_tower=True)
            if found is None:
                raise VlmbenchError(
                    f"{tuple(state.shape)} tokens of its tower do not fit its views"
                )
            self._hand_over(name, found)

    def _projected(self, _: nn.Module, __: Any, output: Any) -> None:
        """Hand over what a part of the projector puts out, numbered as they come."""
        if not (self._hears and isinstance(output, Tensor)):
            return
        found = self._whole_views(output, at_tower=False)
        if found is not None:
            self._parts += 1
            self._hand_over(f"projector-{self._parts}", found)

    def _language(self, number: int, state: Tensor) -> None:
        if self._hears:
            ends = self._batch["attention_mask"].sum(dim=1) - 1
            self._last[number] = state[torch.arange(len(ends), device=ends.device), ends]
            self._at_images(f"language-{number}", state)

    def _values(self, number: int) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_: nn.Module, __: Any, output: Tensor) -> None:
            if self._hears:
                self._at_images(f"value-{number}", output)

        return hook

    def _at_images(self, name: str, state: Tensor) -> None:
        """Hand over (prompts, tokens, dim) at each prompt's image positions."""
        for index, (row, views) in enumerate(zip(self._positions, self.views, strict=True)):
            tokens, start, seen = state[index, row.to(state.device)], 0, []
            for view in views:
                first = start + view.start
                whole = tokens[first : first + view.grid[0] * view.grid[1]]
                seen.append(Seen(tokens=on_grid(view.grid, whole), box=view.token_box))
                start += view.tokens
            self.keep(index, name, seen)

    def _hand_over(self, name: str, seen: Sequence[Seen]) -> None:
        start = 0
        for index, views in enumerate(self.views):
            self.keep(index, name, seen[start : start + len(views)])
            start += len(views)

    # -- views ----------------------------------------------------------------------------

    def _whole_views(self, state: Tensor, *, at_tower: bool) -> list[Seen] | None:
        """Return the whole view of every image of the batch; None if the state is of no grid."""
        tower = self.tap.tower
        for grids in ([v.patches for v in self.all_views], [v.grid for v in self.all_views]):
            sizes = [rows * columns for rows, columns in grids]
            found = cut(state, self.all_views, sizes, tower.class_place if at_tower else None)
            if found is not None:
                break
        else:
            return None
        of_patches = grids == [view.patches for view in self.all_views]
        seen = []
        for view, grid, (tokens, extra) in zip(self.all_views, grids, found, strict=True):
            ordered = tokens[self._order(view, of_patches)] if tower.packed else tokens
            pooled = at_tower and tower.twin.pooled == "cls" and extra is not None
            seen.append(
                Seen(
                    tokens=on_grid(grid, ordered),
                    box=view.box if of_patches else view.token_box,
                    cls_token=extra if pooled else None,
                )
            )
        return seen

    def _order(self, view: View, of_patches: bool) -> Tensor:
        """Return where each patch, or each token of merged ones, is in a packed sequence."""
        ordered = packed_order if of_patches else merged_order
        grid = torch.tensor([[1, *view.patches]])
        return ordered(self.tap.tower.module, grid).to(self.tap.backend.model.device)


def _leaves(projector: nn.Module) -> Iterator[nn.Module]:
    """Yield a projector's parts that have no parts themselves, in order, dropout left out.

    A layer that peft has wrapped is one part, with its update.
    """
    children = [] if hasattr(projector, "base_layer") else list(projector.children())
    if not children and not isinstance(projector, nn.Dropout | nn.Identity):
        yield projector
    for child in children:
        yield from _leaves(child)


def _value_of(block: nn.Module) -> nn.Module | None:
    """Return a layer's projection onto values; None where it is fused with others."""
    named = (part for name, part in block.named_modules() if name.endswith("v_proj"))
    return next(named, None)
