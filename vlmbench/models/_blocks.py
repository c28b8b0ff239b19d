"""Where a transformer's blocks and its final norm are, and what they put out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from operator import attrgetter
from typing import Any

from torch import Tensor, nn

from vlmbench.registry import family_of
from vlmbench.types import VlmbenchError

# What transformers and timm call the list of a tower's blocks, and the norm behind them.
_BLOCK_LISTS = frozenset({"layers", "layer", "blocks", "resblocks", "stages"})
_FINAL_NORMS = frozenset(
    {"post_layernorm", "layernorm_post", "layernorm", "ln_post", "rms_norm", "norm"}
)


def image_tower(model: Any) -> Any:
    """Return the vision tower of a VLM.

    Raises:
        VlmbenchError: If transformers does not know which module it is.
    """
    family = family_of(model.config.model_type)
    if family.tower:
        return attrgetter(family.tower)(model)
    tower = model.get_encoder(modality="image")
    if tower is model or tower is model.base_model:
        raise VlmbenchError(
            f"no vision tower is known for model_type {model.config.model_type!r}; name a "
            "standalone encoder with `twin.checkpoint`"
        )
    return tower


def block_lists(module: nn.Module) -> list[list[nn.Module]]:
    """Return the lists of a module's parts, each in order, that are named as blocks are."""
    return [
        list(child.children())
        for name, child in module.named_modules()
        if isinstance(child, nn.ModuleList | nn.Sequential)
        and name.rpartition(".")[2] in _BLOCK_LISTS
        and len(child)
    ]


def blocks_of(module: nn.Module) -> list[nn.Module]:
    """Return a transformer's blocks in order: the longest list with such a name."""
    lists = block_lists(module)
    if not lists:
        raise VlmbenchError(f"{type(module).__name__} has no list of blocks to read states from")
    return max(lists, key=len)


@contextmanager
def block_states(
    blocks: Sequence[nn.Module], layers: Iterable[int], keep: Callable[[int, Tensor], None]
) -> Iterator[None]:
    """Hand over hidden states as blocks run, for a while.

    Args:
        blocks: A transformer's blocks.
        layers: Numbers of the states wanted: 0 is what the first block is given, k what block
            k - 1 (from 0) puts out.
        keep: Given a number and its state, as the blocks shape it.
    """

    def entering(_: nn.Module, args: Any, kwargs: Any) -> None:
        given = (*args, *kwargs.values())  # the states come first, whatever they are called
        keep(0, next(value for value in given if isinstance(value, Tensor)))

    def leaving(number: int) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            keep(number, output[0] if isinstance(output, tuple) else output)

        return hook

    with ExitStack() as hooks:
        for number in sorted(set(layers)):
            if number == 0:
                handle = blocks[0].register_forward_pre_hook(entering, with_kwargs=True)
            else:
                handle = blocks[number - 1].register_forward_hook(leaving(number))
            hooks.enter_context(handle)
        yield


@contextmanager
def tower_states(
    module: nn.Module,
    layers: Sequence[int],
    keep: Callable[[list[Tensor]], None],
    *,
    normed: bool,
) -> Iterator[None]:
    """Hand over the states of `layers`, as a tower shapes them, whenever it has run.

    Args:
        module: The tower.
        layers: Numbers of the states wanted, as `block_states` counts them.
        keep: Given the states in the order of `layers`.
        normed: Whether the last block's number means the state after the final norm.

    Raises:
        VlmbenchError: While the tower runs, if no norm keeps the patches and one is wanted.
    """
    blocks = blocks_of(module)
    seen: dict[int, Tensor] = {}
    norms: list[Tensor] = []

    def norming(_: nn.Module, __: Any, output: Any) -> None:
        if isinstance(output, Tensor) and len(blocks) in seen:
            norms.append(output)

    def finished(_: nn.Module, __: Any, output: Any) -> None:
        last: Any = getattr(output, "last_hidden_state", None)
        if isinstance(last, list | tuple):  # several maps, as timm's `features_only` puts them out
            last = last[-1]
        if last is not None and last.ndim == 4:  # a convolution's map (images, dim, h, w)
            keep([last.flatten(2).transpose(1, 2)] * len(layers))
        else:
            if normed and len(blocks) in layers:
                seen[len(blocks)] = _after_norm(module, seen[len(blocks)], last, norms)
            keep([seen[k] for k in layers])
        seen.clear()
        norms.clear()

    with ExitStack() as hooks:
        hooks.enter_context(block_states(blocks, {*layers, len(blocks)}, seen.__setitem__))
        for norm in norms_after(module, blocks) if normed else ():
            hooks.enter_context(norm.register_forward_hook(norming))
        hooks.enter_context(module.register_forward_hook(finished))
        yield


def _after_norm(
    module: nn.Module, block: Tensor, last: Tensor | None, norms: Sequence[Tensor]
) -> Tensor:
    """Return the state after a tower's final norm, at the resolution of its last block."""
    if last is not None and last.shape == block.shape:
        return last
    alike = [state for state in norms if state.numel() == block.numel()]
    if not alike:
        raise VlmbenchError(
            f"{type(module).__name__} has no final norm that keeps its patches; write the "
            "consumed state as a number under `twin.layer`"
        )
    return alike[-1]


def norms_after(module: nn.Module, blocks: Sequence[nn.Module]) -> Iterator[nn.Module]:
    """Yield what may be a tower's final norm: norms by name, outside its blocks."""
    inside = {id(part) for block in blocks for part in block.modules()}
    for name, part in module.named_modules():
        if name.rpartition(".")[2] in _FINAL_NORMS and id(part) not in inside:
            yield part
