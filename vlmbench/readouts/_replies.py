"""Reading what a server said: likelihoods where it lists them for all, its text otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vlmbench.models import Reply
from vlmbench.readouts._answers import notes_on, read_texts, text_scale
from vlmbench.readouts._reading import Answer, Reading, make_reading
from vlmbench.spec import TaskSpec
from vlmbench.types import Asked, Problem, VlmbenchError


def read_replies(
    asked: Sequence[Asked],
    prompts: Sequence[str],
    replies: Sequence[Reply],
    task: TaskSpec,
) -> Reading:
    """Return the reading of a server's replies.

    A multiple-choice cell is read from likelihoods (scale `logprob`) if the server listed every
    choice of every document it answered; else the whole cell is read from the generated text by
    the task's `answer_rule` (scale `vote`), since scales do not mix within a cell. `Reading.notes`
    says which it was, and what it cost.

    Args:
        asked: Documents with their questions, in order.
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
    scores = (
        [reply.logprobs for reply in replies] if by_likelihood else read_texts(task, asked, replies)
    )
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
    notes = _notes(replies)
    notes |= {"read_from": "likelihood"} if by_likelihood else notes_on(task, answers)
    if choose:
        notes["all_choices_listed"] = listed
    documents = [one.document for one in asked]
    return make_reading(
        documents, answers, "logprob" if by_likelihood else text_scale(task), notes=notes
    )


def _refuse_thought_only(answered: Sequence[Reply]) -> None:
    """Refuse answers that would make the model look as if it abstained on everything."""
    if not answered or any(reply.text.strip() or reply.finish != "length" for reply in answered):
        return
    message = f"all {len(answered)} answers reached their length limit before saying anything"
    remedy = (
        "A reasoning model thinks first: turn that off with `body: {reasoning_effort: none}`, or "
        "leave room with `body: {max_completion_tokens: 4096}`."
    )
    raise VlmbenchError(Problem(field="server.body", message=message, remedy=remedy))


def _notes(replies: Sequence[Reply]) -> dict[str, Any]:
    priced = [reply.usd for reply in replies if reply.usd is not None]
    return {
        "answered": sum(not reply.error for reply in replies),
        "unanswered": sum(bool(reply.error) for reply in replies),
        "prompt_tokens": sum(reply.prompt_tokens or 0 for reply in replies),
        "completion_tokens": sum(reply.completion_tokens or 0 for reply in replies),
        "usd": sum(priced) if priced else None,
    }
