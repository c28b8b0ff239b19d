"""The prompted readout: what a vision-language model answers when asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from PIL import Image

from vlmbench.models import Backend, Prompt, Remote, Reply, prepare
from vlmbench.readouts._extract import extract, text_scale
from vlmbench.readouts._reading import Answer, Progress, Reading, ignore, make_reading
from vlmbench.readouts._replies import read_replies
from vlmbench.spec import GenerationKwargs, ModelSpec, TaskSpec, doc_description
from vlmbench.types import Document

# Large enough to keep a GPU busy, small enough for a laptop; halved when memory runs out.
AUTO_BATCH = 16


@dataclass(frozen=True, slots=True)
class Item:
    """A document with its prompt, and where it stood."""

    index: int
    document: Document
    prompt: Prompt


Run = Callable[[Sequence[Item], TaskSpec, Backend], list[Answer]]
"""Reads one batch of a task."""


def read_prompted(
    documents: Sequence[Document],
    questions: Sequence[str],
    task: TaskSpec,
    backend: Backend | Remote,
    *,
    batch_size: int | None = None,
    progress: Progress = ignore,
) -> Reading:
    """Ask a model every question.

    `output_type: multiple_choice` reads the summed log-likelihood of every choice (scale
    `logprob`); `generate_until` reads generated text (scale `vote`), abstaining where no
    choice can be read from it. Documents are run longest question first, so that batches hold
    prompts of like length and memory runs out at once if it does; the order of the result is
    that of `documents`. A server is asked as `vlmbench.readouts.read_replies` says.

    Args:
        documents: Documents, conditions already applied.
        questions: Their rendered prompts with `<image>` placeholders.
        task: Their task.
        backend: The model.
        batch_size: Documents a forward pass; None starts at 16 and halves when memory runs out.
            A server has its own number of requests under way.
        progress: Called with the number of documents just done.

    Returns:
        The reading. A document that the model cannot take is failed, with the reason.
    """
    if isinstance(backend, Remote):
        return _ask(documents, questions, task, backend, progress)
    generates = task.output_type == "generate_until"
    run = _generate if generates else _choose
    answers = answer_all(
        documents, questions, task, backend, run, batch_size=batch_size, progress=progress
    )
    return make_reading(documents, answers, text_scale(task) if generates else "logprob")


def answer_all(
    documents: Sequence[Document],
    questions: Sequence[str],
    task: TaskSpec,
    backend: Backend,
    run: Run,
    *,
    batch_size: int | None = None,
    first: int = AUTO_BATCH,
    progress: Progress = ignore,
) -> list[Answer]:
    """Return what `run` gives for every document, in order; see `read_prompted`.

    Args:
        documents: Documents, conditions already applied.
        questions: Their rendered prompts.
        task: Their task.
        backend: The model.
        run: Reads one batch.
        batch_size: Documents a batch; None starts at `first` and halves when memory runs out.
        first: Documents of the first batch where `batch_size` is None.
        progress: Called with the number of documents just done.
    """
    items = [
        Item(index, document, build_prompt(document, question, task, backend.spec))
        for index, (document, question) in enumerate(zip(documents, questions, strict=True))
    ]
    items.sort(key=lambda item: (-len(item.prompt.images), -len(item.prompt.user), item.index))
    answers: dict[int, Answer] = {}
    size, start = batch_size or first, 0
    while start < len(items):
        batch = items[start : start + size]
        try:
            done = run(batch, task, backend)
        except torch.OutOfMemoryError:
            if size == 1 or batch_size is not None:
                raise
            size = max(1, size // 2)
            torch.cuda.empty_cache()
            continue
        except (RuntimeError, ValueError, IndexError, KeyError, TypeError):
            done = [_alone(item, task, backend, run) for item in batch]
        answers.update(zip((item.index for item in batch), done, strict=True))
        start += len(batch)
        progress(len(batch))
    return [answers[index] for index in range(len(documents))]


def build_prompt(document: Document, question: str, task: TaskSpec, model: ModelSpec) -> Prompt:
    """Return the question as the backend takes it, images under the model's image policy."""
    images = [image.decode() for image in document.images]
    return place_images(question, images, model, system=doc_description(task, document.row))


def place_images(
    question: str, images: Sequence[Image.Image], model: ModelSpec, *, system: str = ""
) -> Prompt:
    """Return a question and its RGB images as a prompt, under the model's image policy."""
    prepared = prepare(list(images), model.image)
    if len(prepared) < len(images):  # joined: one placeholder stands for all
        first, _, rest = question.partition("<image>")
        question = f"{first}<image>{rest.replace('<image>', '')}"
    return Prompt(user=question, images=tuple(prepared), system=system)


def _ask(
    documents: Sequence[Document],
    questions: Sequence[str],
    task: TaskSpec,
    backend: Remote,
    progress: Progress,
) -> Reading:
    """Ask a server, as many documents at once as keep it busy; images are decoded as needed."""
    kwargs = task.generation_kwargs or GenerationKwargs()
    replies: list[Reply] = []
    sent: list[str] = []
    for start in range(0, len(documents), backend.batch):
        batch = documents[start : start + backend.batch]
        prompts = [
            build_prompt(document, question, task, backend.spec)
            for document, question in zip(batch, questions[start:], strict=False)
        ]
        continuations = [
            [backend.continuation(choice, task.target_delimiter) for choice in document.choices]
            for document in batch
        ]
        generates = task.output_type == "generate_until"
        replies += backend.answer(prompts, kwargs, None if generates else continuations)
        sent += [backend.render(prompt) for prompt in prompts]
        progress(len(batch))
    return read_replies(documents, sent, replies, task)


def _alone(item: Item, task: TaskSpec, backend: Backend, run: Run) -> Answer:
    """Run one document of a batch that broke, so that only the broken one is failed."""
    try:
        return run([item], task, backend)[0]
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, IndexError, KeyError, TypeError) as error:
        return Answer(scores=None, error=f"{type(error).__name__}: {error}")


def _choose(items: Sequence[Item], task: TaskSpec, backend: Backend) -> list[Answer]:
    prompts = [item.prompt for item in items]
    continuations = [
        [backend.continuation(choice, task.target_delimiter) for choice in item.document.choices]
        for item in items
    ]
    scores = backend.choice_logprobs(prompts, continuations)
    return [
        Answer(scores=row, prompt=backend.render(prompt))
        for row, prompt in zip(scores, prompts, strict=True)
    ]


def _generate(items: Sequence[Item], task: TaskSpec, backend: Backend) -> list[Answer]:
    prompts = [item.prompt for item in items]
    responses = backend.generate(prompts, task.generation_kwargs or GenerationKwargs())
    votes = extract(task, [item.document for item in items], responses)
    return [
        Answer(scores=vote, prompt=backend.render(prompt), response=response)
        for vote, prompt, response in zip(votes, prompts, responses, strict=True)
    ]
