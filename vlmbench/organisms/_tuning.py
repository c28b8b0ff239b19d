"""Tunes a language model on the documents of one task by low-rank updates (LoRA).

The gate asks whether that lifts the task above chance while encoder and projector stay as they
are. LoRA: arXiv 2106.09685.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vlmbench.models import HfBackend
from vlmbench.organisms._loop import REPORT_EVERY, Progress, Report
from vlmbench.readouts import build_prompt
from vlmbench.spec import TaskSpec
from vlmbench.types import Asked

if TYPE_CHECKING:
    from peft import PeftModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """How a model is tuned.

    Attributes:
        rank: Of the updates, which every linear layer of the language model is given.
        steps: Optimizer steps.
        batch: Documents a step.
        rate: Peak learning rate of AdamW; linear warm-up over a tenth, then down in a line.
        seed: Of the order of documents and of the updates' first weights.
    """

    rank: int = 32
    steps: int = 1200
    batch: int = 32
    rate: float = 1e-3
    seed: int = 0

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step."""
        return self.rate * min((step + 1) / max(1, self.steps // 10), 1 - step / self.steps)


def tune(
    backend: HfBackend,
    asked: Sequence[Asked],
    task: TaskSpec,
    tuning: Tuning,
    report: Report = lambda _: None,
) -> HfBackend:
    """Train a model in place on the right choice of every document; returns it, ready to be asked.

    The loss is the cross-entropy of the right choice among all choices, from each one's first
    token: what the prompted readout reads.

    Args:
        backend: The model; the updates are merged into its weights at the end.
        asked: What to learn from; never the documents that are reported.
        task: Their task.
        tuning: How.
        report: Called every few steps with the loss.
    """
    torch.manual_seed(tuning.seed)
    wrapped = _add_lora(backend, tuning)
    trained = [p for p in backend.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=tuning.rate, weight_decay=0.01, betas=(0.9, 0.98))
    order = _order(np.random.default_rng(tuning.seed), len(asked), tuning)
    losses: list[float] = []
    for done, indices in enumerate(order, start=1):
        for group in optimizer.param_groups:
            group["lr"] = tuning.rate_at(done - 1)
        loss = _loss(backend, [asked[i] for i in indices], task)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        losses.append(loss.item())
        if done % REPORT_EVERY == 0:
            figures = {"loss": sum(losses[-REPORT_EVERY:]) / REPORT_EVERY}
            report(Progress(stage="tuning", done=done, total=tuning.steps, figures=figures))
    backend.model.model.language_model = wrapped.merge_and_unload()
    backend.model.eval().requires_grad_(False)
    return backend


def _add_lora(backend: HfBackend, tuning: Tuning) -> PeftModel:
    """Put low-rank updates into the language model, and let nothing else be trained."""
    from peft import LoraConfig, get_peft_model

    model = backend.model.requires_grad_(False)
    config = LoraConfig(r=tuning.rank, lora_alpha=2 * tuning.rank, target_modules="all-linear")
    with warnings.catch_warnings():
        # peft asks transformers for a flag by its old name.
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)
        wrapped: PeftModel = get_peft_model(model.model.language_model, config)
    model.model.language_model = wrapped
    return wrapped


def _order(rng: np.random.Generator, count: int, tuning: Tuning) -> list[list[int]]:
    """Return the documents of each step, every one seen before any is seen again."""
    needed = tuning.steps * tuning.batch
    passes = [rng.permutation(count) for _ in range(-(-needed // count))]
    indices = np.concatenate(passes)[:needed].reshape(tuning.steps, tuning.batch)
    rows: list[list[int]] = indices.tolist()
    return rows


def _loss(backend: HfBackend, asked: Sequence[Asked], task: TaskSpec) -> Tensor:
    """Return the mean cross-entropy of the right choice's first token among the choices'."""
    text = backend.text
    prompts = [build_prompt(one, task, backend.spec) for one in asked]
    following = [
        [text.continuation(c, task.target_delimiter) for c in one.document.choices] for one in asked
    ]
    pairs = zip(prompts, following, strict=True)
    answers = [text.answers(text.render(prompt), choices) for prompt, choices in pairs]
    rendered = [context for context, _ in answers]
    batch = backend.inputs.encode(rendered, prompts, side="right")
    ends = batch["attention_mask"].sum(dim=1) - 1
    with torch.autocast(backend.model.device.type, torch.bfloat16):
        logits = backend.model(**batch, use_cache=False).logits
    rows = []
    for i, one in enumerate(asked):
        first = [ids[0] for ids in answers[i][1]]
        target = torch.tensor(one.document.gold)
        rows.append(functional.cross_entropy(logits[i, ends[i], first].float(), target))
    return torch.stack(rows).mean()
