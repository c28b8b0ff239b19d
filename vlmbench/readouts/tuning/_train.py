"""One training, from the first step or from where an earlier attempt was stopped."""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vlmbench.files import replacing
from vlmbench.readouts.tuning._examples import Examples, order_of
from vlmbench.readouts.tuning._learners import Learner
from vlmbench.spec import Rate, Tuning
from vlmbench.types import Problem, VlmbenchError

# A loss beyond so many times the untrained one, and so many nats more, is one of a training that
# does not come back.
_TIMES, _NATS = 2, 10
# Bytes of a checkpoint's checksum, which stands before it.
_SUM = 4


def train(
    learner: Learner,
    tuning: Tuning,
    train: Examples,
    validation: Examples,
    *,
    seed: int,
    checkpoint: Path,
    rate: Rate = "rate",
    report: Callable[[int, float], None] = lambda *_: None,
) -> list[dict[str, float]]:
    """Train in place, and leave the weights of the check with the least validation loss.

    The loss is minus the log-likelihood of the right choice, as the prompted readout scores it.
    Nothing is drawn but the order of documents, so a training that was stopped and goes on from
    its checkpoint ends with the same numbers as one that was not.

    Args:
        learner: What is trained.
        tuning: How.
        train: What is learned from.
        validation: What decides which weights are kept, and when to stop.
        seed: Seed of the order of documents.
        checkpoint: File that keeps the state at the last check; goes on from it if it is there.
        rate: Which rate of `tuning` is the greatest.
        report: Called at every check with the steps done and its validation loss.

    Returns:
        The checks: `step`, mean `training` loss since the last check (NaN at the first), and
        mean `validation` loss, in nats.

    Raises:
        VlmbenchError: If the loss explodes or is not a number, or a step takes more memory than
            there is.
    """
    run = _Training(learner, tuning, train, validation, seed=seed, checkpoint=checkpoint, rate=rate)
    run.report = report
    with _recomputing(learner.backend.model, on=tuning.checkpointing):
        run.to_the_end()
    return run.checks


