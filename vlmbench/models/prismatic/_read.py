"""Reading a Prismatic checkpoint and timm weights: tensors only, never code."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from vlmbench.models.prismatic._encoders import ENCODERS, Encoder
from vlmbench.registry import Section, read_object
from vlmbench.types import Problem, VlmbenchError

_HEADS = {"vicuna-v15-7b": 32, "vicuna-v15-13b": 40}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+\-]*")
# More tokens than any language model of that time reads.
_LONGEST = 2**20
_WEIGHT_FILES = (
    "model.safetensors",
    "pytorch_model.bin",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
)
# timm takes SigLIP from files of open_clip, which hold the text tower too.
_TRUNK = "visual.trunk."


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a Prismatic folder holds.

    Attributes:
        model_id: Name of the model (`dinov2-224px+7b`).
        encoder: Which encoder its projector was trained on.
        heads: Attention heads of the language model.
        max_length: Most tokens of a sequence.
        tensors: Projector and language model, by dotted name.
        unused: Entries of the file that are not weights, and why they are left out.
    """

    model_id: str
    encoder: Encoder
    heads: int
    max_length: int
    tensors: dict[str, Tensor]
    unused: dict[str, str]


def read_source(folder: Path) -> Source:
    """Read `config.json` and `checkpoints/latest-checkpoint.pt`.

    Raises:
        VlmbenchError: Files are missing, or the config asks for what is not converted; with
            every such key.
    """
    config = _config(folder / "config.json")
    path = folder / "checkpoints" / "latest-checkpoint.pt"
    stored = load_weights(path)
    if not isinstance(stored.get("model"), Mapping):
        raise VlmbenchError(
            Problem(
                file=str(path),
                message="has no mapping 'model', so it is not a Prismatic checkpoint",
            )
        )
    others = {name: "is stored next to the weights" for name in stored if name != "model"}
    return Source(
        model_id=config.values["model_id"],
        encoder=ENCODERS[config.values["vision_backbone_id"]],
        heads=_HEADS[config.values["llm_backbone_id"]],
        max_length=config.whole("llm_max_length", most=_LONGEST) or 0,
        tensors=_flat(stored["model"], path),
        unused=others,
    )


def _config(path: Path) -> Section:
    """Return the `model` part of a Prismatic config, checked."""
    try:
        config = read_object(path).section("model")
    except VlmbenchError as error:
        remedy = (
            "hf download TRI-ML/prismatic-vlms --include 'dinov2-224px+7b/*' "
            "--local-dir prismatic-vlms, then give prismatic-vlms/dinov2-224px+7b"
        )
        raise VlmbenchError(replace(found, remedy=remedy) for found in error.problems) from error
    allowed: dict[str, tuple[str, ...]] = {
        "vision_backbone_id": tuple(ENCODERS),
        "llm_backbone_id": tuple(_HEADS),
        "arch_specifier": ("no-align+gelu-mlp", "gelu-mlp"),
        "image_resize_strategy": ("letterbox",),
    }
    problems = [
        Problem(
            file=str(path),
            field=f"model.{key}",
            message=f"{config.values.get(key)!r} is not supported",
            remedy=f"Supported are: {', '.join(values)}.",
        )
        for key, values in allowed.items()
        if str(config.values.get(key)) not in values
    ]
    problems += [
        Problem(file=str(path), field=f"model.{key}", message="is missing")
        for key in ("model_id", "llm_max_length")
        if key not in config.values
    ]
    name = config.values.get("model_id", "x")
    if not (isinstance(name, str) and _NAME.fullmatch(name)):  # it becomes the name of a file
        problems += config.wrong("model_id", "a name of letters, digits and `_ . + -`").problems
    if problems:
        raise VlmbenchError(problems)
    return config


def read_encoder(encoder: Encoder, place: str | None) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read an encoder's weights by timm's names.

    Args:
        encoder: Which one.
        place: File, folder or hub id; the repository timm itself uses where None.

    Returns:
        The vision tower's tensors, and what else the file holds with why it is left out.
    """
    path = _weight_file(encoder, place)
    tensors = _flat(load_weights(path), path)
    if not any(name.startswith(_TRUNK) for name in tensors):
        return tensors, {}
    tower = {
        name.removeprefix(_TRUNK): tensor
        for name, tensor in tensors.items()
        if name.startswith(_TRUNK)
    }
    others = {name: "not of the vision tower" for name in tensors if not name.startswith(_TRUNK)}
    return tower, others


def _weight_file(encoder: Encoder, place: str | None) -> Path:
    path = Path(place).expanduser() if place is not None else Path(encoder.hub)
    if path.is_file():
        return path
    if path.is_dir():
        found = [path / name for name in _WEIGHT_FILES if (path / name).is_file()]
        if found:
            return found[0]
        message = f"has none of {', '.join(_WEIGHT_FILES)}"
        raise VlmbenchError(Problem(file=str(path), message=message))
    return _from_hub(place or encoder.hub)


def _from_hub(repository: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError

    last: Exception | None = None
    for name in _WEIGHT_FILES:
        try:
            return Path(hf_hub_download(repository, name))
        except EntryNotFoundError as error:  # another of the names, or nothing in the cache
            last = error
        except (OSError, HFValidationError) as error:
            last = error
            break
    raise VlmbenchError(
        Problem(
            field="--encoder",
            message=f"cannot get the encoder's weights from {repository!r}: {last}",
            remedy=f"hf download {repository} --local-dir encoder, then add `--encoder encoder`",
        )
    )


def load_weights(path: Path) -> dict[str, Any]:
    """Return what a `.safetensors`, `.bin` or `.pt` file holds.

    Raises:
        VlmbenchError: There is no such file, it is damaged, or it holds Python objects, which
            loading would have to run code for.
    """
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise VlmbenchError(
            Problem(
                file=str(path),
                message="contains Python objects besides tensors; loading them could run any "
                f"code, so it is refused ({str(error).splitlines()[0]})",
                remedy="Get the file from its publisher, or save only its tensors.",
            )
        ) from error
    except Exception as error:  # whatever the two libraries make of a damaged file
        raise VlmbenchError(Problem(file=str(path), message=f"cannot be read: {error}")) from error
    if not isinstance(loaded, dict):
        raise VlmbenchError(Problem(file=str(path), message="is not a mapping of names to tensors"))
    return loaded


def _flat(stored: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """Return nested mappings of tensors as one, names joined by dots.

    The published files nest one level (`projector` and `llm_backbone`).
    """
    flat: dict[str, Tensor] = {}
    problems = []
    rest: list[tuple[str, Any]] = list(stored.items())
    while rest:
        name, value = rest.pop()
        if isinstance(value, Mapping):
            rest += [(f"{name}.{key}", inner) for key, inner in value.items()]
        elif isinstance(value, Tensor):
            flat[name] = value
        else:
            message = f"{name} is a {type(value).__name__}, not a tensor"
            problems.append(Problem(file=str(path), message=message))
    if problems:
        raise VlmbenchError(problems)
    return flat
