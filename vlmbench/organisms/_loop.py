"""The training loop of every stage: AdamW or Muon, warm-up and cosine, saved states, a log.

All randomness of a step comes from generators seeded by the step's number, so a run that stopped
and goes on from a saved state ends with the same weights as one that never stopped.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

REPORT_EVERY = 20
"""Steps between two reports of progress."""

MUON = 2.0
"""Learning rate of matrices that Muon trains, as a multiple of AdamW's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a training run has got.

    Attributes:
        stage: What is being done.
        done: Steps (or images) done.
        total: Steps (or images) in all.
        figures: Means since the last report: `loss`, and for lessons `accuracy`.
    """

    stage: str
    done: int
    total: int
    figures: Mapping[str, float] = field(default_factory=dict)


Report = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stretch of training.

    Attributes:
        name: Of the stage, its saved state and its lines in the log.
        folder: Where state and log are kept.
        seed: Seed of its data.
        steps: Optimizer steps.
        rate: Peak learning rate.
        warmup: Steps of linear warm-up.
        weight_decay: Applied to matrices only.
        save_every: Steps between saved states.
    """

    name: str
    folder: Path
    seed: int
    steps: int
    rate: float
    warmup: int
    weight_decay: float
    save_every: int

    def rng(self, step: int) -> np.random.Generator:
        """Return the generator of one step; the stage's name sets it apart from other stages'."""
        return np.random.default_rng([self.seed, *self.name.encode(), step])

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step: up in a line, down in a cosine to a twentieth."""
        if step < self.warmup:
            return self.rate * (step + 1) / self.warmup
        share = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.rate * (0.05 + 0.95 * (1 + math.cos(math.pi * share)) / 2)


def fit(
    model: nn.Module,
    backward: Callable[[int], Mapping[str, float]],
    stage: Stage,
    report: Report,
    matrices: Sequence[nn.Parameter] = (),
) -> None:
    """Train `model` in place, going on from a saved state if there is one.

    Args:
        model: Whose parameters with `requires_grad` are trained.
        backward: Adds the gradients of one step, given its number; returns figures to report.
        stage: Schedule and place of the saved state.
        report: Called every few steps.
        matrices: Parameters that Muon trains; AdamW trains the others.
    """
    optimizers = _optimizers(model, stage, matrices)
    start = _resume(model, optimizers, stage)
    sums: dict[str, float] = {}
    clock = time.perf_counter()
    model.train()
    for step in range(start, stage.steps):
        for group in (group for one in optimizers.values() for group in one.param_groups):
            group["lr"] = stage.rate_at(step) * group.get("multiple", 1.0)
        model.zero_grad(set_to_none=True)
        for key, value in backward(step).items():
            sums[key] = sums.get(key, 0.0) + value
        torch.nn.utils.clip_grad_norm_(_trained(model), 1.0)
        for optimizer in optimizers.values():
            optimizer.step()
        done = step + 1
        if done % REPORT_EVERY == 0 or done == stage.steps:
            span = (done - 1) % REPORT_EVERY + 1
            figures = {key: round(value / span, 5) for key, value in sums.items()}
            report(Progress(stage=stage.name, done=done, total=stage.steps, figures=figures))
            _log(stage, done, figures, time.perf_counter() - clock)
            sums.clear()
        if done % stage.save_every == 0 or done == stage.steps:
            _save(model, optimizers, stage, done)
    model.eval()


def _trained(model: nn.Module) -> list[Tensor]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _optimizers(
    model: nn.Module, stage: Stage, matrices: Sequence[nn.Parameter]
) -> dict[str, torch.optim.Optimizer]:
    """Return AdamW, which decays matrices, not biases, norms or scalars, and Muon if it is used."""
    others = {id(matrix) for matrix in matrices}
    trained = [parameter for parameter in _trained(model) if id(parameter) not in others]
    found: dict[str, torch.optim.Optimizer] = {
        "optimizer": torch.optim.AdamW(
            [
                {"params": [p for p in trained if p.ndim > 1], "weight_decay": stage.weight_decay},
                {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=stage.rate,
            betas=(0.9, 0.98),
        )
    }
    if matrices:
        # Steps of the size that AdamW's have, after https://arxiv.org/abs/2502.16982.
        found["muon"] = torch.optim.Muon(
            [{"params": list(matrices), "multiple": MUON}],
            lr=stage.rate,
            weight_decay=stage.weight_decay,
            adjust_lr_fn="match_rms_adamw",
        )
    return found


def _resume(model: nn.Module, optimizers: Mapping[str, torch.optim.Optimizer], stage: Stage) -> int:
    """Load a saved state; return the steps it had done, or 0 if there is none."""
    path = stage.folder / f"{stage.name}.pt"
    if not path.exists():
        return 0
    state: dict[str, Any] = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    for name, optimizer in optimizers.items():
        optimizer.load_state_dict(state[name])
    return int(state["step"])


def _save(
    model: nn.Module, optimizers: Mapping[str, torch.optim.Optimizer], stage: Stage, done: int
) -> None:
    """Write the state under another name, then move it into place."""
    path = stage.folder / f"{stage.name}.pt"
    state: dict[str, Any] = {name: optimizer.state_dict() for name, optimizer in optimizers.items()}
    state |= {"model": model.state_dict(), "step": done}
    torch.save(state, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def _log(stage: Stage, done: int, figures: Mapping[str, float], seconds: float) -> None:
    """Append one line to the training log."""
    line = {"stage": stage.name, "step": done, "seconds": round(seconds, 1), **figures}
    with (stage.folder / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")
