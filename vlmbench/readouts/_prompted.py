"""The prompted readout: what a vision-language model answers when asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch

from vlmbench.metrics import choice_mass
from vlmbench.models import (
    Backend,
    BatchSize,
    Prepares,
    Prompt,
    Remote,
    Reply,
    TakesNotes,
    in_batches,
)
from vlmbench.plan import Cell
from vlmbench.readouts._answers import notes_on, read_texts, text_scale
from vlmbench.readouts._changed import changed
from vlmbench.readouts._ledger import Ledger, all_of, kept_in
from vlmbench.readouts._prompts import build_prompt, continuations
from vlmbench.readouts._reading import Answer, Progress, Reading, ignore, make_reading
from vlmbench.readouts._reads import Opened
from vlmbench.readouts._replies import read_replies
from vlmbench.spec import GenerationKwargs, ModelSpec, TaskSpec
from vlmbench.types import Asked, Problem, VlmbenchError, reason

# Large enough to keep a GPU busy, small enough for a laptop; halved when memory runs out.
AUTO_BATCH = 128
# Tokens of a batch, for the same reasons: 24 questions of 500 tokens, or 2 of 4,500.
AUTO_TOKENS = 12_000
# Characters of a token, about; only how batches are cut depends on it.
_CHARACTERS = 3


class PromptedReadout:
    """Takes `spec.Prompted`."""

    def read(self, cell: Cell, asked: Sequence[Asked], opened: Opened) -> Reading:
        """Ask the model every question; see `read_prompted`."""
        with changed(cell, asked, opened) as backend:
            most = getattr(backend, "batch", AUTO_BATCH)
            reading = read_prompted(
                asked,
                cell.task.spec,
                backend,
                batch_size=batch_size(cell, opened, most, AUTO_TOKENS),
                ledger=opened.ledger,
                progress=opened.progress,
            )
            return opened.model.reading(reading)


def batch_size(cell: Cell, opened: Opened, items: int, tokens: int) -> BatchSize:
    """Return how many documents a forward pass takes: what fitted in cells before, if any did."""
    if cell.condition.batch == "single":
        return BatchSize(1, fixed=True)
    found = BatchSize.of(opened.batch_size, items, tokens)
    return opened.model.batch_sizes.setdefault(cell.readout.kind_of(), found)


@dataclass(frozen=True, slots=True)
class Item:
    """A question with its prompt."""

    asked: Asked
    prompt: Prompt


Run = Callable[[Sequence[Item], TaskSpec, Backend], list[Answer]]
"""Reads one batch of a task."""


def read_prompted(
    asked: Sequence[Asked],
    task: TaskSpec,
    backend: Backend | Remote,
    *,
    batch_size: int | BatchSize | None = None,
    ledger: Ledger | None = None,
    progress: Progress = ignore,
) -> Reading:
    """Ask a model every question.

    `output_type: multiple_choice` reads the summed log-likelihood of every choice (scale
    `logprob`); `generate_until` reads generated text by the task's `answer_rule` (scale `vote`),
    abstaining where that reads nothing, and so does any task asked of a model that is given room to
    think. `Reading.notes` says which tokens were scored, how text was decoded and read, and how
    probable the model finds all choices together. Documents are run longest first, images included,
    so that batches hold prompts of like length and memory runs out at once if it does; the order of
    the result is that of `asked`. A server is asked as `vlmbench.readouts.read_replies` says.

    Args:
        asked: Documents, conditions already applied, with their questions.
        task: Their task.
        backend: The model.
        batch_size: Documents per forward pass; None starts at 128 documents or 12,000 tokens and
            halves when memory runs out. An engine and a server have numbers of their own.
        ledger: Keeps answers as they come; none by default. A server's are kept by its backend.
        progress: Called with the number of documents just done.

    Returns:
        The reading. A document that the model cannot take is failed, with the reason.
    """
    if isinstance(backend, Remote):
        reading = _ask(asked, task, backend, progress)
    else:
        size = BatchSize.of(batch_size, AUTO_BATCH, AUTO_TOKENS)
        reading = _run(asked, task, backend, size, ledger, progress)
    if reading.scores.scale != "logprob" or reading.scores.failed.all():
        return reading
    mass = {metric: stat.value for metric, stat in choice_mass(reading.scores).items()}
    return replace(reading, notes=reading.notes | mass)


def _run(
    asked: Sequence[Asked],
    task: TaskSpec,
    backend: Backend,
    size: BatchSize,
    ledger: Ledger | None,
    progress: Progress,
) -> Reading:
    written = writes(task, backend)
    run = _write if written else _choose
    answers = answer_all(asked, task, backend, run, size=size, ledger=ledger, progress=progress)
    notes: dict[str, Any] = {}
    ran = next((index for index, answer in enumerate(answers) if not answer.error), None)
    if ran is not None and isinstance(backend, TakesNotes):
        following = [] if written else continuations(asked[ran : ran + 1], task, backend)[0]
        notes = backend.notes(answers[ran].prompt, following)
    if written and notes.get("thinking", "off") != "off":
        _refuse_endless_thought(answers, backend.spec)
    documents = [one.document for one in asked]
    if not written:
        return make_reading(documents, answers, "logprob", notes=notes)
    notes |= notes_on(task, answers)
    return make_reading(documents, answers, text_scale(task), notes=notes)


def answer_all(
    asked: Sequence[Asked],
    task: TaskSpec,
    backend: Backend,
    run: Run,
    *,
    size: BatchSize,
    ledger: Ledger | None = None,
    progress: Progress = ignore,
) -> list[Answer]:
    """Return what `run` gives for every question, in order; see `read_prompted`.

    Images are decoded, and prompts encoded, a few batches ahead of the model and no further.

    Args:
        asked: Documents, conditions already applied, with their questions.
        task: Their task.
        backend: The model.
        run: Reads one batch.
        size: How large a batch is.
        ledger: Keeps answers as they come.
        progress: Called with the number of documents just done.

    Raises:
        ElsewhereError: If other processes answer some of the questions.
    """

    def prepare(batch: Sequence[Asked]) -> list[Item]:
        items = [Item(one, build_prompt(one, task, backend.spec)) for one in batch]
        if isinstance(backend, Prepares):
            following = None if writes(task, backend) else continuations(batch, task, backend)
            prompts = [item.prompt for item in items]
            backend.prepare(prompts, following, listening=run is not _choose)
        return items

    def length(one: Asked) -> int:
        side = backend.spec.image.letterbox
        images = backend.image_tokens(_sizes(one, side)) if isinstance(backend, Prepares) else 0
        return images + len(one.text) // _CHARACTERS

    answers = in_batches(
        asked,
        lambda batch: run(batch, task, backend),
        size=size,
        prepare=prepare,
        workers=backend.workers if isinstance(backend, Prepares) else 1,
        order=lambda one: (-len(one.document.images), -length(one), -len(one.text)),
        tokens=length,
        failed=lambda _, error: Answer(scores=None, error=why_failed(error)),
        kept=kept_in(ledger, [one.document for one in asked]),
        progress=progress,
    )
    return all_of(answers, len(asked))


def writes(task: TaskSpec, backend: Backend | Remote) -> bool:
    """Tell whether a model's answers are read from what it writes."""
    return task.output_type == "generate_until" or backend.spec.prompt.thinking is not None


