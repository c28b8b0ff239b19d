"""Canaries: a few requests that show whether an engine or a server looks at what it is given.

What runs a model behind our back can lose an image, take one for another, or answer the same
question differently every time, and its numbers look as plausible as any. So before a run it is
asked about a red square, about a blue one, and about the red one again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from PIL import Image

from vlmbench.models._backend import IMAGE_PLACEHOLDER, Prompt
from vlmbench.models._images import prepare
from vlmbench.spec import Located, ModelSpec
from vlmbench.types import Problem, VlmbenchError

QUESTION = "What colour is this? Answer with one word."
RED, BLUE = (220, 30, 30), (30, 30, 220)
SIDE = 224
# Most that the probability of a first token may move between two askings of one question. Engines
# round differently by what else they run just then: half formats move it by some hundredths.
TOLERANCE = 0.1
# Fewer tokens than this are a mark that an image once stood there, not what a model reads of it.
LEAST_IMAGE_TOKENS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What came back to a canary.

    Attributes:
        first: Text or id of what the answer's first token could have been -> log-likelihood in
            nats; empty where none are listed.
        text: The answer.
        tokens: Tokens of the prompt as the model read it; None where nobody says.
    """

    first: Mapping[Any, float] = field(default_factory=dict)
    text: str = ""
    tokens: int | None = None


@runtime_checkable
class TakesCanaries(Protocol):
    """Runs a model where it cannot be watched.

    Attributes:
        canary: What canaries showed, for the record; empty until they have been tried.
    """

    canary: dict[str, Any]

    def hear(self, prompts: Sequence[Prompt]) -> list[Heard]:
        """Ask now, whatever has been asked before, and return what came back to each prompt."""

    def echo(self, prompt: Prompt) -> str | None:
        """Return a prompt as the model reads it; None where it is not shown."""


def try_canaries(backend: TakesCanaries, model: Located[ModelSpec]) -> dict[str, Any]:
    """Ask a model about two squares, and refuse it if the answers show that it is not run rightly.

    Where likelihoods of the first token are listed, those of the red square must be the same
    twice, but for rounding, and must differ more from the blue one's, if the answers do not differ
    as it is. Where none are listed, the answers to the two squares may honestly be equal; then a
    prompt must at least be longer with an image than without, if the server says how long prompts
    are. Answers that are worded differently the second time are noted, and no reason to refuse.

    Args:
        backend: The model, loaded.
        model: Its spec, for messages.

    Returns:
        For the record: `answers` to red, blue and red again; `repeat` and `images`, by how much a
        token's probability moves at most between the two askings about red and between red and
        blue, None where likelihoods are not listed; `image_tokens`, None where likelihoods or
        answers show the difference already or the server does not say; and `prompt`, as the model
        reads it, None where it is not shown.

    Raises:
        VlmbenchError: If the images change nothing, or the same request does not agree twice.
    """
    red, blue, plain = _prompts(model.spec)
    (first,), (other,), (again,) = (backend.hear([each]) for each in (red, blue, red))
    found: dict[str, Any] = {
        "answers": [heard.text for heard in (first, other, again)],
        "repeat": None,
        "images": None,
        "image_tokens": None,
        "prompt": backend.echo(red),
    }
    if all(heard.first for heard in (first, other, again)):
        found["repeat"] = _moved(first, again)
        found["images"] = _moved(first, other)
        if found["repeat"] > TOLERANCE:
            raise VlmbenchError(_unsteady(model, found["repeat"]))
        if found["images"] <= found["repeat"] and first.text == other.text:
            raise VlmbenchError(_blind(model, "the same likelihoods"))
    elif first.text == other.text:
        (without,) = backend.hear([plain])
        if first.tokens is not None and without.tokens is not None:
            found["image_tokens"] = first.tokens - without.tokens
            if found["image_tokens"] < LEAST_IMAGE_TOKENS:
                what = f"the same answer, and take {found['image_tokens']} tokens"
                raise VlmbenchError(_blind(model, what))
    return found


def _prompts(spec: ModelSpec) -> tuple[Prompt, Prompt, Prompt]:
    """Return the question about red, about blue, and without an image."""
    red, blue = (
        Prompt(
            user=IMAGE_PLACEHOLDER + QUESTION,
            images=tuple(prepare([Image.new("RGB", (SIDE, SIDE), colour)], spec.image)),
        )
        for colour in (RED, BLUE)
    )
    return red, blue, Prompt(user=QUESTION, images=())


def _moved(one: Heard, other: Heard) -> float:
    """Return by how much the probability of any first token moves; one not listed counts as 0."""
    return max(
        abs(_probability(one, token) - _probability(other, token))
        for token in one.first.keys() | other.first.keys()
    )


def _probability(heard: Heard, token: Any) -> float:
    return math.exp(heard.first.get(token, -math.inf))


def _unsteady(model: Located[ModelSpec], moved: float) -> Problem:
    return model.problem(
        _place(model.spec),
        f"model {model.spec.model!r} was asked the same twice, and the probability of a first "
        f"token moved by {moved:.2g}, more than {TOLERANCE:g}",
        "Its scores would depend on when it is asked. Look for a router in front of several "
        "models, for sampling that is on, or for a wrong cache.",
    )


def _blind(model: Located[ModelSpec], what: str) -> Problem:
    return model.problem(
        _place(model.spec),
        f"model {model.spec.model!r} was asked about a red and a blue square, which get {what}: "
        "nothing shows that it is given the images",
        "See that it is served as a model of images, and that its chat template and caches keep "
        "every image.",
    )


def _place(spec: ModelSpec) -> str:
    return "backend" if spec.server is None else "server"
