"""Reading what a server said: likelihoods where it lists them for all, its text otherwise."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmbench.models import Reply
from vlmbench.readouts._extract import extract, text_scale
from vlmbench.readouts._reading import Answer, Reading, make_reading
from vlmbench.spec import TaskSpec
from vlmbench.types import Document, Problem, VlmbenchError


def read_replies(
    documents: Sequence[Document],
    prompts: Sequence[str],
    replies: Sequence[Reply],
    task: TaskSpec,
) -> Reading:
    """Return the reading of a server's replies.

    A multiple-choice cell is read from likelihoods (scale `logprob`) if the server listed every
    choice of every document it answered; else the whole cell is read from the generated text
    (scale `vote`), since scales do not mix within a cell. Free-text tasks are read by their own
    filters. `Reading.notes` says which it was, and what it cost.

    Args:
        documents: Documents in order.
        prompts: What was sent, for the record.
        replies: One per document.
        task: Their task.

    Raises:
        VlmbenchError: If every answer ended at its length limit before it said anything.
    """
    answered = [reply for reply in replies if not reply.error]
    _refuse_thought_only(answered)
    listed = sum(reply.logprobs is not None for reply in answered)
    choose = task.output_type == "multiple_choice"
    by_likelihood = choose and bool(answered) and listed == len(answered)
    texts = [reply.text for reply in replies]
    scores: list[NDArray[np.float64] | None]
    if by_likelihood:
        scores = [reply.logprobs for reply in replies]
    elif choose:
        scores = [vote(document, text) for document, text in zip(documents, texts, strict=True)]
    else:
        scores = extract(task, documents, texts)
    answers = [
        Answer(
            scores=None if reply.error else score,
            prompt=prompt,
            response=reply.thoughts + reply.text,
            finish=reply.finish,
            error=reply.error,
        )
        for score, prompt, reply in zip(scores, prompts, replies, strict=True)
    ]
    notes = _notes(replies, "likelihood" if by_likelihood else "text")
    if choose:
        notes["all_choices_listed"] = listed
    return make_reading(
        documents, answers, "logprob" if by_likelihood else text_scale(task), notes=notes
    )


def _refuse_thought_only(answered: Sequence[Reply]) -> None:
    """Refuse what would look like a model that abstains on everything."""
    if not answered or any(reply.text.strip() or reply.finish != "length" for reply in answered):
        return
    message = f"all {len(answered)} answers reached their limit before a word was said"
    remedy = (
        "A reasoning model thinks first: turn that off with `body: {reasoning_effort: none}`, or "
        "leave room with `body: {max_completion_tokens: 4096}`."
    )
    raise VlmbenchError(Problem(field="server.body", message=message, remedy=remedy))


def _notes(replies: Sequence[Reply], read_from: str) -> dict[str, Any]:
    priced = [reply.usd for reply in replies if reply.usd is not None]
    return {
        "read_from": read_from,
        "answered": sum(not reply.error for reply in replies),
        "unanswered": sum(bool(reply.error) for reply in replies),
        "prompt_tokens": sum(reply.prompt_tokens or 0 for reply in replies),
        "completion_tokens": sum(reply.completion_tokens or 0 for reply in replies),
        "usd": sum(priced) if priced else None,
    }


def vote(document: Document, text: str) -> NDArray[np.float64] | None:
    """Return a vote for the choice that a text names, or None where it names none or several.

    The text names a choice if it is that choice, with or without brackets and a full stop. It
    names a choice's letter if it starts with it as `A.`, `A:` or `A)`, or holds it as `(A)`
    anywhere. This is BLINK's rule (https://github.com/zeyofu/BLINK_Benchmark), except that
    BLINK turns to the last paragraph alone where several letters stand in the whole text, which
    prefers one of two letters that were named.
    """
    labels = [_bare(choice) for choice in document.choices]
    bare = _bare(text)
    hits = [index for index, label in enumerate(labels) if label == bare]
    if not hits and all(len(label) == 1 and label.isalnum() for label in labels):
        letters = "".join(map(re.escape, labels))
        start = re.match(rf"\s*([{letters}])[.:)]", text)
        named = set(re.findall(rf"\(([{letters}])\)", text))
        named |= {start[1]} if start else set()
        hits = [index for index, label in enumerate(labels) if label in named]
    return np.eye(len(labels))[hits[0]] if len(hits) == 1 else None


def _bare(text: str) -> str:
    """Return the text without outer white space, one final full stop and one pair of brackets."""
    bare = text.strip().removesuffix(".")
    return bare[1:-1].strip() if bare.startswith("(") and bare.endswith(")") else bare
