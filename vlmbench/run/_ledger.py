"""A cell's answers in its journal: kept batch by batch, and found there by the next run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any

from numpy.typing import NDArray

from vlmbench.models import BatchSize, HeadAttention, Inside
from vlmbench.readouts import Answer
from vlmbench.store import Frame, Journal
from vlmbench.types import Problem, VlmbenchError

_Arrays = dict[str, NDArray[Any]]
_INSIDE = tuple(field.name for field in fields(Inside) if field.name != "attention")
_ATTENTION = tuple(field.name for field in fields(HeadAttention))
_WORDS = ("prompt", "response", "finish", "error")


class JournalLedger:
    """Keeps answers in a journal, and how large batches were (`vlmbench.readouts.Ledger`).

    Args:
        journal: Where answers go, and which may have some already.
        sizes: Sizes of batches by kind of readout. They are kept with every batch; what an earlier
            run found to fit into memory is put in here.
        loaded: Returns the digests of the weights that are loaded, by part. They are kept with
            every batch: a checkpoint may change where its name does not.
        retry: Whether documents that failed in a finished cell are to be answered again.
        refuse: Is given why each answered document failed, empty where it did not, whenever more
            have; raises where these are too many.

    Attributes:
        share: Which batches are run here; all of them.
    """

    share = (0, 1)

    def __init__(
        self,
        journal: Journal,
        sizes: dict[str, BatchSize] | None = None,
        loaded: Callable[[], Mapping[str, str]] = dict,
        *,
        retry: bool = False,
        refuse: Callable[[Sequence[str]], None] = lambda _: None,
    ) -> None:
        self.journal = journal
        self._sizes = {} if sizes is None else sizes
        self._loaded, self._refuse = loaded, refuse
        self._held: dict[str, Answer] = {}
        self._weights: dict[str, str] = {}
        for frame in journal.frames:
            self._held |= _unpacked(frame)
            self._weights |= frame.said.get("weights", {})
            for kind, (items, tokens) in frame.said.get("sizes", {}).items():
                size = self._sizes.setdefault(kind, BatchSize(items, tokens))
                size.items = min(size.items, items)
                if size.tokens is not None and tokens is not None:
                    size.tokens = min(size.tokens, tokens)
            for doc_id in frame.said.get("failed", ()) if retry else ():
                self._held.pop(doc_id, None)

    def held(self) -> Mapping[str, Answer]:
        """Return the answers that are there already, by `doc_id`; raises as `check` does."""
        self.check(self._loaded())
        return self._held

    def keep(self, answers: Mapping[str, Answer]) -> None:
        """Keep the answers of a batch for good, by `doc_id`; raises as `take` does."""
        self.take(answers, self._loaded())

    def take(self, answers: Mapping[str, Answer], weights: Mapping[str, str]) -> None:
        """Keep answers that weights with these digests gave.

        Raises:
            VlmbenchError: As `check` does, or as `refuse` does.
        """
        self.check(weights)
        sizes = {k: [s.items, s.tokens] for k, s in self._sizes.items() if not s.fixed}
        said, arrays = _packed(answers)
        self.journal.append(said | {"sizes": sizes, "weights": self._weights}, arrays)
        self._held |= answers
        if any(answer.error for answer in answers.values()):
            try:
                self._refuse([answer.error for answer in self._held.values()])
            except VlmbenchError:
                self.failed([doc_id for doc_id, one in self._held.items() if one.error])
                raise

    def check(self, weights: Mapping[str, str]) -> None:
        """Check that these are the digests of the weights that gave what is there already.

        Raises:
            VlmbenchError: If they are others: a record has answers of one model only.
        """
        if any(self._weights.get(part, digest) != digest for part, digest in weights.items()):
            message = "the answers in it are of other weights than those that are loaded now"
            remedy = "Delete it and start the same command again: only this cell begins anew."
            raise VlmbenchError(
                Problem(file=str(self.journal.path), message=message, remedy=remedy)
            )
        self._weights |= weights

    def failed(self, doc_ids: Collection[str]) -> None:
        """Note which documents failed, for a later retry."""
        if self._held:
            self.journal.append({"failed": sorted(doc_ids)}, {})


def _packed(answers: Mapping[str, Answer]) -> tuple[dict[str, Any], _Arrays]:
    """Return answers as JSON and arrays, whose names begin with the number of their answer."""
    said = []
    arrays: _Arrays = {}
    for index, (doc_id, answer) in enumerate(answers.items()):
        said.append({"id": doc_id} | {word: getattr(answer, word) for word in _WORDS})
        arrays |= {f"{index}/{name}": array for name, array in _arrays_of(answer).items()}
    return {"answers": said}, arrays


def _arrays_of(answer: Answer) -> _Arrays:
    found: _Arrays = {} if answer.scores is None else {"scores": answer.scores}
    found |= {f"stages/{name}": scores for name, scores in answer.stages.items()}
    if answer.inside is not None:
        found |= {f"inside/{name}": getattr(answer.inside, name) for name in _INSIDE}
        if answer.inside.attention is not None:
            held = answer.inside.attention
            found |= {f"attention/{name}": getattr(held, name) for name in _ATTENTION}
    return found


def _unpacked(frame: Frame) -> dict[str, Answer]:
    """Return the answers that `_packed` was given."""
    groups: dict[str, dict[str, _Arrays]] = {}
    for path, array in frame.arrays.items():
        index, kind, name = f"{path}/".split("/", 2)
        groups.setdefault(index, {}).setdefault(kind, {})[name.removesuffix("/")] = array
    return {
        one["id"]: _answer(one, groups.get(str(index), {}))
        for index, one in enumerate(frame.said.get("answers", ()))
    }


def _answer(said: Mapping[str, Any], arrays: Mapping[str, _Arrays]) -> Answer:
    inside = None
    if "inside" in arrays:
        attention = HeadAttention(**arrays["attention"]) if "attention" in arrays else None
        inside = Inside(**arrays["inside"], attention=attention)
    return Answer(
        scores=arrays["scores"][""] if "scores" in arrays else None,
        inside=inside,
        stages=arrays.get("stages", {}),
        **{word: said[word] for word in _WORDS},
    )
