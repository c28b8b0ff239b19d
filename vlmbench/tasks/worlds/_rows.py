"""Rows: document `index` of a split, drawn, encoded and digested.

A document's seed is keyed by data-set seed, world, split and index, so splits never share one and
a split of another length starts with the same scenes. Which answer is right is dealt per split.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal
from zlib import crc32

import numpy as np

from vlmbench.tasks.worlds._world import SIZE, Column, Row, World

if TYPE_CHECKING:
    import datasets

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def drawn_row(
    world: World,
    *,
    seed: int,
    split: Split,
    index: int,
    count: int,
    options: Mapping[str, Any] | None = None,
) -> Row:
    """Draw document `index` of a split of `count` documents, images as arrays."""
    rng, gold, variant = _chosen(world, seed, split, index, count)
    row = world.draw(rng, gold=gold, variant=variant, **(options or {}))
    return {"doc_id": _doc_id(world, split, index), **row}


def counterfactual_row(
    world: World,
    *,
    seed: int,
    split: Split,
    index: int,
    count: int,
    options: Mapping[str, Any] | None = None,
) -> Row | None:
    """Draw the counterfactual of what `drawn_row` draws; None where there is none."""
    rng, gold, variant = _chosen(world, seed, split, index, count)
    row = world.redraw(rng, gold=gold, variant=variant, **(options or {}))
    return None if row is None else {"doc_id": _doc_id(world, split, index), **row}


def _doc_id(world: World, split: Split, index: int) -> str:
    return f"{world.stream}-{split}-{index:05d}"


def _chosen(
    world: World, seed: int, split: Split, index: int, count: int
) -> tuple[np.random.Generator, int, int]:
    """Return a document's generator of everything else, its gold and its variant."""
    key = (crc32(world.stream.encode()), SPLITS.index(split))
    gold, variant = _dealt(seed, key, count, world.n_choices, world.variants)[index]
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(*key, index)))
    return rng, gold, variant


@lru_cache(maxsize=8)
def _dealt(
    seed: int, key: tuple[int, int], count: int, golds: int, variants: int
) -> tuple[tuple[int, int], ...]:
    """Deal (gold, variant) to every document: each pair equally often, in random order."""
    pairs = [(i % golds, i // golds % variants) for i in range(count)]
    # One level deeper than any document's key, so that no document shares this stream.
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(*key, 0, 1)))
    return tuple(pairs[i] for i in rng.permutation(count))


def _png(pixels: np.ndarray[Any, Any]) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()


@lru_cache(maxsize=1)
def _blank() -> bytes:
    return _png(np.full((SIZE, SIZE, 3), 127, np.uint8))


def encoded(world: World, row: Row) -> Row:
    """Return a row as it is stored: images as PNG bytes, columns in their order."""
    stored: Row = {}
    for name, column in world.all_columns.items():
        if name == "blank":
            stored[name] = {"bytes": _blank(), "path": None}
        elif column in {"image", "depth"}:
            stored[name] = {"bytes": _png(row[name]), "path": None}
        elif column in {"point", "points"}:
            # Drawn in continuous coordinates; stored points name pixels, as data sets do.
            stored[name] = (np.asarray(row[name], dtype=float) - 0.5).tolist()
        else:
            stored[name] = row[name]
    return stored


def features(world: World) -> datasets.Features:
    """Return the types of a world's columns."""
    from datasets import Features, Image, List, Value

    types: dict[Column, Any] = {
        "string": Value("string"),
        "strings": List(Value("string")),
        "int": Value("int64"),
        "point": List(Value("float64")),
        "points": List(List(Value("float64"))),
        "image": Image(mode="RGB"),
        "depth": Image(),
    }
    return Features({name: types[column] for name, column in world.all_columns.items()})


def content_digest(rows: list[Row]) -> str:
    """Return the SHA-256 over all values of all rows, images by their file bytes."""
    digest = hashlib.sha256()
    for row in rows:
        for name, value in row.items():
            data = value["bytes"] if isinstance(value, dict) else json.dumps(value).encode()
            digest.update(name.encode() + b"\0" + len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()
