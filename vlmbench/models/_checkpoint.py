"""Checkpoints: where they are, loading one, and telling its weights from all others."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vlmbench.spec import ModelSpec


def checkpoint_path(checkpoint: str | None, folder: Path | None) -> str:
    """Return a local folder if `checkpoint` names one next to its YAML, else the hub id."""
    assert checkpoint is not None, "specs without a checkpoint never reach a backend"
    local = (folder or Path()) / checkpoint
    return str(local.resolve()) if local.is_dir() else checkpoint


def load_model(source: str, spec: ModelSpec, device: torch.device, dtype: torch.dtype) -> Any:
    """Return the model on its device, or spread over several where one is too small."""
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoModelForMultimodalLM

    config = AutoConfig.from_pretrained(source, revision=spec.revision)
    # Models that also hear are in the second list only; image-text-to-text is part of it.
    auto = (
        AutoModelForImageTextToText
        if type(config) in AutoModelForImageTextToText._model_mapping
        else AutoModelForMultimodalLM
    )
    where: dict[str, Any] = {}
    if device.type == "cuda":
        room = torch.cuda.get_device_properties(device).total_memory / 2**30
        spread = spec.needs.memory_gb is not None and spec.needs.memory_gb > room
        where = {"device_map": "auto" if spread else {"": device}}
    model = auto.from_pretrained(source, revision=spec.revision, dtype=dtype, **where)
    _drop_registers(model)
    return model if where else model.to(device)


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
    """Return the hex SHA-256 over every parameter and buffer: name, shape, dtype and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        raw = tensor.detach().contiguous().cpu().flatten().view(torch.uint8)
        digest.update(raw.numpy().tobytes())
    return digest.hexdigest()


def stand_in_digest(*about: Any) -> str:
    """Return the hex SHA-256 of what stands for weights that cannot be seen, as JSON."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
