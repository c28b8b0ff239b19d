"""The same question in another form: choices in another order, or by other names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from vlmbench.spec import Condition, InText, Keys, Order, TaskSpec, doc_choices, doc_text
from vlmbench.tasks._shown_places import unwritten
from vlmbench.types import Asked, Document, Problem, VlmbenchError

IMAGE = "<image>"


def in_order(document: Document, text: str, rotation: int) -> Asked:
    """Return the question with its choices moved up by `rotation` places; marks stay in place.

    At place j stands choice (j + rotation) mod K. The document's gold and candidates go along, and
    what is scored at a place is that place's own mark. `order` says how to undo it.

    Raises:
        VlmbenchError: If the prompt does not list the choices line by line.
    """
    count = len(document.choices)
    order = tuple((place + rotation) % count for place in range(count))
    turned = _relisted(text, document.choices, order)
    if turned is None:
        message = f"document {document.doc_id!r}: the prompt does not list its choices line by line"
        raise VlmbenchError(Problem(field="doc_to_text", message=message))
    candidates = tuple(document.candidates[choice] for choice in order if document.candidates)
    shown = replace(document, gold=order.index(document.gold), candidates=candidates)
    return Asked(document=shown, text=turned, order=order)


def order_obstacle(
    documents: Sequence[Document], task: TaskSpec, condition: Condition
) -> str | None:
    """Return why the choices of these documents cannot be put into a condition's order, if so."""
    change = condition.text
    if not isinstance(change, Order):
        return None
    most = max(len(document.choices) for document in documents)
    if change.rotation >= most:
        return f"no document has more than {most} choices, so `{change.label}` repeats an order"
    for document in documents:
        text = doc_text(task, document.row)
        if _relisted(text, document.choices, range(len(document.choices))) is None:
            return (
                f"the prompt of document {document.doc_id!r} does not list its choices line by "
                "line, as in `(A) ...`, so their order cannot be changed"
            )
    return None


def _relisted(text: str, choices: Sequence[str], order: Sequence[int]) -> str | None:
    """Return a prompt with the text of choice `order[j]` beside the mark at place j.

    Read is one list in which each choice has a line of its own, after the mark that is scored:
    `(A) two cups`, `A. two cups`, `A: two cups`. None where there is no such list, or several.
    """
    names = [choice.strip("().: ") for choice in choices]
    lines = text.split("\n")
    patterns = [re.compile(rf"(\s*\(?{re.escape(name)}[).:][ \t]+)(\S.*)") for name in names]
    starts = [
        start
        for start in range(len(lines) - len(names) + 1)
        if all(p.fullmatch(line) for p, line in zip(patterns, lines[start:], strict=False))
    ]
    if len(starts) != 1 or not all(names):
        return None
    (start,) = starts
    found = [p.fullmatch(line) for p, line in zip(patterns, lines[start:], strict=False)]
    parts = [(match[1], match[2]) for match in found if match]
    lines[start : start + len(names)] = [
        parts[place][0] + parts[choice][1] for place, choice in enumerate(order)
    ]
    return "\n".join(lines)


def wording_faults(
    document: Document, wordings: Iterable[tuple[Keys, TaskSpec]]
) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a document's question in other wordings: field and message.

    Args:
        document: The document.
        wordings: Of its task; see `vlmbench.spec.wordings`.
    """
    for keys, other in wordings:
        field = ".".join(map(str, keys))
        try:
            renamed(document, other)
            text = doc_text(other, document.row)
        except VlmbenchError as error:
            yield from ((field, f"{p.field}: {p.message}") for p in error.problems)
            continue
        marks, images = text.count(IMAGE), len(document.images)
        if marks != images:
            yield field, f"the prompt has {marks} {IMAGE} for {images} images"
        if isinstance(other.bench.markers, InText) and (lacking := unwritten(document, text)):
            yield field, f"the prompt does not give {'; '.join(lacking)}"


def renamed(document: Document, task: TaskSpec) -> Document:
    """Return a document whose choices are called as a wording of its task calls them.

    Raises:
        VlmbenchError: If that gives another number of choices.
    """
    choices = doc_choices(task, document.row)
    if len(choices) != len(document.choices):
        message = f"{list(choices)} for the {len(document.choices)} choices of the document"
        raise VlmbenchError(Problem(field="doc_to_choice", message=message))
    return replace(document, choices=choices)
