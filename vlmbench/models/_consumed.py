"""What a language model is given of an image, against the state that a twin reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity
from torch.utils import _pytree as tree

from vlmbench.models._blocks import block_lists, blocks_of, norms_after, tower_states

# Rows compared of each side; an image that is cut into tiles has thousands.
_MOST_ROWS = 256
# What rounding to bfloat16 moves a row by, as a share of its length, with a margin. Another hidden
# state of the same tower is further away by an order of magnitude.
_ROUNDING = 0.02

Rows = Float[Tensor, "rows dim"]


class _LanguageReached(Exception):  # noqa: N818 -- the end of the pass that is listened to
    """All that becomes of an image before the language model reads it has been seen."""


def mismatch(
    model: Any,
    tower: nn.Module,
    batch: Any,
    layers: Sequence[int],
    patches: Callable[[Tensor], Tensor],
    *,
    normed: bool,
) -> str:
    """Return why hidden states of a tower are not what the language model consumes.

    The model runs until its language model would. What the modules behind the tower's blocks are
    given is compared with the states, as far as the language model's input hangs on it: one of
    these modules must be given every patch that is read, and nothing that is no such state.

    Args:
        model: The model.
        tower: Its vision tower.
        batch: A prompt with an image, encoded.
        layers: Numbers of the states, which are concatenated.
        patches: Takes the class token and the like off (views, tokens, dim).
        normed: Whether the last block's number means the state after the final norm.

    Returns:
        The reason; empty if they are.
    """
    runs: list[list[Tensor]] = []
    with tower_states(tower, layers, runs.append, normed=normed):
        given = _given(model, tower, batch)
    if not runs or not given:
        return "nothing between its tower and its language model was seen to take what is read"
    views = [torch.cat(run, dim=-1).float() for run in runs]
    states = torch.cat([view.flatten(0, -2) for view in views])
    read = torch.cat([patches(view).flatten(0, -2) for view in views])
    found = [rows for value in given for rows in _rows(value, states.shape[1])]
    if any(_are_among(read, rows) and _are_among(rows, states) for rows in found):
        return ""
    if not found:
        return f"nothing behind its tower is given states of {states.shape[1]} channels"
    best = max(float(cosine_similarity(*_nearest(read, rows)).mean()) for rows in found)
    return f"what is read resembles what its language model is given only by a cosine of {best:.3f}"


def _given(model: Any, tower: nn.Module, batch: Any) -> list[Tensor]:
    """Return what modules behind a tower's blocks are given that the language model depends on."""
    kept: list[tuple[Tensor, Tensor]] = []
    with _without_gradients(model), torch.enable_grad():
        with _listening(model, tower, kept) as reached, suppress(_LanguageReached):
            model(**batch)
        if not reached:
            return []
        total = torch.stack([value.float().sum() for value in reached]).sum()
        depends = torch.autograd.grad(total, [value for value, _ in kept], allow_unused=True)
    return [copy for (_, copy), slope in zip(kept, depends, strict=True) if slope is not None]


@contextmanager
def _listening(
    model: Any, tower: nn.Module, kept: list[tuple[Tensor, Tensor]]
) -> Iterator[list[Tensor]]:
    """Keep all that modules are given once a tower's blocks have run, with a copy of each.

    Yields:
        What the language model's first block is given; empty until then.
    """
    blocks = blocks_of(tower)
    aside = {part for whole in (*blocks, *norms_after(tower, blocks)) for part in whole.modules()}
    starts = {parts[0] for parts in block_lists(model)}.difference(tower.modules())
    reached: list[Tensor] = []
    ended: list[nn.Module] = []

    def keep(value: Tensor) -> Tensor:
        if not value.is_floating_point():
            return value
        if not value.requires_grad:
            value = value.detach().requires_grad_().clone()  # a leaf could not be written into
        kept.append((value, value.detach().clone()))
        return value

    def entering(module: nn.Module, args: Any, kwargs: Any) -> Any:
        if not ended:
            return None
        if module in starts:
            reached.extend(filter(_has_gradient, tree.tree_leaves((args, kwargs))))
            if reached:
                raise _LanguageReached
        return tree.tree_map_only(Tensor, keep, (args, kwargs))

    with ExitStack() as hooks:
        hooks.enter_context(blocks[-1].register_forward_hook(lambda part, *_: ended.append(part)))
        for part in model.modules():
            if part not in aside and not isinstance(part, nn.Dropout | nn.Identity):
                hook = part.register_forward_pre_hook(entering, with_kwargs=True)
                hooks.enter_context(hook)
        yield reached


def _has_gradient(value: object) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


@contextmanager
def _without_gradients(model: nn.Module) -> Iterator[None]:
    """Let no parameter ask for a gradient, so that blocks keep nothing for one."""
    asking = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in asking:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in asking:
            parameter.requires_grad_(True)


def _rows(value: Tensor, width: int) -> Iterator[Rows]:
    """Yield what a module is given with a row a patch, by each way in which it may lie there."""
    if value.shape[-1] % width == 0:  # several patches beside each other, or one
        yield value.reshape(-1, width).float()
    if value.ndim == 4 and value.shape[1] == width:  # (images, dim, h, w)
        yield value.permute(0, 2, 3, 1).reshape(-1, width).float()


def _are_among(rows: Rows, others: Rows) -> bool:
    """Tell whether each row is one of the others, up to rounding; rows of padding are."""
    some, nearest = _nearest(rows, others)
    return bool(((some - nearest).norm(dim=1) <= _ROUNDING * some.norm(dim=1)).all())


def _nearest(rows: Rows, others: Rows) -> tuple[Rows, Rows]:
    """Return rows, evenly chosen if there are many, and the nearest of the others to each."""
    some = rows[:: -(-len(rows) // _MOST_ROWS)]
    some = some[some.any(dim=1)]
    return some, others[torch.cdist(some, others).argmin(dim=1)]
