"""What a world is: how one document is drawn, and what its columns hold."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vlmbench.types import Problem, VlmbenchError

SIZE = 96
"""Side of every image in pixels."""

LETTERS = "ABCD"

PAIRED: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {"image_1": ("reference", ("REF",)), "image_2": ("points", tuple(LETTERS))}
)
"""Markers of a world that asks which point of its second image belongs to one of its first."""

Column = Literal["string", "strings", "int", "point", "points", "image", "depth"]
"""What a column holds; `depth` is a 16-bit image in millimetres, 0 where nothing is."""

Row = dict[str, Any]
"""One document: images as arrays, points as lists of floats."""

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """What a world is told about the document it draws.

    Attributes:
        rng: Source of every choice.
        gold: Index of the right choice, balanced over a split.
        variant: A number below `World.variants`, balanced within each gold: it decides what has
            to be balanced exactly, such as whether the lower point is the nearer.
        difficulty: From 0 (easy) to 1 (hard).
    """

    rng: np.random.Generator
    gold: int
    variant: int
    difficulty: float


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A family of procedural documents.

    Attributes:
        name: How task files call it.
        version: Raised by hand when what it draws changes, so that documents kept from before
            are not taken for its own.
        summary: One sentence on what is asked.
        n_choices: Choices of every document.
        images: Images of every document.
        variants: How many variants are balanced against each other.
        columns: Its columns beyond the common ones.
        row: Draws everything but the common columns.
        markers: Columns of images with markers: the column of their places, and their labels.
        counterfactual: Draws the same document with the one fact changed that decides the answer,
            and its gold with it; None where more would change. None for a world that cannot.
        difficulty: Default of its option of that name.
        first_name: The name it first had, if it was renamed; its seeds and document ids go on using
            that one, so that its documents stay the same.
    """

    name: str
    version: int
    summary: str
    n_choices: int
    images: int
    variants: int
    columns: Mapping[str, Column]
    row: Callable[[Draw], Row] = field(repr=False)
    markers: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    counterfactual: Callable[[Draw], Row | None] | None = field(default=None, repr=False)
    difficulty: float = 0.5
    first_name: str = ""

    def options(self, given: Mapping[str, Any]) -> Mapping[str, float]:
        """Return all options with defaults filled in; raises VlmbenchError if one is unknown."""
        problems = []
        for name in given:
            if name != "difficulty":
                near = difflib.get_close_matches(str(name), ["difficulty"])
                problems.append(
                    Problem(
                        field=f"metadata.vlmbench.generator.options.{name}",
                        message=f"the world {self.name!r} has no option {name!r}",
                        remedy=f"Did you mean {near[0]!r}?" if near else "It has: difficulty.",
                    )
                )
        value = given.get("difficulty", self.difficulty)
        sound = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1
        if not sound:
            problems.append(
                Problem(
                    field="metadata.vlmbench.generator.options.difficulty",
                    message=f"difficulty is {value!r}",
                    remedy="Give a number from 0 (easy) to 1 (hard).",
                )
            )
        if problems:
            raise VlmbenchError(problems)
        return {"difficulty": float(value)}

    def draw(self, rng: np.random.Generator, *, gold: int, variant: int, **options: Any) -> Row:
        """Draw one document, without id and blank image.

        Args:
            rng: Source of every choice.
            gold: Index of the right choice.
            variant: Number below `variants`.
            options: The world's options; raises VlmbenchError if one is unknown.
        """
        settled = self.options(options)
        row = self.row(Draw(rng=rng, gold=gold, variant=variant, difficulty=settled["difficulty"]))
        return {**row, "gold": gold}

    def redraw(
        self, rng: np.random.Generator, *, gold: int, variant: int, **options: Any
    ) -> Row | None:
        """Draw the counterfactual of the document that `draw` draws of the same; or None."""
        if self.counterfactual is None:
            return None
        settled = self.options(options)
        return self.counterfactual(
            Draw(rng=rng, gold=gold, variant=variant, difficulty=settled["difficulty"])
        )

    @property
    def stream(self) -> str:
        """What its seeds and document ids are made of."""
        return self.first_name or self.name

    @property
    def all_columns(self) -> Mapping[str, Column]:
        """Columns of every row, the common ones first."""
        return {
            "doc_id": "string",
            "question": "string",
            "choices": "strings",
            "gold": "int",
            **self.columns,
            "blank": "image",
        }


class StuckError(RuntimeError):
    """A world found no document that satisfies its conditions: a fault of the world."""


ATTEMPTS = 400
"""Scenes tried before a world gives up."""
