"""Documents drawn once more with the one fact changed that decides the answer."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from vlmbench.spec import Generator
from vlmbench.tasks.worlds._build import world_of
from vlmbench.tasks.worlds._rows import SPLITS, Split, counterfactual_row, drawn_row, encoded
from vlmbench.tasks.worlds._world import Row
from vlmbench.types import VlmbenchError


def has_counterfactuals(generator: Generator) -> bool:
    """Tell whether a generator's world can draw its documents with another answer."""
    return world_of(generator).counterfactual is not None


def counterfactual(generator: Generator, doc_id: str) -> tuple[Row, Row | None]:
    """Return a document's row, and its row with the one fact changed that decides the answer.

    Args:
        generator: What drew the document.
        doc_id: The id that it was given.

    Returns:
        Both as rows are stored, the second with the gold that it has; None in its place where more
        than that fact would change.

    Raises:
        VlmbenchError: If there is no such document.
    """
    split, index = _place(generator, doc_id)
    return _drawn(generator.model_dump_json(), split, index)


def _place(generator: Generator, doc_id: str) -> tuple[Split, int]:
    """Return the split and the index in it that a document's id names."""
    start, _, index = doc_id.rpartition("-")
    for split in SPLITS:
        if start == f"{world_of(generator).stream}-{split}" and index.isdigit():
            return split, int(index)
    raise VlmbenchError(f"{doc_id!r} is no document of the world {generator.world!r}")


@lru_cache(maxsize=1024)
def _drawn(said: str, split: Split, index: int) -> tuple[Row, Row | None]:
    """Return a document's row as it is stored, and its counterfactual's."""
    generator = Generator.model_validate_json(said)
    world = world_of(generator)
    which: dict[str, Any] = {
        "seed": generator.seed,
        "split": split,
        "index": index,
        "count": getattr(generator, split),
        "options": generator.options,
    }
    changed = counterfactual_row(world, **which)
    plain = encoded(world, drawn_row(world, **which))
    return plain, None if changed is None else encoded(world, changed)
