"""What weights are trained on: the first documents of a split, asked as the task asks them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from vlmbench.models import HfBackend, gold_losses
from vlmbench.readouts._prompts import build_prompt, continuations
from vlmbench.spec import Condition, Hints, TaskSpec, Tuning, doc_description
from vlmbench.tasks import Documents, ask
from vlmbench.types import Asked, Document, DocumentError, Problem, VlmbenchError


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Documents of one split, made when they are needed.

    They are asked with their own images and the task's plain prompt, whatever the condition
    changes when the trained weights are read: the weights are the same under all of them.

    Attributes:
        task: Their task.
        documents: The documents.
        most: Only the first so many are used.
        hints: Words of the task's prompts.
    """

    task: TaskSpec
    documents: Documents | Sequence[Document]
    most: int
    hints: Hints = field(default_factory=Hints)

    def __len__(self) -> int:
        return min(self.most, len(self.documents))

    def asked(self, indices: Iterable[int]) -> list[Asked]:
        """Return some of the documents with their questions."""
        documents = [self.documents[int(index)] for index in indices]
        return ask(documents, self.task, Condition(), self.hints)

    def losses(self, backend: HfBackend, indices: Iterable[int]) -> Tensor:
        """Return minus the log-likelihood of some documents' right choices: (n,), in nats.

        Raises:
            VlmbenchError: If one of the documents cannot be asked of the model.
        """
        asked = self.asked(indices)
        try:
            return gold_losses(
                backend,
                [build_prompt(one, self.task, backend.spec) for one in asked],
                continuations(asked, self.task, backend),
                [one.document.gold for one in asked],
            )
        except DocumentError as error:
            ids = ", ".join(one.document.doc_id for one in asked)
            message = f"one of the documents {ids} cannot be trained on: {error}"
            remedy = "Take it out of the task's training and validation splits."
            raise VlmbenchError(Problem(message=message, remedy=remedy)) from error

    def digest(self) -> str:
        """Return the hex SHA-256 of all that is learned from: questions, pixels and right choices.

        Raises:
            VlmbenchError: If there is no document.
        """
        if not len(self):
            message = f"task {self.task.task!r} has no documents in a split that is trained on"
            raise VlmbenchError(message)
        digest = hashlib.sha256(self.task.target_delimiter.encode())
        for index in range(len(self)):
            (one,) = self.asked([index])
            about = (
                one.document.doc_id,
                doc_description(self.task, one.document.row),
                one.text,
                one.document.choices,
                one.document.gold,
                [image.shown_digest for image in one.document.images],
            )
            digest.update(json.dumps(about).encode())
        return digest.hexdigest()


def order_of(count: int, tuning: Tuning, *, seed: int) -> list[list[int]]:
    """Return the documents of each step: every one is seen before any is seen again.

    Args:
        count: Documents there are.
        tuning: How many steps of how many.
        seed: Seed of the order of each pass.
    """
    rng = np.random.default_rng(seed)
    needed = tuning.steps * tuning.batch
    passes = [rng.permutation(count) for _ in range(-(-needed // count))]
    rows: list[list[int]] = (
        np.concatenate(passes)[:needed].reshape(tuning.steps, tuning.batch).tolist()
    )
    return rows
