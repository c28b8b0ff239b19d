"""Reading answers from generated text, by the rule of the task."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmbench.readouts._lm_eval import lm_eval_credit
from vlmbench.readouts._reading import Answer
from vlmbench.readouts.grammar import bare, declared
from vlmbench.spec import TaskSpec
from vlmbench.tasks import listed_choices
from vlmbench.types import Asked, Scale

Votes = list[NDArray[np.float64] | None]
_LETTERED = re.compile(r"\s*\(?([A-Za-z])[).:]\s+(\S.*)", re.DOTALL)  # `A. two cups`
_THOUGHTS = "think|thinking|thought|reasoning"
_OPENS = re.compile(rf"<(?:{_THOUGHTS})>|◁think▷|\[THINK\]", re.IGNORECASE)
_CLOSES = re.compile(rf"</(?:{_THOUGHTS})>|◁/think▷|\[/THINK\]", re.IGNORECASE)
_THOUGHT = re.compile(f"(?:{_OPENS.pattern}).*?(?:{_CLOSES.pattern})", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a model said in answer to one question.

    Attributes:
        text: What it wrote, without thoughts.
        cut: Whether it ended at its length limit.
    """

    text: str
    cut: bool = False


def read_answers(
    asked: Sequence[Asked], task: TaskSpec, answers: Sequence[Answer], cut: Sequence[bool] = ()
) -> tuple[list[Answer], dict[str, Any]]:
    """Return answers with what their responses say, and what to note about it.

    Thoughts (`<think>...</think>` and the like) are no part of an answer, and one that never comes
    out of its thoughts is abstained on, whatever the rule. Failed documents stay as they are.

    Args:
        asked: Documents with their questions.
        task: Their task, whose `answer_rule` reads.
        answers: One per document, with its response.
        cut: Which responses ended at their length limit; none where that is not known.
    """
    rule = task.answer_rule
    module, _, name = rule.implementation.partition(":")
    read: Callable[[TaskSpec, Sequence[Asked], Sequence[Said]], Votes] = getattr(
        import_module(module), name
    )
    heard = {}
    for place, answer in enumerate(answers):
        text = None if answer.error else spoken(answer.response)
        if text is not None:
            heard[place] = Said(text=text, cut=bool(cut) and cut[place])
    votes = read(task, [asked[place] for place in heard], list(heard.values())) if heard else []
    scores = dict(zip(heard, votes, strict=True))
    done = [replace(answer, scores=scores.get(place)) for place, answer in enumerate(answers)]
    unread = [one.scores is None and not one.error for one in done]
    notes: dict[str, Any] = {"read_from": "text", "read_by": rule.name, "unread": sum(unread)}
    if cut:
        notes["cut_off"] = sum(map(all, zip(unread, cut, strict=True)))
    return done, notes


def spoken(text: str) -> str | None:
    """Return a response without thoughts; None if it ends within them."""
    rest = _CLOSES.split(_THOUGHT.sub("", text))[-1]  # a template may have opened them
    return None if _OPENS.search(rest) else rest


def text_scale(task: TaskSpec) -> Scale:
    """Return what the numbers of `read_answers` are."""
    return "credit" if task.is_free_text else "vote"


def by_declaration(task: TaskSpec, asked: Sequence[Asked], said: Sequence[Said]) -> Votes:
    """Read the choice that each reply declares; see `vlmbench.readouts.grammar`."""
    del task
    votes: Votes = []
    for one, reply in zip(asked, said, strict=True):
        choices, listed = _named(one)
        found = declared(reply.text, choices, listed=listed, question=one.text, cut=reply.cut)
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


def by_blink(task: TaskSpec, asked: Sequence[Asked], said: Sequence[Said]) -> Votes:
    """Read the letter that is the whole reply, or the one in brackets in it or its last paragraph.

    This is the rule of `analyze_answer` in https://github.com/zeyofu/BLINK_Benchmark. Deviations:
    BLINK takes a letter in brackets only with white space on both sides, and asks another model
    where it finds none, which then reads `(B).` all the same; here that counts, and where nothing
    is found the reply is abstained on.
    """
    del task
    votes: Votes = []
    for one, reply in zip(asked, said, strict=True):
        labels = [bare(choice) for choice in one.document.choices]
        alone = re.fullmatch(r"\s*\(?([^()]*?)\)?\s*", reply.text)
        hits = [index for index, label in enumerate(labels) if alone and label == alone[1]]
        for part in (reply.text, reply.text.rpartition("\n\n")[2]):
            named = {index for index, label in enumerate(labels) if f"({label})" in part}
            hits = hits or (list(named) if len(named) == 1 else [])
        votes.append(_vote(labels, hits))
    return votes


def by_filters(task: TaskSpec, asked: Sequence[Asked], said: Sequence[Said]) -> Votes:
    """Apply the first filter pipeline by lm-eval's own filters, then lm-eval's `exact_match`.

    The result must equal exactly one choice under the task's options of that metric. Without a
    `filter_list` the text itself must.
    """
    from lm_eval.api.metrics import exact_match_fn
    from lm_eval.filters import get_filter

    texts: list[Any] = [[reply.text] for reply in said]
    rows = [dict(one.document.row) for one in asked]
    for step in task.filter_list[0].filter if task.filter_list else ():
        instance = get_filter(step.function)(**(step.model_extra or {}))
        texts = list(instance.apply(texts, rows))
    metrics = {metric.metric: metric.model_extra or {} for metric in task.metric_list or ()}
    options: Mapping[str, Any] = metrics.get("exact_match", {})
    votes: Votes = []
    for one, text in zip(asked, texts, strict=True):
        found = text if isinstance(text, str) else text[0]
        choices = one.document.choices
        matches = [
            exact_match_fn(predictions=[found], references=[choice], **options)["exact_match"]
            for choice in choices
        ]
        votes.append(_vote(choices, np.flatnonzero(matches).tolist()))
    return votes


def by_lm_eval(task: TaskSpec, asked: Sequence[Asked], said: Sequence[Said]) -> Votes:
    """Credit free text by lm-eval's own code; see `lm_eval_credit`."""
    return lm_eval_credit(task, [one.document for one in asked], [reply.text for reply in said])


def _vote(choices: Sequence[str], hits: Sequence[int]) -> NDArray[np.float64] | None:
    """Return a vote for the one choice that was hit; None for none or several."""
    return np.eye(len(choices))[hits[0]] if len(hits) == 1 else None
