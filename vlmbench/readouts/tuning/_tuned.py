"""The trained weights of a cell: kept in the cache, trained where they are not there yet."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vlmbench.files import seal, sealed, sha256_of, sweep
from vlmbench.models import RECORD, HfBackend, stand_in_digest
from vlmbench.plan import Cell
from vlmbench.readouts._reads import Opened
from vlmbench.readouts.tuning._examples import Examples
from vlmbench.readouts.tuning._learners import learned, learning
from vlmbench.readouts.tuning._train import train
from vlmbench.spec import Role, Trained
from vlmbench.store import installed_versions
from vlmbench.types import Problem, VlmbenchError


@contextmanager
def tuned(cell: Cell, opened: Opened) -> Iterator[HfBackend]:
    """Give a model with the trained weights of a cell's condition, for a while.

    They are trained if the cache does not hold them. Meanwhile the model's digest is one of the
    trained weights, and `HfBackend.training` says how they came about.

    Args:
        cell: What is read.
        opened: The model, the training and validation documents and the cache.

    Raises:
        VlmbenchError: If the model is not open here, or the training fails.
    """
    backend = opened.model.backend
    weights = cell.condition.weights
    assert isinstance(weights, Trained), "planned for other weights"
    if not isinstance(backend, HfBackend):
        message = f"{type(backend).__name__} does not give access to its weights"
        raise VlmbenchError(Problem(field="backend", message=message))
    folder, record = _trained(cell, weights, opened, backend)
    own = backend.weights_digest
    with learned(backend, weights, folder):
        backend.weights_digest = stand_in_digest(own, record["adapter"])
        backend.training = record["training"]
        try:
            yield backend
        finally:
            backend.weights_digest, backend.training = own, {}


def _trained(
    cell: Cell, weights: Trained, opened: Opened, backend: HfBackend
) -> tuple[Path, dict[str, Any]]:
    """Return the folder of a cell's trained weights and its record, trained now if need be."""
    task, tuning = cell.task.spec, cell.tuning
    most: dict[Role, int] = {"train": tuning.documents, "validation": tuning.check_documents}
    parts = {
        role: Examples(task=task, documents=opened.training[role], most=count, hints=cell.hints)
        for role, count in most.items()
    }
    about = _about(cell, weights, opened, backend)
    about["data"] = {role: part.digest() for role, part in parts.items()}
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    folder = opened.cache / "tuned" / key[:32]
    record = sealed(folder / RECORD)
    if record is not None:
        return folder, record
    unfinished = folder.with_name(folder.name + ".unfinished")
    unfinished.mkdir(parents=True, exist_ok=True)
    sweep(unfinished)
    checkpoint = unfinished / "checkpoint.pt"
    seed = int(np.random.default_rng([opened.seed, weights.seed]).integers(2**31))
    with learning(backend, weights, tuning, seed=seed) as learner:
        checks = train(
            learner,
            tuning,
            *parts.values(),
            seed=seed,
            checkpoint=checkpoint,
            rate=weights.rate,
        )
        learner.save(unfinished)
    counts = {str(role): len(part) for role, part in parts.items()}
    training = _record(about, dict(learner.about), checks, counts)
    adapter = sha256_of(unfinished / "adapter_model.safetensors")
    kept = {"adapter": adapter, "training": training, "about": about}
    checkpoint.unlink()
    seal(unfinished / RECORD, kept, [path.name for path in sorted(unfinished.iterdir())])
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.replace(folder)
    return folder, kept


def _about(cell: Cell, weights: Trained, opened: Opened, backend: HfBackend) -> dict[str, Any]:
    """Return what trained weights depend on besides the documents, as JSON."""
    spec, device = backend.spec, backend.model.device
    return {
        "weights": backend.weights_digest,
        "prompting": [spec.prompt.model_dump(mode="json"), spec.image.model_dump(mode="json")],
        "processor": [
            backend.processor.chat_template,
            backend.processor.image_processor.to_json_string(),
        ],
        "change": weights.model_dump(mode="json"),
        "tuning": cell.tuning.model_dump(mode="json"),
        "seed": opened.seed,
        "dtype": str(backend.model.dtype),
        "device": device.type,
        # Sums on a CPU are split over its threads, so another number gives other last bits.
        "threads": torch.get_num_threads() if device.type == "cpu" else None,
        "versions": installed_versions().model_dump(mode="json"),
    }


def _record(
    about: dict[str, Any],
    learned: dict[str, Any],
    checks: list[dict[str, float]],
    documents: dict[str, int],
) -> dict[str, Any]:
    """Return what the record of a cell says about its training."""
    best = min(checks, key=lambda check: check["validation"])
    losses = [[check["step"], check["validation"]] for check in checks]
    return {
        "change": about["change"],
        "tuning": about["tuning"],
        "documents": documents,
        "kept_step": best["step"],
        "steps": checks[-1]["step"],
        "validation_loss": losses,
        "base_weights": about["weights"],
        **learned,
    }
