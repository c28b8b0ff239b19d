"""Where a vision tower's blocks and its final norm are, and what they put out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from types import TracebackType
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
        VlmbenchError: If transformers does not say which module it is.
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


def blocks_of(module: nn.Module) -> list[nn.Module]:
    """Return a tower's transformer blocks in order: the longest list with such a name."""
    lists = [
        list(child.children())
        for name, child in module.named_modules()
        if isinstance(child, nn.ModuleList | nn.Sequential)
        and name.rpartition(".")[2] in _BLOCK_LISTS
    ]
    if not lists:
        raise VlmbenchError(f"{type(module).__name__} has no list of blocks to read states from")
    return max(lists, key=len)


class Tap:
    """Records hidden states while a tower runs; a context around its forward call.

    Args:
        module: The tower.
        blocks: Its blocks.
        layers: Numbers of the states wanted: 0 is what the first block is given, k what block
            k - 1 (from 0) puts out.
        normed: Number under which the state after the final norm is meant, if any.
    """

    def __init__(
        self,
        module: nn.Module,
        blocks: Sequence[nn.Module],
        layers: Sequence[int],
        *,
        normed: int | None,
    ) -> None:
        self.module = module
        self.blocks = blocks
        self.wanted = frozenset(layers)
        self.normed = normed
        self.last_hidden_state: Tensor | None = None
        self._seen: dict[int, Tensor] = {}
        self._norms: list[Tensor] = []
        self._handles: list[Any] = []

    def __enter__(self) -> Tap:
        if 0 in self.wanted:
            first = self.blocks[0]
            hook = first.register_forward_pre_hook(self._entering, with_kwargs=True)
            self._handles.append(hook)
        for number in {layer for layer in self.wanted if layer > 0} | {len(self.blocks)}:
            block = self.blocks[number - 1]
            self._handles.append(block.register_forward_hook(self._leaving(number)))
        if self.normed is not None:
            inside = {id(part) for block in self.blocks for part in block.modules()}
            for name, part in self.module.named_modules():
                if name.rpartition(".")[2] in _FINAL_NORMS and id(part) not in inside:
                    self._handles.append(part.register_forward_hook(self._norming))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for handle in self._handles:
            handle.remove()

    def states(self, layers: Sequence[int]) -> list[Tensor]:
        """Return the states of `layers`, as the tower shapes them."""
        last = self.last_hidden_state
        if last is not None and last.ndim == 4:  # a convolution's map (images, dim, h, w)
            return [last.flatten(2).transpose(1, 2)] * len(layers)
        return [self._final() if k == self.normed else self._seen[k] for k in layers]

    def _final(self) -> Tensor:
        """Return the last state after the final norm, at the resolution of the blocks."""
        block = self._seen[len(self.blocks)]
        last = self.last_hidden_state
        if last is not None and last.shape == block.shape:
            return last
        norms = [state for state in self._norms if state.numel() == block.numel()]
        if not norms:
            raise VlmbenchError(
                f"{type(self.module).__name__} has no final norm that keeps its patches; write "
                "the consumed state as a number under `twin.layer`"
            )
        return norms[-1]

    def _entering(self, _: nn.Module, args: Any, kwargs: Any) -> None:
        given = (*args, *kwargs.values())  # the states come first, whatever they are called
        self._seen[0] = next(value for value in given if isinstance(value, Tensor))

    def _leaving(self, number: int) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            self._seen[number] = output[0] if isinstance(output, tuple) else output

        return hook

    def _norming(self, _: nn.Module, __: Any, output: Any) -> None:
        if isinstance(output, Tensor) and len(self.blocks) in self._seen:
            self._norms.append(output)
