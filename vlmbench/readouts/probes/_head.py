"""What every probe comes down to: something that scores a document by its features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from vlmbench.readouts.probes._features import ImageFeatures
from vlmbench.readouts.probes._tap import FeatureTap
from vlmbench.spec import Encoder, ProbeSpec, RegionNeeds, Role
from vlmbench.tasks import Documents
from vlmbench.types import Document, Problem, Scale, VlmbenchError

# Documents whose features are held at once; bounds memory on large data sets.
CHUNK = 64

Example = tuple[Document, Sequence[ImageFeatures]]
"""A document with one features object for each of its `encoder_images`, in order."""


@runtime_checkable
class Head(Protocol):
    """Reads an answer off features; fitted, if its probe needs that.

    Attributes:
        scale: What a score is.
    """

    @property
    def scale(self) -> Scale:
        """What a score is."""
        ...

    def score(
        self, document: Document, features: Sequence[ImageFeatures]
    ) -> Float[np.ndarray, " choices"]:
        """Return one float64 score per choice, larger for a likelier one.

        Args:
            document: What is asked.
            features: One for each of `document.encoder_images`, in order.

        Raises:
            VlmbenchError: If the document's regions are missing or of a wrong kind.
        """
        ...

    def record(self) -> dict[str, Any]:
        """Return how it was fitted, as JSON values; empty if it was not."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
    """What a head may be fitted with; never the reported split.

    Attributes:
        tap: Features of images, at the layers that the probe reads.
        splits: The splits that the probe asked for.
        seed: Seed of everything that is drawn.
        cache: Folder of fitted heads.
        how: The readout's options, as far as they are the head's.
    """

    tap: FeatureTap
    splits: Mapping[Role, Documents]
    seed: int
    cache: Path
    how: Encoder = field(default_factory=Encoder)

    def split(self, role: Role) -> Documents:
        """Return a split; raise VlmbenchError if the task does not have it."""
        if role not in self.splits:
            raise VlmbenchError(
                Problem(
                    field="metadata.vlmbench.probe",
                    message=f"the probe must be fitted, but the task has no {role} split",
                    remedy="Name a training_split (and a validation_split to choose on).",
                )
            )
        return self.splits[role]


def make_head(probe: ProbeSpec, fitting: Fitting) -> Head:
    """Return the head of a probe, fitted if it needs to be."""
    module, _, name = probe.implementation.partition(":")
    head: Head = getattr(import_module(module), name)(probe, fitting)
    return head


def examples(documents: Sequence[Document] | Documents, tap: FeatureTap) -> Iterator[Example]:
    """Yield each document with the features of its images, run in chunks."""
    for start in range(0, len(documents), CHUNK):
        chunk = [documents[i] for i in range(start, min(start + CHUNK, len(documents)))]
        features = iter(tap.features([i for document in chunk for i in document.encoder_images]))
        for document in chunk:
            yield document, [next(features) for _ in document.encoder_images]


def check_regions(
    needs: RegionNeeds, document: Document, features: Sequence[ImageFeatures]
) -> None:
    """Raise VlmbenchError with every problem, also where the number of images is wrong."""
    problems = needs.problems(document)
    if len(features) != len(document.encoder_images):
        message = f"{len(features)} features for {len(document.encoder_images)} images"
        problems.append(Problem(message=f"document {document.doc_id}: {message}"))
    if problems:
        raise VlmbenchError(problems)
