"""Questions as a backend takes them, and what follows them for every choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from vlmbench.models import Backend, Prompt, Remote, prepare
from vlmbench.spec import ModelSpec, TaskSpec, doc_description
from vlmbench.types import Asked


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


def continuations(
    asked: Sequence[Asked], task: TaskSpec, backend: Backend | Remote
) -> list[list[str]]:
    """Return what follows each prompt for every choice."""
    return [
        [backend.continuation(choice, task.target_delimiter) for choice in one.document.choices]
        for one in asked
    ]
