"""What a model has read so far, as keys and values that more tokens can follow."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

Tokens = Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Past:
    """Rows of text that a model has read.

    Attributes:
        cache: Their keys and values, a transformers cache of plain layers.
        mask: Which of these are of real tokens: rows may end, or have gaps, at different places.
        places: Position of the token that follows each row.
        axes: Along how many axes the model takes positions.
    """

    cache: Any
    mask: Bool[Tensor, "rows kept"]
    places: Int[Tensor, " rows"]
    axes: int = 1

    @classmethod
    def of(cls, batch: Any, cache: Any, positions: Tensor | None) -> Past:
        """Return what was read in a batch of right-padded prompts.

        Args:
            batch: The prompts.
            cache: Their keys and values.
            positions: Positions that the decoder was given (prompts, tokens), or (axes, prompts,
                tokens) where images lie in two dimensions (M-RoPE), whose axes agree after the
                last image; None where it counts from 0 itself.
        """
        mask = batch["attention_mask"].bool()
        lengths = mask.sum(dim=1)
        if positions is None:
            return cls(cache=cache, mask=mask, places=lengths)
        flat = positions[-1] if positions.ndim == 3 else positions
        last = flat.expand(len(mask), -1).gather(1, lengths[:, None] - 1)[:, 0]
        axes = 3 if positions.ndim == 3 else 1
        return cls(cache=cache, mask=mask, places=last + 1, axes=axes)

    def rows(self, index: Sequence[int]) -> Past:
        """Return these rows, each as often as it is named, without padding that all have."""
        from transformers import DynamicCache

        chosen = torch.tensor(index, device=self.mask.device)
        mask = self.mask[chosen]
        end = int(mask.any(dim=0).nonzero().max()) + 1
        cache = DynamicCache()
        for number, layer in enumerate(self.cache.layers):
            keys, values = (part[:, :, :end][chosen] for part in (layer.keys, layer.values))
            cache.update(keys, values, number)
        return replace(self, cache=cache, mask=mask[:, :end], places=self.places[chosen])

    def read(self, model: Any, tokens: Tokens, *, last: bool = False) -> tuple[Tensor, Past]:
        """Let the model read on; this past is used up.

        Args:
            model: The model.
            tokens: What follows each row: one token at least.
            last: Whether only the logits after each row's last token are wanted.

        Returns:
            Logits (rows, tokens, vocabulary) after each token, or (rows, vocabulary); and what has
            been read then.
        """
        ids, real = padded(tokens, self.mask.device)
        mask = torch.cat([self.mask, real], dim=1)
        places = self.places[:, None] + torch.arange(ids.shape[1], device=ids.device)
        ends = real.sum(dim=1) - 1
        kept, column = torch.unique(ends, return_inverse=True)
        output = model(
            input_ids=ids,
            attention_mask=mask.long(),
            position_ids=places if self.axes == 1 else places.expand(self.axes, -1, -1),
            past_key_values=self.cache,
            use_cache=True,
            **({"logits_to_keep": kept} if last else {}),
        )
        logits = output.logits
        if last:
            logits = logits[torch.arange(len(ids), device=ids.device), column]
        cache = output.past_key_values
        return logits, replace(self, cache=cache, mask=mask, places=self.places + ends + 1)


@contextmanager
def positions_seen(decoder: nn.Module) -> Iterator[list[Tensor | None]]:
    """Give the positions that a decoder is told in every pass, for a while; None where none."""
    seen: list[Tensor | None] = []

    def looking(_: nn.Module, __: Any, given: dict[str, Any]) -> None:
        seen.append(given.get("position_ids"))

    handle = decoder.register_forward_pre_hook(looking, with_kwargs=True)
    try:
        yield seen
    finally:
        handle.remove()


def can_continue(model: Any, cache: Any, batch: Any) -> bool:
    """Tell whether more tokens can follow the rows of a right-padded batch.

    Its model must take positions, and caches of sliding windows, recurrent states and
    cross-attention (empty where no image was shown) cannot be cut at the end of a row's own tokens.
    """
    from transformers.cache_utils import DynamicLayer

    layers = getattr(cache, "layers", ())
    plain = bool(layers) and all(
        type(layer) is DynamicLayer and layer.keys is not None for layer in layers
    )
    placed = "position_ids" in inspect.signature(model.forward).parameters
    return plain and placed and "cross_attention_mask" not in batch


def padded(row: Tokens, device: torch.device) -> tuple[Int[Tensor, "n t"], Bool[Tensor, "n t"]]:
    """Return token ids padded on the right with 0, and which of them are real."""
    longest = max(len(ids) for ids in row)
    ids = torch.tensor([[*one, *[0] * (longest - len(one))] for one in row], device=device)
    lengths = torch.tensor([[len(one)] for one in row], device=device)
    return ids, torch.arange(longest, device=device)[None] < lengths
