"""Reading answers from generated text, by the rule of the task."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmbench.models import Reply
from vlmbench.readouts._lm_eval import lm_eval_credit
from vlmbench.readouts._reading import Answer
from vlmbench.readouts.grammar import bare, declared
from vlmbench.spec import TaskSpec
from vlmbench.tasks import listed_choices
from vlmbench.templates import CallError, Limited
from vlmbench.types import Asked, Problem, Scale, VlmbenchError

Votes = list[NDArray[np.float64] | None]
# The patterns are the task file's: read in a process that ends after so many seconds for a batch.
_MATCHES = Limited("vlmbench.templates._filters:matches", seconds=5.0)
# Replies that are read at once, by rules that have so much time for them.
_BATCH = 128
_LETTERED = re.compile(r"\s*\(?([A-Za-z])[).:]\s+(\S.*)", re.DOTALL)  # `A. two cups`


def read_texts(task: TaskSpec, asked: Sequence[Asked], replies: Sequence[Reply]) -> Votes:
    """Return what the task's `answer_rule` reads from each reply, thoughts left out.

    Args:
        task: The task.
        asked: Documents with their questions.
        replies: One per document.

    Returns:
        Per document, (n choices,) float64 with a single 1, or what `by_lm_eval` gives for free
        text; None where nothing can be read, or there is no reply.
    """
    module, _, name = task.answer_rule.implementation.partition(":")
    read: Callable[[TaskSpec, Sequence[Asked], Sequence[Reply]], Votes] = getattr(
        import_module(module), name
    )
    places = [place for place, reply in enumerate(replies) if not reply.error and reply.text]
    votes: Votes = [None] * len(replies)
    for start in range(0, len(places), _BATCH):
        batch = places[start : start + _BATCH]
        found = read(task, [asked[place] for place in batch], [replies[place] for place in batch])
        for place, vote in zip(batch, found, strict=True):
            votes[place] = vote
    return votes


def notes_on(task: TaskSpec, answers: Sequence[Answer]) -> dict[str, Any]:
    """Return by which rule answers were read, how many were not, and how many of these cut off."""
    unread = [answer for answer in answers if answer.scores is None and not answer.error]
    return {
        "read_from": "text",
        "read_by": task.answer_rule.name,
        "unread": len(unread),
        "cut_off": sum(answer.finish == "length" for answer in unread),
    }


def text_scale(task: TaskSpec) -> Scale:
    """Return what the numbers of `read_texts` are."""
    return "credit" if task.is_free_text else "vote"


def by_declaration(task: TaskSpec, asked: Sequence[Asked], replies: Sequence[Reply]) -> Votes:
    """Read the choice that each reply declares; see `vlmbench.readouts.grammar`."""
    del task
    votes: Votes = []
    for one, reply in zip(asked, replies, strict=True):
        choices, listed = _named(one)
        found = declared(
            reply.text, choices, listed=listed, question=one.text, cut=reply.finish == "length"
        )
        votes.append(_vote(choices, [] if found is None else [found]))
    return votes


def _named(one: Asked) -> tuple[Sequence[str], Sequence[str]]:
    """Return the choices, and the words that stand beside them in the prompt or in themselves."""
    choices = one.document.choices
    lettered = [_LETTERED.fullmatch(choice) for choice in choices]
    letters = [match[1] for match in lettered if match]
    if len(set(letters)) == len(choices):
        return letters, [match[2] for match in lettered if match]
    return choices, [words for _, words in listed_choices(one.text, choices)]


def by_blink(task: TaskSpec, asked: Sequence[Asked], replies: Sequence[Reply]) -> Votes:
    """Read the letter that is the whole reply, or the one in brackets in it or its last paragraph.

    This is the rule of `analyze_answer` in https://github.com/zeyofu/BLINK_Benchmark. Deviations:
    BLINK takes a letter in brackets only with white space on both sides, and where it finds none
    it asks another model, which reads `(B).` all the same; here that counts. It overlooks those of
    its five letters that are no choice; here they count as another answer.
    """
    del task
    votes: Votes = []
    for one, reply in zip(asked, replies, strict=True):
        labels = [bare(choice) for choice in one.document.choices]
        bracketed = re.compile(rf"\(({'|'.join(map(re.escape, labels))}|[A-E])\)")
        alone = re.fullmatch(r"\s*\(?([^()]*?)\)?\s*", reply.text)
        hits = {alone[1]} & set(labels) if alone else set[str]()
        for part in (reply.text, reply.text.rpartition("\n\n")[2]):
            named = set(bracketed.findall(part))
            hits = hits or (named if len(named) == 1 else set())
        votes.append(_vote(labels, [labels.index(label) for label in hits & set(labels)]))
    return votes


def by_filters(task: TaskSpec, asked: Sequence[Asked], replies: Sequence[Reply]) -> Votes:
    """Apply the first filter pipeline by lm-eval's own filters, then lm-eval's `exact_match`.

    The result must equal exactly one choice under the task's options of that metric. Without a
    `filter_list` the text itself must.

    Raises:
        VlmbenchError: If a filter fails, or takes longer than a helper process may.
    """
    steps = task.filter_list[0].filter if task.filter_list else ()
    metrics = {metric.metric: metric.model_extra or {} for metric in task.metric_list or ()}
    named = [one.document.choices for one in asked]
    try:
        found = _MATCHES(
            [(step.function, step.model_extra or {}) for step in steps],
            metrics.get("exact_match", {}),
            [reply.text for reply in replies],
            [dict(one.document.row) for one in asked],
            named,
        )
    except CallError as error:
        message = f"the filters fail on an answer: {error.kind}: {error.message}"
        remedy = "A pattern such as `(a+)+` may take for ever on a text that it does not match."
        raise VlmbenchError(
            Problem(field=f"{task.task}: filter_list", message=message, remedy=remedy)
        ) from error
    return [
        _vote(choices, np.flatnonzero(hits).tolist())
        for choices, hits in zip(named, found, strict=True)
    ]


def by_lm_eval(task: TaskSpec, asked: Sequence[Asked], replies: Sequence[Reply]) -> Votes:
    """Credit free text by lm-eval's own code; see `lm_eval_credit`."""
    return lm_eval_credit(task, [one.document for one in asked], [reply.text for reply in replies])


def _vote(choices: Sequence[str], hits: Sequence[int]) -> NDArray[np.float64] | None:
    """Return a vote for the one choice that was hit; None for none or several."""
    return np.eye(len(choices))[hits[0]] if len(hits) == 1 else None