def _sizes(asked: Asked, side: int | None) -> list[tuple[int, int]]:
    """Return the (width, height) of images as shown, squares or as far as they can be read."""
    if side is not None:
        return [(side, side)] * len(asked.document.images)
    sizes = []
    for image in asked.document.images:
        with suppress(OSError, ValueError):  # its document fails when it is decoded
            sizes.append(image.size)
    return sizes


def why_failed(error: Exception) -> str:
    """Return why a document failed."""
    if isinstance(error, torch.OutOfMemoryError):
        return "memory ran out for this document alone"
    return reason(error)


def _refuse_endless_thought(answers: Sequence[Answer], model: ModelSpec) -> None:
    """Refuse answers that would make the model look as if it abstained on everything."""
    ran = [answer for answer in answers if not answer.error]
    if any(answer.scores is not None or answer.finish != "length" for answer in ran):
        return
    message = f"all {len(ran)} answers of model {model.model!r} were cut off in its thoughts"
    now = model.prompt.thinking or 0
    remedy = f"Leave it more room: `prompt: {{thinking: {max(2048, 2 * now)}}}`."
    raise VlmbenchError(Problem(field="prompt.thinking", message=message, remedy=remedy))


def _ask(asked: Sequence[Asked], task: TaskSpec, backend: Remote, progress: Progress) -> Reading:
    """Ask a server, as many questions at once as keep it busy; images are decoded as needed."""
    kwargs = task.generation_kwargs or GenerationKwargs()
    generates = task.output_type == "generate_until"
    replies: list[Reply] = []
    sent: list[str] = []
    for start in range(0, len(asked), backend.batch):
        batch = asked[start : start + backend.batch]
        prompts = [build_prompt(one, task, backend.spec) for one in batch]
        choices = None if generates else continuations(batch, task, backend)
        replies += backend.answer(prompts, kwargs, choices)
        sent += [backend.render(prompt) for prompt in prompts]
        progress(len(batch))
    return read_replies(asked, sent, replies, task)


def _choose(items: Sequence[Item], task: TaskSpec, backend: Backend) -> list[Answer]:
    prompts = [item.prompt for item in items]
    scores = backend.choice_logprobs(
        prompts, continuations([item.asked for item in items], task, backend)
    )
    return [
        Answer(scores=row, prompt=backend.render(prompt))
        for row, prompt in zip(scores, prompts, strict=True)
    ]


def _write(items: Sequence[Item], task: TaskSpec, backend: Backend) -> list[Answer]:
    prompts = [item.prompt for item in items]
    replies = backend.generate(prompts, task.generation_kwargs or GenerationKwargs())
    votes = read_texts(task, [item.asked for item in items], replies)
    return [
        Answer(
            scores=scores,
            prompt=backend.render(prompt),
            response=reply.thoughts + reply.text,
            finish=reply.finish,
        )
        for scores, prompt, reply in zip(votes, prompts, replies, strict=True)
    ]
