"""A backend that answers from a script and counts what it is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vlmbench.models import Prompt
from vlmbench.spec import GenerationKwargs, ModelSpec


@dataclass
class ScriptedBackend:
    """Likelihoods follow from the picture's first pixel; text from `say`, given the question."""

    say: Callable[[str], str] = lambda question: ""
    spec: ModelSpec = field(default_factory=lambda: ModelSpec(model="scripted", checkpoint="x"))
    weights_digest: str = "0" * 64
    asked: list[Prompt] = field(default_factory=list)
    followed: list[list[str]] = field(default_factory=list)
    kwargs: list[GenerationKwargs] = field(default_factory=list)

    def render(self, prompt: Prompt) -> str:
        return f"[{prompt.system}]{prompt.user}>>"

    def continuation(self, choice: str, delimiter: str) -> str:
        return choice

    def choice_logprobs(
        self, prompts: Sequence[Prompt], choices: Sequence[Sequence[str]]
    ) -> list[NDArray[np.float64]]:
        self.asked += prompts
        self.followed += [list(row) for row in choices]
        return [
            -np.arange(1.0, len(row) + 1) - (p.images[0].getpixel((0, 0))[0] if p.images else 0)
            for p, row in zip(prompts, choices, strict=True)
        ]

    def generate(self, prompts: Sequence[Prompt], kwargs: GenerationKwargs) -> list[str]:
        self.asked += prompts
        self.kwargs.append(kwargs)
        return [self.say(prompt.user) for prompt in prompts]
