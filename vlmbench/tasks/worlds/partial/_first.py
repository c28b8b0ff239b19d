"""Draws the first documents of a split, byte for byte those of the whole one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from vlmbench.spec import Generator
from vlmbench.tasks.worlds._build import (
    Split,
    _encoded,
    _processes_start,
    _record,
    build,
    drawn_row,
    features,
    folder,
    load,
    world_of,
)
from vlmbench.tasks.worlds._world import Row

if TYPE_CHECKING:
    from datasets import Dataset

# Small, so that the processes end together even where few documents are wanted.
_CHUNK = 5


def first_documents(
    generator: Generator, split: Split, count: int, *, root: Path, processes: int = 1
) -> Dataset:
    """Return the first `count` documents of a split, drawing no others.

    They are taken from the whole split if that is built, else drawn and kept beside where it
    would stand. The whole split is built if it has no more documents than that.

    Args:
        generator: What to draw.
        split: Which split.
        count: How many documents, at least 1.
        root: Folder of all built data.
        processes: Processes to draw with; the bytes are the same for any number.

    Raises:
        VlmbenchError: If there is no such world, or the split is empty.
    """
    from datasets import Dataset
    from pyarrow import parquet

    world_of(generator)
    place = folder(generator, root)
    if count >= getattr(generator, split) or _record(place, split).is_file():
        build(generator, root=root, splits=[split], processes=processes)
        whole = load(generator, split, root)
        return whole.select(range(min(count, len(whole))))
    path = place / f"{split}-first-{count}.parquet"
    if not path.is_file():
        rows = list(_rows(generator, split, count, processes))
        _write(generator, rows, path)
    return Dataset(parquet.read_table(path), fingerprint=f"{place.name}-{path.stem}")


def _rows(generator: Generator, split: Split, count: int, processes: int) -> Iterator[Row]:
    """Yield the first `count` rows as they are stored, in order."""
    chunks = [range(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK)]
    if processes <= 1:
        for chunk in chunks:
            yield from _drawn(generator, split, chunk)
        return
    with ProcessPoolExecutor(processes, mp_context=_processes_start()) as pool:
        waiting = [pool.submit(_drawn, generator, split, chunk) for chunk in chunks]
        for future in waiting:
            yield from future.result()


def _drawn(generator: Generator, split: Split, indices: range) -> list[Row]:
    """Draw and encode documents of a split, whose whole length decides the answers dealt."""
    world, whole = world_of(generator), getattr(generator, split)
    return [
        _encoded(
            world,
            drawn_row(
                world,
                seed=generator.seed,
                split=split,
                index=index,
                count=whole,
                options=generator.options,
            ),
        )
        for index in indices
    ]


def _write(generator: Generator, rows: list[Row], path: Path) -> None:
    """Write rows under another name first, so that a file that is there is whole."""
    from datasets import Dataset
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.stem}.{os.getpid()}")
    table = Dataset.from_list(rows, features=features(world_of(generator))).data.table
    parquet.write_table(table, half)
    half.replace(path)
