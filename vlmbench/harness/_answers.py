"""Asking a backend, local or behind a server, in the form in which lm-eval wants answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vlmbench.models import Backend, Prompt, Remote
from vlmbench.spec import GenerationKwargs
from vlmbench.types import Problem, VlmbenchError, why_unusable


@runtime_checkable
class TellsGreedy(Protocol):
    """Knows of given answers whether greedy decoding would write them."""

    def choice_and_greedy(
        self, prompts: Sequence[Prompt], choices: Sequence[Sequence[str]]
    ) -> list[tuple[NDArray[np.float64], NDArray[np.bool_]]]:
        """Return, per prompt, log-likelihoods in nats and whether each answer is greedy."""


def likelihoods(
    backend: Backend | Remote, prompts: Sequence[Prompt], continuations: Sequence[Sequence[str]]
) -> list[list[tuple[float, bool]]]:
    """Return, per prompt, each continuation's log-likelihood in nats and whether it is greedy.

    A backend that cannot tell the latter says False of choices, where nothing but the metric
    `exact_match` reads it, and refuses prompts with one continuation, whose `acc` is just that.

    Raises:
        VlmbenchError: If a server does not list a likelihood, for such a prompt, or if a prompt's
            likelihoods are no numbers.
    """
    if isinstance(backend, TellsGreedy):
        told = backend.choice_and_greedy(prompts, continuations)
        _refuse_unusable(backend, [values for values, _ in told])
        return [
            [(float(value), bool(is_greedy)) for value, is_greedy in zip(*row, strict=True)]
            for row in told
        ]
    if any(len(row) == 1 for row in continuations):
        message = (
            f"backend {backend.spec.backend!r} cannot tell whether an answer is the greedy one"
        )
        remedy = "Use tasks of `output_type: multiple_choice` or `generate_until`."
        raise VlmbenchError(Problem(field="output_type", message=message, remedy=remedy))
    if isinstance(backend, Remote):
        rows = _listed(backend, prompts, continuations)
    else:
        rows = backend.choice_logprobs(prompts, continuations)
    _refuse_unusable(backend, rows)
    return [[(float(value), False) for value in row] for row in rows]


def _refuse_unusable(backend: Backend | Remote, rows: Sequence[NDArray[np.float64]]) -> None:
    """Refuse likelihoods of which lm-eval, which has no missing answers, would take the first."""
    for row in rows:
        why = why_unusable(row)
        if why:
            raise VlmbenchError(
                Problem(
                    message=f"model {backend.spec.model!r}: {why}",
                    remedy="Try another number format, such as `--dtype float32`.",
                )
            )


def _listed(
    backend: Remote, prompts: Sequence[Prompt], continuations: Sequence[Sequence[str]]
) -> list[NDArray[np.float64]]:
    rows = []
    for reply in backend.answer(prompts, GenerationKwargs(), continuations):
        if reply.logprobs is None:
            message = reply.error or (
                "it does not list the likelihood of every choice, or would rather write another"
            )
            raise VlmbenchError(
                Problem(
                    message=f"the server of {backend.spec.model!r}: {message}",
                    remedy="Ask it with a `generate_until` task.",
                )
            )
        rows.append(reply.logprobs)
    return rows


def texts(
    backend: Backend | Remote, prompts: Sequence[Prompt], kwargs: GenerationKwargs
) -> list[str]:
    """Return, per prompt, the greedily decoded answer.

    Raises:
        VlmbenchError: If a server left a prompt unanswered: lm-eval has no missing answers.
    """
    if not isinstance(backend, Remote):
        return [reply.text for reply in backend.generate(prompts, kwargs)]
    replies = backend.answer(prompts, kwargs)
    errors = [reply.error for reply in replies if reply.error]
    if errors:
        message = (
            f"the server of {backend.spec.model!r} left {len(errors)} prompts unanswered: "
            f"{errors[0]}"
        )
        raise VlmbenchError(message)
    return [reply.text for reply in replies]
