"""Answers of a cell as they come: kept by whoever runs it, and not asked for again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from vlmbench.models import Kept
from vlmbench.readouts._reading import Answer
from vlmbench.types import Document


class Ledger(Protocol):
    """Keeps the answers of one cell.

    Attributes:
        share: (which, of how many): only every so-manieth batch is run here; (0, 1) for all.
    """

    share: tuple[int, int]

    def held(self) -> Mapping[str, Answer]:
        """Return the answers that are there already, by `doc_id`."""

    def keep(self, answers: Mapping[str, Answer]) -> None:
        """Keep the answers of a batch for good, by `doc_id`, before the next one is run."""


class ElsewhereError(Exception):
    """Every batch of this process's share has been run; the others are run by other processes."""


def kept_in(ledger: Ledger | None, documents: Sequence[Document]) -> Kept[Answer] | None:
    """Return a ledger as `in_batches` takes it, by the places of documents."""
    if ledger is None:
        return None
    ids = [document.doc_id for document in documents]
    held = ledger.held()

    def keep(places: Sequence[int], answers: Sequence[Answer]) -> None:
        ledger.keep({ids[at]: answer for at, answer in zip(places, answers, strict=True)})

    there = {place: held[doc_id] for place, doc_id in enumerate(ids) if doc_id in held}
    return Kept(answers=there, keep=keep, share=ledger.share)


def all_of(answers: Mapping[int, Answer], n: int) -> list[Answer]:
    """Return the answers of all documents in order.

    Raises:
        ElsewhereError: If other processes answer some of them.
    """
    if len(answers) < n:
        raise ElsewhereError
    return [answers[place] for place in range(n)]
