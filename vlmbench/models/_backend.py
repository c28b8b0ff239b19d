"""What a backend can be asked: small Protocols, and the prompt they all take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlmbench.models._head_attention import HeadAttention
from vlmbench.spec import ForwardChange, GenerationKwargs, ModelSpec
from vlmbench.types import Region

IMAGE_PLACEHOLDER = "<image>"


def pieces(text: str) -> Iterator[str | None]:
    """Yield a prompt's text bit by bit, None where an image stands."""
    for index, part in enumerate(text.split(IMAGE_PLACEHOLDER)):
        if index:
            yield None
        if part:
            yield part


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One question as a backend takes it, before any chat template.

    Attributes:
        user: The question, with `<image>` in the place of each image.
        images: RGB images, one per placeholder, after the model's image policy.
        system: The task's description, if any.
        others: Images, prepared alike, whose states are to stand in for those of `images`; see
            `spec.Patch`.
    """

    user: str
    images: tuple[Image.Image, ...]
    system: str = ""
    others: tuple[Image.Image, ...] = ()


class Model(Protocol):
    """A vision-language model that can be asked.

    Attributes:
        spec: The model spec it was loaded for.
        weights_digest: Hex SHA-256 of its weights, or of what identifies them.
    """

    spec: ModelSpec
    weights_digest: str

    def render(self, prompt: Prompt) -> str:
        """Return the whole text before tokenisation, one image token per image."""

    def continuation(self, choice: str, delimiter: str) -> str:
        """Return what follows the rendered prompt when `choice` is the answer."""


class Backend(Model, Protocol):
    """A model that gives the likelihood of any answer, and writes answers."""

    def choice_logprobs(
        self, prompts: Sequence[Prompt], choices: Sequence[Sequence[str]]
    ) -> list[NDArray[np.float64]]:
        """Return, per prompt, the summed log-likelihood in nats of each continuation."""

    def generate(self, prompts: Sequence[Prompt], kwargs: GenerationKwargs) -> list[Reply]:
        """Return, per prompt, the greedily decoded answer up to the first stop string."""


@runtime_checkable
class Prepares(Protocol):
    """Can do a part of its work in another thread, while the device works.

    Attributes:
        workers: Threads that keep its device busy.
    """

    workers: int

    def prepare(
        self,
        prompts: Sequence[Prompt],
        choices: Sequence[Sequence[str]] | None,
        *,
        listening: bool = False,
    ) -> None:
        """Do ahead, in this thread, what these prompts take besides the model.

        Args:
            prompts: The very objects that the model will be asked.
            choices: Per prompt, the continuations that will be scored; None if it is to write.
            listening: Whether the model is listened to, which takes every prompt in one pass.
        """

    def image_tokens(self, sizes: Sequence[tuple[int, int]]) -> int:
        """Return how many tokens images of these (width, height) take, about."""


@runtime_checkable
class TakesNotes(Protocol):
    """Says what of its prompting and decoding can move a number."""

    def notes(self, text: str, continuations: Sequence[str]) -> dict[str, Any]:
        """Return it for the record.

        Args:
            text: One of the rendered prompts.
            continuations: What follows it where choices are scored; none where text is written.
        """


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inside:
    """What happened inside a language model while it read one prompt.

    Attributes:
        scores: (choices,) float64, summed log-likelihood in nats, as `choice_logprobs` gives it.
        h_image: (layers + 1, width) float32, hidden states averaged over image positions; NaN if
            there is no image. State 0 is what the first layer is given, k what layer k puts out,
            before any final norm.
        h_text: (layers + 1, width) float32, averaged over the positions after the last image, or
            over all if there is no image.
        h_last: (layers + 1, width) float32, at the last position of the prompt.
        mass: (layers, 4) float64, attention of the last position to `vlmbench.types.GROUPS`, mean
            over heads; regions are NaN where it is not known which tokens show them.
        tokens: (4,) int64, tokens in each of those groups.
        attention: The same attention by head; None where it was not kept.
    """

    scores: NDArray[np.float64]
    h_image: NDArray[np.float32]
    h_text: NDArray[np.float32]
    h_last: NDArray[np.float32]
    mass: NDArray[np.float64]
    tokens: NDArray[np.int64]
    attention: HeadAttention | None = None


@runtime_checkable
class Inspects(Protocol):
    """Shows what happens inside its language model while it scores choices."""

    def inspect(
        self,
        prompts: Sequence[Prompt],
        choices: Sequence[Sequence[str]],
        regions: Sequence[Sequence[Region | None]],
    ) -> list[Inside]:
        """Return, per prompt, its choices' scores and the summaries.

        Args:
            prompts: Questions.
            choices: Per prompt, the continuations exactly as they follow the rendered prompt.
            regions: Per prompt, in pixels of its images, the reference region (None without one)
                and then those of the choices; empty if there are none.
        """


@runtime_checkable
class Intervenes(Protocol):
    """Can be asked while something is done inside its language model."""

    def under(self, change: ForwardChange, *, seed: int) -> AbstractContextManager[None]:
        """Change every forward pass for a while.

        Args:
            change: What to do.
            seed: Of everything that is drawn for it.
        """


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reply:
    """What a model wrote after one prompt.

    Attributes:
        text: Its answer up to the first stop string, without thoughts; empty if it was cut off
            inside them.
        thoughts: What it thought before that, with the marks around it; empty if it did not.
        logprobs: (n continuations,) float64, log-likelihood in nats of each continuation as the
            answer's first token; None unless a server listed every one of them, and the answer
            starts with one or is as likely to as not.
        finish: Why the answer ended (`stop`, `length`, ...), as far as a server says.
        error: Why there is no answer; empty if there is one.
        prompt_tokens: Tokens billed for the question; None if the server does not say.
        completion_tokens: Tokens billed for the answer; None if the server does not say.
        usd: What the two cost at the declared prices; None without prices.
    """

    text: str = ""
    thoughts: str = ""
    finish: str = ""
    logprobs: NDArray[np.float64] | None = None
    error: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    usd: float | None = None


@runtime_checkable
class Remote(Model, Protocol):
    """A model behind a server: what it offers shows only in its answers.

    Attributes:
        batch: Prompts to hand over at once, so that it is busy.
    """

    batch: int

    def keep(self, path: Path) -> None:
        """Keep all answers in a file from now on, and reuse those that are already in it."""

    def answer(
        self,
        prompts: Sequence[Prompt],
        kwargs: GenerationKwargs,
        continuations: Sequence[Sequence[str]] | None = None,
    ) -> list[Reply]:
        """Return one reply per prompt; `continuations` asks for their likelihoods too."""
