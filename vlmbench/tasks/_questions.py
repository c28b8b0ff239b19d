"""What a condition does to the prompt: hints, filler, other wordings, prompts without images.

A hint, and filler that comes after the question, gets a line of its own just before the prompt's
last line, which asks for the answer and so still ends the prompt. If the last line contains an
image, it comes after that image. Filler that comes before is put at the very start.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import assert_never

from vlmbench.spec import (
    Condition,
    Filler,
    Hint,
    Hints,
    Letters,
    Order,
    Paraphrase,
    PlainText,
    TaskSpec,
    Texts,
    doc_text,
    render,
    worded,
)
from vlmbench.tasks._conditions import draw
from vlmbench.tasks._wordings import in_order, renamed
from vlmbench.types import Asked, Document

PLACEHOLDER = "<image>"
WORDS_A_TOKEN = 0.75
# An image's introduction is the clause before it that names it: `First image: <image>`.
_INTRODUCED = re.compile(
    r"(?:[^\n.?!:>]*\b(?:image|picture|photo|figure|view|panel)s?\b[^\n.?!:>]*:[ \t]*)?"
    r"<image>[ \t]*",
    re.IGNORECASE,
)


def ask(
    documents: Sequence[Document],
    task: TaskSpec,
    condition: Condition,
    hints: Hints | None = None,
) -> list[Asked]:
    """Return every document with its prompt, as a condition asks it.

    Args:
        documents: The documents; their images are not looked at.
        task: Their task.
        condition: What to change about the prompt.
        hints: The words to use; if absent, the task's own or the defaults.

    Raises:
        VlmbenchError: If a template fails on a document.
    """
    words = Hints.merged(task.bench.hints) if hints is None else hints
    return [_asked(document, task, condition, words) for document in documents]


def _asked(document: Document, task: TaskSpec, condition: Condition, words: Hints) -> Asked:
    change = condition.text
    task = worded(task, change)
    text = doc_text(task, document.row)
    if not condition.image.keeps_images:
        text = without_images(text)
    match change:
        case PlainText() | Paraphrase():
            return Asked(document=document, text=text)
        case Order():
            return in_order(document, text, change.rotation)
        case Letters() | Texts():
            return Asked(document=renamed(document, task), text=text)
        case Filler():
            extra = filler(words, change.tokens)
            longer = f"{extra}\n{text}"
            if change.place == "after":
                longer = _before_last_line(text, extra)
            return Asked(document=document, text=longer)
        case Hint():
            target = hint_target(document, change, condition.seed)
            if target < 0:
                return Asked(document=document, text=text)
            template = getattr(words, change.strength)
            hint = render(template, shown_choice(text, document.choices, target))
            hinted = _before_last_line(text, hint)
            return Asked(document=document, text=hinted, hint_target=target)
        case never:
            assert_never(never)


def hint_target(document: Document, hint: Hint, seed: int) -> int:
    """Return the index of the choice that a hint asserts; the same one at every strength.

    A wrong one is drawn from all wrong choices alike, and -1 where there is none.
    """
    wrong = len(document.choices) - 1
    if hint.target == "right":
        return document.gold
    if wrong < 1:
        return -1
    step = int(draw(seed, document.doc_id, "hint").integers(wrong))
    return (document.gold + 1 + step) % len(document.choices)


def filler(words: Hints, tokens: int) -> str:
    """Return neutral text of about `tokens` tokens, at four tokens to three words."""
    sentences = render(words.filler, {}).split()
    wanted = max(1, round(tokens * WORDS_A_TOKEN))
    chosen = (sentences * math.ceil(wanted / len(sentences)))[:wanted]
    return " ".join(chosen).rstrip(",;:.") + "."


def without_images(text: str) -> str:
    """Return a prompt without image placeholders, what introduces them, and empty lines."""
    lines = []
    for line in text.splitlines(keepends=True):
        bare = _INTRODUCED.sub("", line)
        if bare == line or bare.strip():
            lines.append(bare)
    return "".join(lines)


def shown_choice(text: str, choices: Sequence[str], target: int) -> dict[str, str]:
    """Return a choice as the prompt lists it: its `letter`, the `text` next to it, and both.

    `text` is empty where the prompt does not list the choices; see `listed_choices`.
    """
    letter, listed = choices[target], listed_choices(text, choices)
    mark, beside = listed[target] if listed else (letter, "")
    return {"letter": letter, "text": beside, "choice": f"{mark} {beside}".strip()}


def listed_choices(text: str, choices: Sequence[str]) -> list[tuple[str, str]]:
    """Return, per choice, the mark with which a prompt lists it, and the text beside that.

    Read are lists such as `(A) two cups` or `A. two cups`, one choice a line or all on one. A hint
    may repeat a choice as it is listed. Empty if a choice is not listed, or in two ways.
    """
    names = [choice.strip("().: ") for choice in choices]
    marks = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    found = list(re.finditer(rf"(?<!\w)\(?({marks})[).:][ \t]+", text))
    ends = [match.start() for match in found[1:]] + [len(text)]
    listed: dict[str, tuple[str, str]] = {}
    for match, end in zip(found, ends, strict=False):
        beside = text[match.end() : end].partition("\n")[0].strip()
        first = listed.setdefault(match[1], (match[0].strip(), beside))[1]
        if not re.match(rf"{re.escape(first)}(?:$|[.,;:!?])", beside):
            return []
    return [listed[name] for name in names] if all(names) and set(listed) == set(names) else []


def _before_last_line(text: str, extra: str) -> str:
    """Return the prompt with a line put before its last one, or after that one's last image."""
    body = text.rstrip()
    start = body.rfind("\n") + 1
    image = body.rfind(PLACEHOLDER, start)
    if image >= 0:
        start = image + len(PLACEHOLDER)
        return f"{text[:start]}\n{extra}\n{text[start:].lstrip(' ')}"
    return f"{text[:start]}{extra}\n{text[start:]}"
