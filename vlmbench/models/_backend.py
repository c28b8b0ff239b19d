"""What a backend can be asked: small Protocols, and the prompt they all take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlmbench.spec import GenerationKwargs, ModelSpec

IMAGE_PLACEHOLDER = "<image>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One question as a backend takes it, before any chat template.

    Attributes:
        user: The question, with `<image>` where each image stands.
        images: RGB images, one per placeholder, after the model's image policy.
        system: The task's description, if any.
        prefix: What the answer starts with, if anything.
    """

    user: str
    images: tuple[Image.Image, ...]
    system: str = ""
    prefix: str = ""


class RendersPrompts(Protocol):
    """Knows the exact text that its model reads."""

    def render(self, prompt: Prompt) -> str:
        """Return the whole text before tokenisation, one image token per image."""


class ScoresChoices(RendersPrompts, Protocol):
    """Gives likelihoods of given answers."""

    def choice_logprobs(
        self, prompts: Sequence[Prompt], choices: Sequence[Sequence[str]]
    ) -> list[NDArray[np.float64]]:
        """Return, per prompt, the summed log-likelihood in nats of each continuation."""


class Generates(RendersPrompts, Protocol):
    """Writes answers."""

    def generate(self, prompts: Sequence[Prompt], kwargs: GenerationKwargs) -> list[str]:
        """Return, per prompt, the greedily decoded answer up to the first stop string."""


class Backend(ScoresChoices, Generates, Protocol):
    """A loaded vision-language model.

    Attributes:
        spec: The model spec it was loaded for.
        weights_digest: Hex SHA-256 of its weights, or of what stands for them.
    """

    spec: ModelSpec
    weights_digest: str

    def continuation(self, choice: str, delimiter: str, prefix: str) -> str:
        """Return what stands after the rendered prompt when `choice` is the answer."""
