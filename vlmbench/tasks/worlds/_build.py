"""Builds a world's splits once, whole or their first documents, and finds them by fingerprint."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import TYPE_CHECKING

from threadpoolctl import threadpool_limits

from vlmbench.files import replacing, sha256_of, write_atomically
from vlmbench.spec import Generator
from vlmbench.tasks.worlds._croissant import croissant
from vlmbench.tasks.worlds._registry import WORLDS
from vlmbench.tasks.worlds._rows import (
    SPLITS,
    Split,
    content_digest,
    drawn_row,
    encoded,
    features,
)
from vlmbench.tasks.worlds._trace import require_embree
from vlmbench.tasks.worlds._world import Row, World
from vlmbench.types import Problem, VlmbenchError

if TYPE_CHECKING:
    import datasets

_LOGGER = logging.getLogger(__name__)

Progress = Callable[[int], None]
"""Called with the number of documents drawn since the last call."""

_CHUNK = 5  # small, so that the processes end together even where few documents are wanted
# Whatever can change a pixel or its encoding; a record says what drew its documents.
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


def fingerprint(generator: Generator) -> str:
    """Return 16 hex digits that name the data: world, version, options, seed and splits' sizes.

    Source and libraries stay out of it: whether two runs saw the same documents is told by the
    digest of the documents themselves.
    """
    world = world_of(generator)
    said = {
        **generator.model_dump(include={"world", "seed", *SPLITS}),
        "options": dict(world.options(generator.options)),
        "version": world.version,
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def folder(generator: Generator, root: Path) -> Path:
    """Return where the data of a generator is, built or not."""
    return root / f"{generator.world}-{fingerprint(generator)}"


def is_built(generator: Generator, *, root: Path) -> bool:
    """Return whether every split of a generator is there."""
    place = folder(generator, root)
    return all(_record(place, s).is_file() for s in SPLITS if getattr(generator, s))


def _stem(part: Part, place: Path) -> str:
    """Return what the file with these documents is called.

    It is the whole split's own if that is there already, or has no more documents than asked for.
    """
    whole = part.wanted == getattr(part.generator, part.split)
    if whole or _record(place, part.split).is_file():
        return part.split
    return f"{part.split}-first-{part.first}"


def _chunk(generator: Generator, split: Split, indices: range) -> list[Row]:
    """Draw and encode documents of a split; the same bytes in any process."""
    world, count = WORLDS[generator.world], getattr(generator, split)
    seed, options = generator.seed, generator.options
    return [
        encoded(
            world,
            drawn_row(world, seed=seed, split=split, index=i, count=count, options=options),
        )
        for i in indices
    ]


@contextmanager
def _drawing(parts: Sequence[Part], processes: int) -> Iterator[Iterator[list[Row]]]:
    """Give the wanted rows of every part chunk by chunk, in order; all share one pool."""
    chunks = [
        (part.generator, part.split, range(at, min(at + _CHUNK, part.wanted)))
        for part in parts
        for at in range(0, part.wanted, _CHUNK)
    ]
    processes = min(processes, len(chunks))
    if processes <= 1:
        yield (_chunk(*chunk) for chunk in chunks)
        return
    # Of one thread each: products of matrices this small are slower on several.
    pool = ProcessPoolExecutor(
        processes, mp_context=_processes_start(), initializer=threadpool_limits, initargs=(1,)
    )
    try:
        yield pool.map(_chunk, *zip(*chunks, strict=True))
    finally:
        # What nobody wants any more is not drawn. Leaving a `with` would wait until it is.
        pool.shutdown(cancel_futures=True)


@lru_cache(maxsize=1)
def _processes_start() -> BaseContext:
    """Return how processes start: from a server that has imported what draws, and no torch.

    Forking this process instead could hang where torch already runs threads.
    """
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    drawing = ["vlmbench.tasks.worlds._style", "scipy.ndimage", "embreex.mesh_construction"]
    context.set_forkserver_preload([__name__, *drawing])
    return context


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Documents that are wanted.

    Attributes:
        generator: What draws them.
        split: Of which split.
        first: Only this many, byte for byte those of the whole split; None for all.
    """

    generator: Generator
    split: Split
    first: int | None = None

    @property
    def wanted(self) -> int:
        """How many these are."""
        count: int = getattr(self.generator, self.split)
        return count if self.first is None else min(self.first, count)


def build(
    generator: Generator,
    *,
    root: Path,
    splits: Sequence[Split] = SPLITS,
    first: int | None = None,
    processes: int = 1,
    progress: Progress | None = None,
) -> Path:
    """Build the splits of a generator that are not there yet; return the folder they are in.

    See `Part` and `build_parts`.
    """
    parts = [Part(generator=generator, split=split, first=first) for split in splits]
    build_parts(parts, root=root, processes=processes, start=lambda _: progress)
    return folder(generator, root)


