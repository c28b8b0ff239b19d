"""One question about one or several images, before any prompt is rendered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vlmbench.types._image import EncodedImage


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A place in one of a document's images that the question is about.

    Attributes:
        image: Index into `Document.encoder_images` (and `Document.images`), from 0.
        kind: `point` (x, y), `box` (x0, y0, x1, y1; exclusive end), or `image` (all of it).
        xy: Pixels of that image as `decode` shows it, upright, x to the right and y down from the
            top-left; empty for `image`.
            A point names a pixel, whose centre lies half a pixel further on both axes; a box
            gives edges.
    """

    image: int
    kind: Literal["point", "box", "image"]
    xy: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        expected = {"point": 2, "box": 4, "image": 0}[self.kind]
        if len(self.xy) != expected:
            raise ValueError(f"a {self.kind} has {expected} coordinates, got {len(self.xy)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A question with its images, its choices and the right choice.

    Attributes:
        doc_id: Unique within its task and split.
        images: What the prompted model sees, in prompt order.
        encoder_images: The same images without drawn markers if they exist, otherwise `images`.
        marked: True if `encoder_images` still carry drawn markers.
        choices: Answer strings in canonical order (often letters).
        gold: Index of the right choice.
        reference: Region the question starts from (the REF point, the reference image), if any.
        candidates: One region per choice, in choice order; empty if the task has none.
        row: The data row the document was made from, without images: what prompts render from.
        cluster: Name of what it shares with other documents (an image, a scene, a condition);
            None if it shares nothing.
        others: Images, as many as `images`, whose states a condition puts in the place of theirs;
            empty if it does not.
        image_target: Index of the choice that is right for what a condition shows in place of the
            document's own images; -1 where that is not known. `gold` stays the document's own.
    """

    doc_id: str
    images: tuple[EncodedImage, ...]
    encoder_images: tuple[EncodedImage, ...]
    marked: bool
    choices: tuple[str, ...]
    gold: int
    reference: Region | None = None
    candidates: tuple[Region, ...] = ()
    row: Mapping[str, Any] = field(default_factory=dict, repr=False)
    cluster: str | None = None
    others: tuple[EncodedImage, ...] = ()
    image_target: int = -1

    def __post_init__(self) -> None:
        if not 0 <= self.gold < len(self.choices):
            raise ValueError(
                f"{self.doc_id}: gold is {self.gold}, but there are {len(self.choices)} choices"
            )
        if self.candidates and len(self.candidates) != len(self.choices):
            raise ValueError(
                f"{self.doc_id}: {len(self.candidates)} regions for {len(self.choices)} choices"
            )


def clusters_of(documents: Sequence[Document]) -> NDArray[np.int64]:
    """Return for each document the position of the first one of its cluster: (n,) int64."""
    first: dict[tuple[bool, str], int] = {}
    names = [
        (True, document.doc_id) if document.cluster is None else (False, document.cluster)
        for document in documents
    ]
    return np.array([first.setdefault(name, index) for index, name in enumerate(names)], np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A document and the question that is asked about it, from the moment it is asked on.

    Attributes:
        document: The document, as a condition shows it: gold and candidates by the places at which
            the prompt lists the choices.
        text: The rendered prompt, with `<image>` in the place of each image.
        hint_target: Index of the choice that a hint in the prompt asserts; -1 without one.
        order: Canonical index of the choice that the prompt lists at each place; empty where that
            is the canonical order.
    """

    document: Document
    text: str
    hint_target: int = -1
    order: tuple[int, ...] = ()

    @property
    def scored(self) -> tuple[str, ...]:
        """What is scored for each choice, in canonical order."""
        shown = self.document.choices
        if not self.order:
            return shown
        return tuple(shown[self.order.index(choice)] for choice in range(len(shown)))
