"""Checkpoints: where they are, loading one, and telling its weights from all others."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from vlmbench.models._registers import drop_registers
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
    drop_registers(model)
    return model if where else model.to(device)


def weights_digest(model: torch.nn.Module) -> str:
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
