"""Checkpoints: where they are, loading one, and telling its weights from all others."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vlmbench.models._folder import bytes_of_weights, folder_of, packed_weights
from vlmbench.registry import AGAIN
from vlmbench.spec import ModelSpec
from vlmbench.types import Problem, VlmbenchError

# What errors of transformers speak of, and what to do then; its own advice is often another.
_REMEDIES = {
    ("trust_remote_code",): "vlmbench never runs code out of a checkpoint. Serve the model and ask "
    "the server (`backend: openai`), or take a checkpoint in transformers' own format.",
    # It turns to tiktoken where it cannot read a `tokenizer.model`.
    ("sentencepiece", "protobuf", "tiktoken"): "The tokenizer is only a `tokenizer.model`, which "
    'needs two packages: pip install "vlmbench-gap[sentencepiece]"',
    ("torchvision", "timm", "num2words"): 'pip install "vlmbench-gap[vision]"',
}
# More numbers than one can pack into a byte, and buffers that no file has.
_MOST_A_BYTE, _ROOM = 8, 2**24
# Names of weights that a message gives.
_MOST_NAMES = 5


def checkpoint_path(checkpoint: str | None, folder: Path | None) -> str:
    """Return a local folder if `checkpoint` names one next to its YAML, else the hub id."""
    assert checkpoint is not None, "specs without a checkpoint never reach a backend"
    local = (folder or Path()) / checkpoint
    return str(local.resolve()) if local.is_dir() else checkpoint


def load_model(
    source: str, spec: ModelSpec, device: torch.device, dtype: torch.dtype
) -> tuple[Any, tuple[str, ...]]:
    """Load a model onto its device, or spread it over several where one is too small.

    Returns:
        The model, and the names of weights in the checkpoint that it has no place for.

    Raises:
        VlmbenchError: If it has a text encoder of its own, or the checkpoint lacks weights.
    """
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoModelForMultimodalLM

    options: dict[str, Any] = {"revision": spec.revision, "trust_remote_code": False}
    config = AutoConfig.from_pretrained(source, **options)
    if config.is_encoder_decoder or config.get_text_config().is_encoder_decoder:
        message = (
            f"model {spec.model!r} is of the family {config.model_type!r}, an encoder-decoder: its "
            "answers do not follow the prompt, and vlmbench asks only models whose answers do"
        )
        raise VlmbenchError(Problem(field="checkpoint", message=message))
    # Models that also hear are in the second list only; image-text-to-text is part of it.
    auto = (
        AutoModelForImageTextToText
        if type(config) in AutoModelForImageTextToText._model_mapping
        else AutoModelForMultimodalLM
    )
    where: dict[str, Any] = {}
    if device.type == "cuda":
        if dtype is torch.float32:  # in convolutions too, which take TF32 by default
            torch.backends.cudnn.allow_tf32 = False
        room = torch.cuda.get_device_properties(device).total_memory / 2**30
        spread = spec.needs.memory_gb is not None and spec.needs.memory_gb > room
        where = {"device_map": "auto" if spread else {"": device}}
    model, unused = load_weights(auto, source, dtype=dtype, **options, **where)
    _drop_registers(model)
    return model if where else model.to(device), unused


def load_weights(
    auto: Any, source: str, *, unread: tuple[str, ...] = (), **options: Any
) -> tuple[Any, tuple[str, ...]]:
    """Load a checkpoint, all of whose weights must be there.

    transformers fills what a checkpoint lacks with random numbers, other ones at every load. What
    it lacks is what transformers says: not weights that are tied to others, or that a family does
    without.

    Args:
        auto: A class of transformers that has `from_pretrained`.
        source: Folder or hub id.
        unread: Beginnings of names that may be missing, below any module.
        options: For `from_pretrained`.

    Returns:
        The model, and the names of weights that it has no place for.

    Raises:
        VlmbenchError: If weights are missing or of another shape, with their names, or are not the
            checkpoint's own.
    """
    folder = folder_of(source, options.get("revision"))
    _refuse_empty_promises(auto, source, folder, options.get("revision"))
    model, report = auto.from_pretrained(
        source,
        output_loading_info=True,
        ignore_mismatched_sizes=True,
        weights_only=True,  # tensors, and no objects that a pickle would run code for
        **options,
    )
    unused = tuple(sorted(report["unexpected_keys"]))
    missing = sorted(
        name
        for name in report["missing_keys"]
        if not any(f".{part}" in f".{name}" for part in unread)
    )
    wrong = [
        f"{name} is {tuple(there)}, not {tuple(wanted)}"
        for name, there, wanted in sorted(report["mismatched_keys"])
    ]
    if missing or wrong:
        raise VlmbenchError(_unfilled(source, missing, wrong, unused))
    _refuse_strange_weights(model, source, folder)
    return model, unused


def _refuse_strange_weights(model: Any, source: str, folder: Path) -> None:
    """Refuse weights that an adapter has changed, or that are packed and were not unpacked."""
    if getattr(model, "_hf_peft_config_loaded", False):
        message = f"{source!r} holds an adapter, which was added to the weights unasked"
        remedy = "Give the checkpoint that it was trained on, and the adapter as `weights.lora`."
        raise VlmbenchError(Problem(field="checkpoint", message=message, remedy=remedy))
    if not getattr(model, "is_quantized", False) and (packed := packed_weights(folder)):
        message = f"{source!r} has weights that are no plain numbers, and its config.json does not "
        message += f"say how to unpack them: {_some(packed)}"
        raise VlmbenchError(Problem(field="checkpoint", message=message))


def _refuse_empty_promises(auto: Any, source: str, folder: Path, revision: str | None) -> None:
    """Refuse a config that describes far more numbers than there are bytes of weights.

    What is missing would be made before it is reported, and memory would run out.

    Raises:
        VlmbenchError: If it does.
    """
    from transformers import AutoConfig

    held = bytes_of_weights(folder)
    if not held:
        return  # not here yet
    config = AutoConfig.from_pretrained(source, revision=revision, trust_remote_code=False)
    with torch.device("meta"):
        empty = auto.from_config(config, trust_remote_code=False)
    promised = sum(tensor.numel() for tensor in (*empty.parameters(), *empty.buffers()))
    if promised > _MOST_A_BYTE * held + _ROOM:
        message = f"config.json describes a model of {promised:,} numbers, and the files of "
        message += f"weights have {held:,} bytes"
        file = str(folder / "config.json")
        raise VlmbenchError(Problem(file=file, message=message, remedy=AGAIN))


def remedy_for(error: Exception, otherwise: str = "") -> str:
    """Return what to do about an error that transformers raised while it loaded something.

    Args:
        error: The error.
        otherwise: What to do where it tells nothing.
    """
    said = str(error).lower()
    for words, remedy in _REMEDIES.items():
        if any(word in said for word in words):
            return remedy
    return otherwise


def _unfilled(
    source: str, missing: list[str], wrong: list[str], unused: tuple[str, ...]
) -> list[Problem]:
    """Return what is wrong with a checkpoint that does not fill its model."""
    remedy = "Fetch the checkpoint again, or save it anew with the version of transformers that "
    remedy += "wrote it: what is missing would be drawn at random, anew at every run."
    if missing and unused:
        remedy += f" Weights may have been renamed: the checkpoint has {_some(unused)}, for which "
        remedy += "the model has no place."
    found = []
    if missing:
        found.append(f"{source!r} lacks {len(missing)} weights of its model: {_some(missing)}")
    if wrong:
        found.append(f"{source!r} has {len(wrong)} weights of another shape: {_some(wrong)}")
    return [Problem(field="checkpoint", message=text, remedy=remedy) for text in found]


def _some(names: Sequence[str]) -> str:
    """Return the first names of many."""
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _drop_registers(model: Any) -> None:
    """Let a LLaVA model cut its tower's register tokens, if its config leaves no room for them.

    transformers' LLaVA can cut the first token of the tower (`vision_feature_select_strategy:
    default`) or none, so a tower with a class token and registers gives more tokens than there
    are patches. Where `image_seq_length` says that an image is exactly its patches, the registers
    are cut out of the tower's `hidden_states` here and the class token by LLaVA itself. Without
    this such a model fails loudly, for features and image tokens do not match in number.

    Args:
        model: Any image-text-to-text model; only LLaVA models with such a tower are changed.
    """
    config = model.config
    tower: Any = getattr(config, "vision_config", None)
    registers = getattr(tower, "num_register_tokens", 0)
    if config.model_type != "llava" or not registers:
        return
    patches = (tower.image_size // tower.patch_size) ** 2
    if config.image_seq_length != patches or config.vision_feature_select_strategy != "default":
        return

    def cut(_module: nn.Module, _args: Any, output: Any) -> Any:
        if output.hidden_states is not None:
            output.hidden_states = tuple(
                None if state is None else _without(state, registers)
                for state in output.hidden_states
            )
        return output

    model.get_encoder(modality="image").register_forward_hook(cut)


def _without(state: Tensor, registers: int) -> Tensor:
    """Return (images, tokens, dim) without the `registers` tokens behind the first."""
    return torch.cat([state[:, :1], state[:, 1 + registers :]], dim=1)


def weights_digest(model: nn.Module) -> str:
    """Return the hex SHA-256 over every parameter and buffer: name, shape, dtype and bytes.

    The bytes are those in memory, which is what a model is run with; nothing that was noted about
    its files takes their place. Each is read once, the next tensor while one is hashed.
    """
    digest = hashlib.sha256()
    tensors = sorted(model.state_dict().items())
    with ThreadPoolExecutor(max_workers=1) as ahead:
        coming = deque(ahead.submit(_raw, tensor) for _, tensor in tensors[:1])
        for place, (name, tensor) in enumerate(tensors):
            coming.extend(ahead.submit(_raw, after) for _, after in tensors[place + 1 : place + 2])
            digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(coming.popleft().result())
    return digest.hexdigest()


def _raw(tensor: Tensor) -> memoryview:
    """Return a tensor's bytes; those of one in main memory are not copied."""
    raw = tensor.detach().contiguous().cpu().flatten().view(torch.uint8)
    return raw.numpy().data


def stand_in_digest(*about: Any) -> str:
    """Return the hex SHA-256 of what identifies weights that cannot be seen, as JSON."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