class _Training:
    """The state of one training."""

    def __init__(
        self,
        learner: Learner,
        tuning: Tuning,
        train: Examples,
        validation: Examples,
        *,
        seed: int,
        checkpoint: Path,
        rate: Rate,
    ) -> None:
        self.learner, self.tuning = learner, tuning
        self.train, self.validation = train, validation
        self.checkpoint = checkpoint
        self.order = order_of(len(train), tuning, seed=seed)
        self.parameters = list(learner.trained.values())
        self.key, self.rate = rate, float(getattr(tuning, rate))
        self.optimizer = torch.optim.AdamW(self.parameters, lr=self.rate, weight_decay=0.0)
        self.report: Callable[[int, float], None] = lambda *_: None
        self.step = 0
        self.losses: list[float] = []
        self.checks: list[dict[str, float]] = []
        self.best: dict[str, Tensor] = {}

    def to_the_end(self) -> None:
        """Run what is left to do and take the best weights."""
        if self.checkpoint.is_file():
            self._go_on()
        while True:
            due = self.step % self.tuning.check_every == 0 or self.step == self.tuning.steps
            if due and (not self.checks or self.checks[-1]["step"] < self.step):
                self._check()
                self._keep()
            if self.step == self.tuning.steps or self._is_done():
                break
            self._take_step()
        self._put(self.best)

    def _is_done(self) -> bool:
        """Tell whether the last checks were all no better than one before them."""
        found = [check["validation"] for check in self.checks]
        return len(found) - 1 - int(np.argmin(found)) >= self.tuning.patience

    def _take_step(self) -> None:
        tuning = self.tuning
        done = min((self.step + 1) / max(1, tuning.steps // 10), 1 - self.step / tuning.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * done
        self.optimizer.zero_grad(set_to_none=True)
        indices = self.order[self.step]
        total = 0.0
        for part in self._parts(indices):
            loss = self._losses(self.train, part).sum() / len(indices)
            torch.autograd.backward(loss)
            total += loss.item()
        self._refuse_explosion(total, "training")
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.losses.append(total)
        self.step += 1

    @torch.no_grad()
    def _check(self) -> None:
        count = min(self.tuning.check_documents, len(self.validation))
        size = -(-self.tuning.batch // self.tuning.accumulation)
        losses = [
            self._losses(self.validation, range(start, min(start + size, count)))
            for start in range(0, count, size)
        ]
        found = float(torch.cat(losses).double().mean())
        self._refuse_explosion(found, "validation")
        if all(found < past["validation"] for past in self.checks):
            self.best = self._taken()
        trained = float(np.mean(self.losses)) if self.losses else math.nan
        self.checks.append({"step": self.step, "training": trained, "validation": found})
        self.losses = []
        self.report(self.step, found)

    def _parts(self, indices: Sequence[int]) -> list[list[int]]:
        parts = np.array_split(np.array(indices), min(self.tuning.accumulation, len(indices)))
        return [part.tolist() for part in parts]

    def _losses(self, examples: Examples, indices: Sequence[int]) -> Tensor:
        try:
            return examples.losses(self.learner.backend, indices)
        except torch.OutOfMemoryError as error:
            message = f"{len(indices)} documents of a step take more memory than there is"
            remedy = "Set `accumulation` higher, or `checkpointing: true`."
            raise VlmbenchError(Problem(field="tuning", message=message, remedy=remedy)) from error

    def _refuse_explosion(self, loss: float, of: str) -> None:
        start = self.checks[0]["validation"] if self.checks else loss
        if loss <= _TIMES * start + _NATS:
            return
        self.checkpoint.unlink(missing_ok=True)
        raise VlmbenchError(
            Problem(
                field=f"tuning.{self.key}",
                message=f"training diverged: the {of} loss at step {self.step} is {loss:.3g} nats, "
                f"{start:.3g} before the first step",
                remedy=f"Lower it; it is {self.rate:g} now.",
            )
        )

    # -- kept -----------------------------------------------------------------------------

    def _taken(self) -> dict[str, Tensor]:
        """Return what is trained, as it is now."""
        return {name: p.detach().cpu().clone() for name, p in self.learner.trained.items()}

    @torch.no_grad()
    def _put(self, values: dict[str, Tensor]) -> None:
        for name, parameter in self.learner.trained.items():
            parameter.copy_(values[name])

    def _keep(self) -> None:
        state: dict[str, Any] = {
            "step": self.step,
            "checks": self.checks,
            "trained": self._taken(),
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
        }
        data = io.BytesIO()
        torch.save(state, data)
        whole = data.getvalue()
        with replacing(self.checkpoint) as partial:
            partial.write_bytes(zlib.crc32(whole).to_bytes(_SUM) + whole)

    def _go_on(self) -> None:
        """Go on where a training was cut short; from the start where its file is damaged."""
        data = self.checkpoint.read_bytes()
        if int.from_bytes(data[:_SUM]) != zlib.crc32(data[_SUM:]):
            return
        state = torch.load(io.BytesIO(data[_SUM:]), map_location="cpu", weights_only=True)
        self.step, self.checks, self.best = state["step"], state["checks"], state["best"]
        self._put(state["trained"])
        self.optimizer.load_state_dict(state["optimizer"])


@contextmanager
def _recomputing(model: Any, *, on: bool) -> Iterator[None]:
    """Let blocks forget their inner states and compute them again on the way back.

    Only blocks are told that they are trained, and not what is in them, so that nothing is
    dropped out.
    """
    if not on:
        yield
        return
    # By its name since transformers 5.23, or the older one.
    enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
    disable = getattr(
        model, "activation_checkpointing_disable", model.gradient_checkpointing_disable
    )
    enable({"use_reentrant": False})
    blocks = [part for part in model.modules() if getattr(part, "gradient_checkpointing", False)]
    try:
        for block in blocks:
            block.training = True
        yield
    finally:
        disable()
        model.eval()
