"""Builds a world's splits once, into Arrow, and finds them again by fingerprint.

A document's seed is keyed by data-set seed, world, split and index, so splits never share one and
a split of another length starts with the same scenes. Which answer is right is dealt per split.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from importlib import metadata
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from zlib import crc32

import numpy as np

from vlmbench.spec import Generator
from vlmbench.tasks.worlds._registry import WORLDS
from vlmbench.tasks.worlds._world import SIZE, Column, Row, World
from vlmbench.types import Problem, VlmbenchError

if TYPE_CHECKING:
    import datasets

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

Progress = Callable[[int], None]
"""Called with the number of documents drawn since the last call."""

_CHUNK = 25
# Whatever can change a pixel or its encoding.
_LIBRARIES = ("embreex", "numpy", "pillow", "scipy")


def world_of(generator: Generator) -> World:
    """Return the world a generator names, its options checked; raises VlmbenchError."""
    if generator.world not in WORLDS:
        raise VlmbenchError(
            Problem(
                field="metadata.vlmbench.generator.world",
                message=f"there is no world {generator.world!r}",
                remedy=f"Worlds: {', '.join(WORLDS)}.",
            )
        )
    world = WORLDS[generator.world]
    world.options(generator.options)
    return world


@lru_cache(maxsize=1)
def _source_digest() -> str:
    """Digest of this package's source: another generator is another data set."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def fingerprint(generator: Generator) -> str:
    """Return 16 hex digits that name the data: the spec, this source and the libraries."""
    world = world_of(generator)
    said = {
        **generator.model_dump(mode="json"),
        "options": dict(world.options(generator.options)),
        "source": _source_digest(),
        "libraries": {name: metadata.version(name) for name in _LIBRARIES},
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def folder(generator: Generator, root: Path) -> Path:
    """Return where the data of a generator stands, built or not."""
    return root / f"{generator.world}-{fingerprint(generator)}"


def is_built(generator: Generator, *, root: Path) -> bool:
    """Return whether every split of a generator is there."""
    place = folder(generator, root)
    return all(_record(place, s).is_file() for s in SPLITS if getattr(generator, s))


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
    key = (crc32(world.name.encode()), SPLITS.index(split))
    gold, variant = _dealt(seed, key, count, world.n_choices, world.variants)[index]
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(*key, index)))
    row = world.draw(rng, gold=gold, variant=variant, **(options or {}))
    return {"doc_id": f"{world.name}-{split}-{index:05d}", **row}


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


def _encoded(world: World, row: Row) -> Row:
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


def _chunk(generator: Generator, split: Split, start: int) -> list[Row]:
    """Draw and encode up to `_CHUNK` documents; the same bytes in whichever process."""
    world, count = WORLDS[generator.world], getattr(generator, split)
    return [
        _encoded(
            world,
            drawn_row(
                world,
                seed=generator.seed,
                split=split,
                index=index,
                count=count,
                options=generator.options,
            ),
        )
        for index in range(start, min(start + _CHUNK, count))
    ]


def _rows(generator: Generator, split: Split, processes: int) -> Iterator[list[Row]]:
    """Yield the chunks of a split, in order."""
    starts = range(0, getattr(generator, split), _CHUNK)
    if processes <= 1:
        for start in starts:
            yield _chunk(generator, split, start)
        return
    with ProcessPoolExecutor(processes, mp_context=_processes_start()) as pool:
        waiting = [pool.submit(_chunk, generator, split, start) for start in starts]
        for future in waiting:
            yield future.result()


@lru_cache(maxsize=1)
def _processes_start() -> BaseContext:
    """Return how processes start: from a server that has imported what draws, and no torch.

    Forking this process instead could hang where torch already runs threads.
    """
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__, "vlmbench.tasks.worlds._render"])
    return context


def build(
    generator: Generator,
    *,
    root: Path,
    splits: Sequence[Split] = SPLITS,
    processes: int = 1,
    progress: Progress | None = None,
) -> Path:
    """Build the splits that are not there yet; return the folder they stand in.

    A split appears whole or not at all; beside it stands a record with the digest of its values.

    Args:
        generator: What to draw.
        root: Folder of all built data.
        splits: Which splits; those without documents are passed over.
        processes: Processes to draw with; the bytes are the same for any number.
        progress: Told how many more documents are drawn.
    """
    world_of(generator)
    place = folder(generator, root)
    missing = [s for s in splits if getattr(generator, s) and not _record(place, s).is_file()]
    if missing:
        place.mkdir(parents=True, exist_ok=True)
    for split in missing:
        rows: list[Row] = []
        for some in _rows(generator, split, processes):
            rows += some
            if progress is not None:
                progress(len(some))
        _write(generator, split, rows, place)
    return place


def _record(place: Path, split: Split) -> Path:
    """Where the record of a split stands; it is written last."""
    return place / f"{split}.json"


def _write(generator: Generator, split: Split, rows: list[Row], place: Path) -> None:
    """Write a split and then its record, each under another name first."""
    from datasets import Dataset
    from pyarrow import parquet

    record = {
        "generator": generator.model_dump(mode="json"),
        "libraries": {name: metadata.version(name) for name in _LIBRARIES},
        "documents": len(rows),
        "sha256": content_digest(rows),
    }
    # Not `to_parquet`, which draws a progress bar of its own.
    table = Dataset.from_list(rows, features=features(WORLDS[generator.world])).data.table
    half = place / f".{split}.{os.getpid()}"
    parquet.write_table(table, half)
    half.replace(place / f"{split}.parquet")
    half.write_text(json.dumps(record, indent=2) + "\n")
    half.replace(_record(place, split))


def content_digest(rows: list[Row]) -> str:
    """Return the SHA-256 over all values of all rows, images by their file bytes."""
    digest = hashlib.sha256()
    for row in rows:
        for name, value in row.items():
            data = value["bytes"] if isinstance(value, dict) else json.dumps(value).encode()
            digest.update(name.encode() + b"\0" + len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def load(generator: Generator, split: Split, root: Path) -> datasets.Dataset:
    """Return one split of built data; raises VlmbenchError if it is not built or empty."""
    from datasets import Dataset
    from pyarrow import parquet

    place = folder(generator, root)
    path = place / f"{split}.parquet"
    if not _record(place, split).is_file():
        remedy = (
            "Build it first: `vlmbench data build`."
            if getattr(generator, split)
            else f"Its generator draws none: raise `metadata.vlmbench.generator.{split}`."
        )
        raise VlmbenchError(
            Problem(
                file=str(path),
                message=f"world {generator.world!r} has no {split} split here",
                remedy=remedy,
            )
        )
    # The Arrow schema in the file carries the features; nothing is converted or cached.
    return Dataset(parquet.read_table(path), fingerprint=f"{path.parent.name}-{split}")


def export(generator: Generator, dest: Path, *, root: Path) -> Path:
    """Copy built splits to `dest` as `train.parquet` and so on, for other harnesses."""
    place = folder(generator, root)
    if not is_built(generator, root=root):
        raise VlmbenchError(f"{place} is not built; run `vlmbench data build` first")
    dest.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        source = place / f"{split}.parquet"
        if source.is_file():
            half = dest / f".{split}.{os.getpid()}"
            shutil.copyfile(source, half)
            half.replace(dest / f"{split}.parquet")
    return dest
