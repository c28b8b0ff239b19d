"""The prompted readout: what a vision-language model answers when asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from vlmbench.metrics import choice_mass
from vlmbench.models import Backend, Prompt, Remote, Reply, TakesNotes, in_batches, prepare
from vlmbench.plan import Cell
from vlmbench.readouts._answers import notes_on, read_texts, text_scale
from vlmbench.readouts._changed import changed
from vlmbench.readouts._reading import Answer, Progress, Reading, ignore, make_reading
from vlmbench.readouts._reads import Opened
from vlmbench.readouts._replies import read_replies
from vlmbench.spec import GenerationKwargs, ModelSpec, TaskSpec, doc_description
from vlmbench.types import Asked, DocumentError, Problem, VlmbenchError

# Large enough to keep a GPU busy, small enough for a laptop; halved when memory runs out.
AUTO_BATCH = 16


class PromptedReadout:
    """Takes `spec.Prompted`."""

    def read(self, cell: Cell, asked: Sequence[Asked], opened: Opened) -> Reading:
        """Ask the model every question; see `read_prompted`."""
        with changed(cell, asked, opened) as backend:
            reading = read_prompted(
                asked,
                cell.task.spec,
                backend,
                batch_size=batch_size(cell, opened),
                progress=opened.progress,
            )
        return opened.model.reading(reading)


def batch_size(cell: Cell, opened: Opened) -> int | None:
    """Return how many documents a forward pass takes; None where that is to be found out."""
    return 1 if cell.condition.batch == "single" else opened.batch_size


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
    batch_size: int | None = None,
    progress: Progress = ignore,
) -> Reading:
    """Ask a model every question.

    `output_type: multiple_choice` reads the summed log-likelihood of every choice (scale
    `logprob`); `generate_until` reads generated text by the task's `answer_rule` (scale `vote`),
    abstaining where that reads nothing, and so does any task asked of a model that is given room to
    think. `Reading.notes` says which tokens were scored, how text was decoded and read, and how
    probable the model finds all choices together. Documents are run longest question first, so that
    batches hold prompts of like length and memory runs out at once if it does; the order of the
    result is that of `asked`. A server is asked as `vlmbench.readouts.read_replies` says.

    Args:
        asked: Documents, conditions already applied, with their questions.
        task: Their task.
        backend: The model.
        batch_size: Documents per forward pass; None starts at 16 and halves when memory runs out.
            A server has its own number of requests under way.
        progress: Called with the number of documents just done.

    Returns:
        The reading. A document that the model cannot take is failed, with the reason.
    """
    if isinstance(backend, Remote):
        reading = _ask(asked, task, backend, progress)
    else:
        reading = _run(asked, task, backend, batch_size, progress)
    if reading.scores.scale != "logprob" or reading.scores.failed.all():
        return reading
    mass = {metric: stat.value for metric, stat in choice_mass(reading.scores).items()}
    return replace(reading, notes=reading.notes | mass)


def _run(
    asked: Sequence[Asked],
    task: TaskSpec,
    backend: Backend,
    batch_size: int | None,
    progress: Progress,
) -> Reading:
    writes = task.output_type == "generate_until" or backend.spec.prompt.thinking is not None
    run = _write if writes else _choose
    answers = answer_all(asked, task, backend, run, batch_size=batch_size, progress=progress)
    notes: dict[str, Any] = {}
    ran = next((index for index, answer in enumerate(answers) if not answer.error), None)
    if ran is not None and isinstance(backend, TakesNotes):
        following = [] if writes else continuations(asked[ran : ran + 1], task, backend)[0]
        notes = backend.notes(answers[ran].prompt, following)
    if writes and notes.get("thinking", "off") != "off":
        _refuse_endless_thought(answers, backend.spec)
    documents = [one.document for one in asked]
    if not writes:
        return make_reading(documents, answers, "logprob", notes=notes)
    notes |= notes_on(task, answers)
    return make_reading(documents, answers, text_scale(task), notes=notes)


def answer_all(
    asked: Sequence[Asked],
    task: TaskSpec,
    backend: Backend,
    run: Run,
    *,
    batch_size: int | None = None,
    first: int = AUTO_BATCH,
    progress: Progress = ignore,
) -> list[Answer]:
    """Return what `run` gives for every question, in order; see `read_prompted`.

    Args:
        asked: Documents, conditions already applied, with their questions.
        task: Their task.
        backend: The model.
        run: Reads one batch.
        batch_size: Documents per batch; None starts at `first` and halves when memory runs out.
        first: Documents of the first batch where `batch_size` is None.
        progress: Called with the number of documents just done.
    """
    return in_batches(
        [Item(one, build_prompt(one, task, backend.spec)) for one in asked],
        lambda batch: run(batch, task, backend),
        size=batch_size,
        first=first,
        order=lambda item: (-len(item.prompt.images), -len(item.prompt.user)),
        failed=lambda _, error: Answer(scores=None, error=_why(error)),
        progress=progress,
    )


def _why(error: Exception) -> str:
    """Return why a document failed; errors of libraries are often words without their kind."""
    told = isinstance(error, DocumentError)
    return str(error) if told else f"{type(error).__name__}: {error}"


def build_prompt(asked: Asked, task: TaskSpec, model: ModelSpec) -> Prompt:
    """Return a question as the backend takes it, images under the model's image policy."""
    document = asked.document
    images = [image.decode() for image in document.images]
    system = doc_description(task, document.row)
    prompt = place_images(asked.text, images, model, system=system)
    others = prepare([image.decode() for image in document.others], model.image)
    return replace(prompt, others=tuple(others))


def place_images(
    question: str, images: Sequence[Image.Image], model: ModelSpec, *, system: str = ""
) -> Prompt:
    """Return a question and its RGB images as a prompt, under the model's image policy."""
    prepared = prepare(list(images), model.image)
    if len(prepared) < len(images):  # joined: one placeholder stands for all
        first, _, rest = question.partition("<image>")
        question = f"{first}<image>{rest.replace('<image>', '')}"
    return Prompt(user=question, images=tuple(prepared), system=system)


def _refuse_endless_thought(answers: Sequence[Answer], model: ModelSpec) -> None:
    """Refuse answers that would make the model look as if it abstained on everything."""
    ran = [answer for answer in answers if not answer.error]
    if any(answer.scores is not None or answer.finish != "length" for answer in ran):
        return
    message = f"all {len(ran)} answers of model {model.model!r} were cut off in its thoughts"
    now = model.prompt.thinking or 0
    remedy = f"Leave it more room: `prompt: {{thinking: {max(2048, 2 * now)}}}`."
    raise VlmbenchError(Problem(field="prompt.thinking", message=message, remedy=remedy))


def continuations(
    asked: Sequence[Asked], task: TaskSpec, backend: Backend | Remote
) -> list[list[str]]:
    """Return what follows each prompt for every choice."""
    return [
        [backend.continuation(choice, task.target_delimiter) for choice in one.document.choices]
        for one in asked
    ]


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