def build_parts(
    parts: Iterable[Part],
    *,
    root: Path,
    processes: int = 1,
    start: Callable[[int], Progress | None] = lambda _: None,
) -> None:
    """Build those documents that are not there yet, of any number of splits.

    A split appears whole or not at all; next to it is a record with the digest of its values.

    Args:
        parts: What is wanted; splits without documents are passed over.
        root: Folder of all built data.
        processes: Processes to draw with; the bytes are the same for any number.
        start: Called with how many documents are to be drawn, if any are; what it returns is
            called with how many more have been.

    Raises:
        VlmbenchError: If something has to be drawn and the extra `worlds` is not installed.
    """
    missing: dict[tuple[Path, str], Part] = {}
    for part in parts:
        world_of(part.generator)
        place = folder(part.generator, root)
        _is_whole(place, part.split)  # what has changed is gone then, and no stem is its
        stem = _stem(part, place)
        if part.wanted and not _is_whole(place, stem):
            missing[place, stem] = part
    if not missing:
        return
    require_embree()
    progress = start(sum(part.wanted for part in missing.values()))
    with _drawing(list(missing.values()), processes) as chunks:
        for (place, stem), part in missing.items():
            rows: list[Row] = []
            while len(rows) < part.wanted:
                some = next(chunks)
                rows += some
                if progress is not None:
                    progress(len(some))
            _write(part.generator, stem, rows, place)


def _record(place: Path, stem: str) -> Path:
    """Where the record of a file of documents is; it is written last."""
    return place / f"{stem}.json"


def _is_whole(place: Path, stem: str) -> bool:
    """Tell whether a file of documents is there as it was written; where not, take it away.

    Records from before files were hashed tell nothing, and their documents are drawn again.
    """
    record, data = _record(place, stem), place / f"{stem}.parquet"
    if not record.exists() and not data.exists():
        return False
    try:
        if json.loads(record.read_text(encoding="utf-8"))["file"] == sha256_of(data):
            return True
    except (OSError, ValueError, KeyError, TypeError):
        pass
    _LOGGER.warning("%s has changed since it was drawn; it is drawn again", data)
    for path in (record, data):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return False


def _write(generator: Generator, stem: str, rows: list[Row], place: Path) -> None:
    """Write documents and then their record."""
    from datasets import Dataset
    from pyarrow import parquet

    world = WORLDS[generator.world]
    record = {
        "generator": generator.model_dump(mode="json"),
        "version": world.version,
        "libraries": {name: metadata.version(name) for name in _LIBRARIES},
        "documents": len(rows),
        "sha256": content_digest(rows),
    }
    # Not `to_parquet`, which draws a progress bar of its own.
    table = Dataset.from_list(rows, features=features(world)).data.table
    with replacing(place / f"{stem}.parquet") as half:
        parquet.write_table(table, half)
        record["file"] = sha256_of(half)
    write_atomically(_record(place, stem), json.dumps(record, indent=2) + "\n")


def load(
    generator: Generator, split: Split, root: Path, *, first: int | None = None
) -> datasets.Dataset:
    """Return one split of built data, or its first documents.

    Raises:
        VlmbenchError: If it is not built, or empty.
    """
    from datasets import Dataset
    from pyarrow import parquet

    place = folder(generator, root)
    stem = _stem(Part(generator=generator, split=split, first=first), place)
    path = place / f"{stem}.parquet"
    if not _record(place, stem).is_file():
        remedy = (
            "Build it first: `vlmbench data build`."
            if getattr(generator, split)
            else f"Its generator does not draw any: raise `metadata.vlmbench.generator.{split}`."
        )
        raise VlmbenchError(
            Problem(
                file=str(path),
                message=f"world {generator.world!r} has no {split} split here",
                remedy=remedy,
            )
        )
    # The Arrow schema in the file carries the features; nothing is converted or cached.
    dataset = Dataset(parquet.read_table(path), fingerprint=f"{place.name}-{stem}")
    return dataset if first is None else dataset.select(range(min(first, len(dataset))))


def export(generator: Generator, dest: Path, *, root: Path) -> Path:
    """Copy built splits to `dest` as `train.parquet` and so on, with `croissant.json` beside them.

    Raises:
        VlmbenchError: If they are not built, or cannot be written.
    """
    place = folder(generator, root)
    if not is_built(generator, root=root):
        raise VlmbenchError(f"{place} is not built; run `vlmbench data build` first")
    files: dict[str, str] = {}
    for split in SPLITS:
        source = place / f"{split}.parquet"
        if source.is_file():
            with replacing(dest / source.name) as half:
                shutil.copyfile(source, half)
                files[split] = sha256_of(half)
    write_atomically(dest / "croissant.json", croissant(world_of(generator), place.name, files))
    return dest
