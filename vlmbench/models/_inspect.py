"""Listening to a language model while it reads a prompt: hidden states and attention, summed up.

Scores come from the very path of the prompted readout. While it runs, hooks on the decoder's
layers reduce every hidden state to means over tokens, and the attention of a prompt's last
position to sums over them. The fused kernel does not give weights, so those of that position are
computed separately; hidden states and scores are the prompted readout's, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vlmbench.models._backend import Inside, Prompt
from vlmbench.models._blocks import block_states, blocks_of
from vlmbench.models._head_attention import head_attention
from vlmbench.models._inputs import Inputs
from vlmbench.models._last_row import LastRow, with_last_row
from vlmbench.models._prompt_groups import groups_of
from vlmbench.models._sinks import attended, massive, queries, tells_by_states
from vlmbench.models._token_groups import TokenGroups
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
    regions: Sequence[Sequence[Region | None]],
) -> list[Inside]:
    """Return, per prompt, the scores of its choices and what the language model held inside.

    Args:
        inputs: The model and how it takes prompts.
        score: What is listened to.
        prompts: Questions, run as one batch as far as the family allows.
        choices: Per prompt, the continuations exactly as they follow the rendered prompt.
        regions: As `Inspects.inspect` takes them.

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
        regions: Sequence[Sequence[Region | None]],
    ) -> None:
        self.inputs = inputs
        self.prompts, self.choices, self.regions = prompts, choices, regions
        self.attention = attention
        self.blocks = blocks_of(inputs.model.get_decoder())
        self._groups: list[TokenGroups] = []
        self._shape = (0, 0)  # prompts, tokens of the padded batch
        self._states: dict[int, NDArray[np.float32]] = {}  # by number: (prompts, 3, width)
        # By layer, a prompt each: (heads, tokens) of its last position, and (tokens,) sinks.
        self._rows: dict[int, list[NDArray[np.float32]]] = {}
        self._sinks: dict[int, list[NDArray[np.bool_]]] = {}

    @property
    def _hears(self) -> bool:
        """Whether this is the pass to listen to."""
        return self.attention.rows is not None

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
        if sorted(self._states) != list(range(layers + 1)) or len(self._rows) != layers:
            raise VlmbenchError(
                f"model {self.inputs.text.spec.model!r}: {len(self._rows)} of {layers} layers "
                "gave attention weights, so its hidden states and attention cannot be read"
            )
        states = np.stack([self._states[k] for k in range(layers + 1)])  # (L + 1, prompts, 3, d)
        return [self._inside(index, row, states[:, index]) for index, row in enumerate(scores)]

    def _inside(
        self, index: int, scores: NDArray[np.float64], states: NDArray[np.float32]
    ) -> Inside:
        """Return the summaries of one prompt."""
        groups, layers = self._groups[index], range(len(self.blocks))
        rows = [self._rows[layer][index] for layer in layers]
        return Inside(
            scores=scores,
            h_image=states[:, 0],
            h_text=states[:, 1],
            h_last=states[:, 2],
            mass=np.stack([_mass(row, groups) for row in rows]),
            tokens=groups.counts,
            attention=head_attention(rows, [self._sinks[n][index] for n in layers], groups),
        )

    # -- hooks ----------------------------------------------------------------------------

    def _starting(self, _: nn.Module, __: Any, batch: dict[str, Any]) -> None:
        if self._groups:
            return  # continuations of the prompts
        self._shape = tuple(batch["input_ids"].shape)
        self._groups = groups_of(self.inputs, batch, self.prompts, self.choices, self.regions)
        width = self.inputs.model.get_decoder().config.hidden_size
        rows = np.stack([queries(groups.question, width) for groups in self._groups])
        self.attention.rows = torch.as_tensor(rows, device=batch["input_ids"].device)

    def _ending(self, _: nn.Module, __: Any, ___: Any) -> None:
        self.attention.rows = None

    def _attending(self, layer: int) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            weights = output[1] if isinstance(output, tuple) and len(output) > 1 else None
            if not self._hears or not isinstance(weights, Tensor) or weights.ndim != 4:
                return
            prompts, tokens = self._shape
            if weights.shape[0] != prompts or weights.shape[3] != tokens:
                return
            rows = self.attention.rows
            assert rows is not None, "heard"
            if weights.shape[2] == tokens:  # the formula's, which gives all rows
                each = torch.arange(prompts, device=weights.device)[:, None]
                weights = weights[each, :, rows.to(weights.device)].transpose(1, 2)
            if weights.shape[2] == rows.shape[1]:
                self._keep_rows(layer, weights.float().cpu().numpy())

        return hook

    def _keep_rows(self, layer: int, weights: NDArray[np.float32]) -> None:
        """Keep what last positions pay in a layer, from (prompts, heads, rows, padded tokens)."""
        held = [weights[i, ..., : groups.last + 1] for i, groups in enumerate(self._groups)]
        self._rows[layer] = [_distributed(rows[:, -1]) for rows in held]
        if layer not in self._sinks:
            self._sinks[layer] = [attended(rows) for rows in held]

    def _keep(self, number: int, state: Tensor) -> None:
        if not self._hears:
            return
        means = [_means(state[i], groups) for i, groups in enumerate(self._groups)]
        self._states[number] = np.stack(means)
        if tells_by_states(state.shape[2]):  # of the layer that is given this state
            pairs = zip(state, self._groups, strict=True)
            self._sinks[number] = [massive(one[: groups.last + 1]) for one, groups in pairs]


def _distributed(row: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (heads, tokens) weights without what rounding adds to their sums.

    Raises:
        VlmbenchError: If they are no distribution over the tokens.
    """
    total = row.sum(axis=1, keepdims=True, dtype=np.float64)
    worst = float(total.ravel()[np.abs(total - 1).argmax()])
    if abs(worst - 1) > _ROUNDING:
        raise VlmbenchError(f"attention weights sum to {worst:.3f}, so they are no distribution")
    found: NDArray[np.float32] = (row / total).astype(np.float32)
    return found


def _means(state: Tensor, groups: TokenGroups) -> NDArray[np.float32]:
    """Return (3, width): means of (tokens, width) over image and question, and the last state."""
    means = [
        state[torch.as_tensor(where, device=state.device)].float().mean(dim=0)
        for where in (groups.image, groups.question)
    ]  # the mean of nothing is NaN
    array: NDArray[np.float32] = torch.stack([*means, state[groups.last].float()]).cpu().numpy()
    return array


def _mass(row: NDArray[np.float32], groups: TokenGroups) -> NDArray[np.float64]:
    """Return (4,): what a prompt's last position pays to each group, from (heads, tokens)."""
    paid = row.astype(np.float64).mean(axis=0)
    parts = (groups.image, groups.regions, groups.choices, groups.text)
    found = [np.nan if part is None else float(paid[part].sum()) for part in parts]
    return np.array(found, dtype=np.float64) / float(paid.sum())
