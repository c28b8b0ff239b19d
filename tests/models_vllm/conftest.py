"""The shipped model's spec; and, for `make vllm`, vLLM and transformers side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

if TYPE_CHECKING:
    from vlmbench.models import HfBackend, Prompt
    from vlmbench.models._vllm import VllmBackend
    from vlmbench.spec import Located, ModelSpec
    from vlmbench.types import Asked

# Of these shipped tasks, with one, two and three images a document, so many documents each.
TASKS, EACH = ("naming", "semantic_correspondence", "art_style"), 22


@pytest.fixture(scope="session")
def located() -> Located[ModelSpec]:
    from vlmbench.registry import catalogue

    (model,) = catalogue().select_models("tiny-clip")
    return model


@pytest.fixture(scope="session")
def engine(located) -> VllmBackend:
    """`tiny-clip` in vLLM itself."""
    from vlmbench.models._vllm import VllmBackend

    return VllmBackend.load(located.spec, located.folder, torch.device("cpu"), torch.float32)


@pytest.fixture(scope="session")
def plain(located) -> HfBackend:
    """The same weights in transformers."""
    from vlmbench.models import HfBackend

    return HfBackend.load(located.spec, located.folder, torch.device("cpu"), torch.float32)


@pytest.fixture(scope="session")
def questions(tmp_path_factory) -> dict[str, tuple[Any, list[Asked]]]:
    """By task: its spec and documents with their questions."""
    from vlmbench.registry import catalogue
    from vlmbench.tasks import ask, load_documents

    root, found = tmp_path_factory.mktemp("data"), {}
    for task in catalogue().select_tasks(",".join(TASKS)):
        documents = list(load_documents(task, "reported", root, EACH))
        asked = ask(documents, task.spec, task.spec.bench.condition)
        found[task.spec.task] = task.spec, asked
    return found


@pytest.fixture(scope="session")
def prompts(questions, located) -> list[Prompt]:
    """Every document's prompt."""
    from vlmbench.readouts._prompts import build_prompt

    return [
        build_prompt(one, task, located.spec) for task, asked in questions.values() for one in asked
    ]
