"""Low-rank updates (LoRA) of one part of a model, put in and taken out again.

LoRA: arXiv 2106.09685. The layers are peft's, and so are the files.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vlmbench.models._checkpoint import weights_digest
from vlmbench.models._folder import check_tensors
from vlmbench.models._parts import Matrix
from vlmbench.types import Problem, VlmbenchError

ADAPTER_FILES = CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
# What trained conditions say beside the two about how the adapter came about.
RECORD = "training.json"


@contextmanager
def fresh_lora(
    model: Any, matrices: Sequence[Matrix], ranks: Mapping[str, int], *, alpha: float, seed: int
) -> Iterator[Any]:
    """Put new updates into a model for a while; they change nothing until they are trained.

    Args:
        model: The model. It gets its own layers back, which nothing writes into.
        matrices: What may be updated.
        ranks: Rank of each one's update by name; those without one are left alone.
        alpha: Updates are scaled by this over their rank.
        seed: Seed of their first values.

    Yields:
        peft's model, whose parameters that ask for gradients are the updates.
    """
    from peft import LoraConfig, get_peft_model

    names = sorted(ranks, key=lambda name: (-len(name), name))  # peft matches ends of names
    layers = {matrix.name for matrix in matrices if matrix.is_layer}
    config = LoraConfig(
        r=max(ranks.values()),  # of matrices that are no layers, which the pattern does not reach
        lora_alpha=alpha,
        target_modules=[name for name in names if name in layers],
        target_parameters=[name for name in names if name not in layers] or None,
        rank_pattern={name: ranks[name] for name in names if name in layers},
    )
    with torch.random.fork_rng(), _quiet():
        torch.manual_seed(seed)
        wrapped = get_peft_model(model, config)
    with _taken_out(model, wrapped):
        yield wrapped


def save_lora(wrapped: Any, folder: Path) -> None:
    """Write the updates as peft does, without the page that it writes about them."""
    wrapped.save_pretrained(str(folder))
    (folder / "README.md").unlink(missing_ok=True)


def add_lora(model: Any, folder: Path) -> Any:
    """Put the updates of an adapter's folder into a model, and return peft's model.

    Raises:
        VlmbenchError: If the folder does not hold an adapter of low-rank updates that fits all of
            its tensors into the model.
    """
    from peft import PeftModel

    check_adapter(folder, "LORA")
    check_tensors(folder / TENSORS)
    before = set(model.state_dict())
    try:
        with _quiet():
            wrapped = PeftModel.from_pretrained(model, str(folder))
    except Exception as error:  # whatever peft makes of an odd config
        raise _unfitting(folder, (str(error) or repr(error)).splitlines()[0]) from error
    added = {name for name in model.state_dict() if ".lora_" in name} - before
    held = len(check_tensors(folder / TENSORS))
    if held != len(added):
        wrapped.unload()
        raise _unfitting(folder, f"{held} tensors are in it, and the model has {len(added)} places")
    return wrapped


@contextmanager
def stored_lora(model: Any, folder: Path) -> Iterator[None]:
    """Put the updates of an adapter's folder into a model for a while; see `add_lora`."""
    with _taken_out(model, add_lora(model, folder)):
        yield


def merge_lora(model: Any, folder: Path) -> None:
    """Add the updates of an adapter's folder to a model's weights, for good.

    Raises:
        VlmbenchError: As `add_lora`; or if the folder says that they were trained on other weights.
    """
    check_adapter(folder, "LORA")
    record = folder / RECORD
    if record.is_file():
        about = json.loads(record.read_text(encoding="utf-8"))["about"]
        if about["dtype"] == str(model.dtype) and about["weights"] != weights_digest(model):
            raise _unfitting(folder, "it was trained on other weights")
    add_lora(model, folder).merge_and_unload()
    if hasattr(model, "peft_config"):
        del model.peft_config


def check_adapter(folder: Path, kind: str) -> None:
    """Raise VlmbenchError unless a folder holds an adapter of peft of that kind."""
    remedy = f"Give a folder in which peft's `save_pretrained` wrote {CONFIG} and {TENSORS}."
    missing = [name for name in (CONFIG, TENSORS) if not (folder / name).is_file()]
    if missing:
        message = f"there is no {' and no '.join(missing)} in {str(folder)!r}"
        raise VlmbenchError(Problem(field="weights.lora", message=message, remedy=remedy))
    try:
        found = json.loads((folder / CONFIG).read_text(encoding="utf-8")).get("peft_type")
    except (ValueError, AttributeError):
        found = None
    if found != kind:
        message = f"the adapter in {str(folder)!r} is of peft's type {found!r}, not {kind!r}"
        raise VlmbenchError(Problem(field="weights.lora", message=message, remedy=remedy))


def _unfitting(folder: Path, why: str) -> VlmbenchError:
    message = f"the adapter in {str(folder)!r} does not fit the checkpoint: {why}"
    remedy = "Give the checkpoint that it was trained on under `checkpoint`."
    return VlmbenchError(Problem(field="weights.lora", message=message, remedy=remedy))


@contextmanager
def _taken_out(model: nn.Module, wrapped: Any) -> Iterator[None]:
    """Give a model its own layers back at the end."""
    try:
        yield
    finally:
        wrapped.unload()
        if hasattr(model, "peft_config"):
            del model.peft_config
        model.requires_grad_(False)


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        # peft asks transformers for a flag by its old name, and says when keys are missing, which
        # is checked here.
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)
        warnings.filterwarnings("ignore", "Found missing adapter keys", UserWarning)
        yield
