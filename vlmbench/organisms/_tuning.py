"""Teaches the language model of a tiny model one task by low-rank updates (LoRA).

Encoder and projector stay as they are, so what it then answers was in what they passed on all
along. LoRA: arXiv 2106.09685.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from vlmbench.files import seal, sealed
from vlmbench.models import (
    ADAPTER_FILES,
    RECORD,
    HfBackend,
    fresh_lora,
    matrices_of,
    save_lora,
    weights_digest,
)
from vlmbench.organisms._gate_rows import Held
from vlmbench.organisms._recipe import digest
from vlmbench.readouts.tuning import Examples, Learner, train
from vlmbench.spec import Tuning
from vlmbench.tasks import Documents, load_documents

RANK = 32
"""Of the update of every linear layer of the language model."""

LESSONS = Tuning(
    documents=6000,
    steps=1200,
    batch=32,
    rate=1e-3,
    check_every=100,
    check_documents=300,
    patience=12,
)
"""At 200 steps of 16 it stays at chance; the loss begins to fall after some 400 steps of 32."""

SEED = 0

Checked = Callable[[int, float], None]

_SIDE = 96  # of the picture by which it is found out which layers an answer depends on


def taught(
    backend: HfBackend,
    held: Held,
    *,
    data_root: Path,
    cache: Path,
    tuning: Tuning = LESSONS,
    rank: int = RANK,
    report: Checked = lambda *_: None,
) -> Path:
    """Train updates of the language model on one task; returns the folder with peft's adapter.

    Kept are those of the check with the least loss on validation documents. The model itself is
    left as it was. The adapter names the weights that it was trained on, and is refused by others.

    Args:
        backend: The model.
        held: The task; none of its reported documents is learned from.
        data_root: Folder for rendered data.
        cache: Where adapters are kept; what is complete there is not trained again.
        tuning: How many documents, and how; `budget` and `alpha` do not apply.
        rank: Of every update, which is scaled by two.
        report: Called at every check with the steps done and the validation loss in nats.
    """
    model = backend.model.requires_grad_(False)
    weights = weights_digest(model)
    parts = (
        (more_documents(held, data_root, tuning.documents), tuning.documents),
        (load_documents(held.located, "validation", data_root), tuning.check_documents),
    )
    examples = [Examples(task=held.task, documents=found, most=most) for found, most in parts]
    read = [part.digest() for part in examples]
    folder = cache / f"taught-{digest(weights, *read, tuning, rank)}"
    if sealed(folder / RECORD) is not None:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "checkpoint.pt"
    matrices = matrices_of(model, backend.inputs.trial(_SIDE))["language"]
    ranks = {matrix.name: rank for matrix in matrices}
    with fresh_lora(model, matrices, ranks, alpha=2.0 * rank, seed=SEED) as wrapped:
        learner = Learner(
            backend=backend,
            trained={n: p for n, p in wrapped.named_parameters() if p.requires_grad},
            save=lambda place: save_lora(wrapped, place),
            about={},
        )
        # Its cache would hold on to the updates as they were in the first step.
        with torch.autocast(model.device.type, torch.bfloat16, cache_enabled=False):
            checks = train(
                learner, tuning, *examples, seed=SEED, checkpoint=checkpoint, report=report
            )
        learner.save(folder)
    _forget_path(folder / ADAPTER_FILES[0])
    checkpoint.unlink()
    record = {
        "about": {"dtype": str(model.dtype), "weights": weights},
        "task": held.task.task,
        "rank": rank,
        "tuning": tuning.model_dump(mode="json"),
        "validation_loss": [[check["step"], check["validation"]] for check in checks],
    }
    seal(folder / RECORD, record, ADAPTER_FILES)
    return folder


def _forget_path(config: Path) -> None:
    """Take out of peft's config where the model was, which means nothing elsewhere."""
    said = json.loads(config.read_text(encoding="utf-8"))
    said["base_model_name_or_path"] = None
    config.write_text(json.dumps(said, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def more_documents(held: Held, data_root: Path, count: int) -> Documents:
    """Return a training split of `count` documents of a task's world."""
    generator = held.task.bench.generator
    assert generator is not None, "the abilities are rendered"
    larger = generator.model_copy(update={"train": count, "validation": 0, "test": 0})
    bench = held.task.bench.model_copy(update={"generator": larger})
    metadata = held.task.metadata.model_copy(update={"vlmbench": bench})
    located = replace(held.located, spec=held.task.model_copy(update={"metadata": metadata}))
    return load_documents(located, "train", data_root)
