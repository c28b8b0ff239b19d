"""What was read from a source is kept as Parquet, as long as nothing it depends on changes."""

from __future__ import annotations

import glob
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmbench.files import drafted, sha256_of, write_atomically
from vlmbench.spec import Reader
from vlmbench.types import DECODE_VERSION

if TYPE_CHECKING:
    from datasets import Dataset, Features

_LOGGER = logging.getLogger(__name__)
# Rows in memory at once.
_BATCH = 16
# Whatever can change a pixel, a point or its encoding.
_LIBRARIES = ("h5py", "numpy", "pillow", "scikit-image", "scipy")


def source_digest(reader: Reader, root: Path) -> str:
    """Return 16 hex digits that identify a source's files, how they are read, and by what.

    Files count by name and content: a file that is replaced may bring an old time along.
    """
    said = {
        "reader": reader.model_dump(mode="json"),
        "files": _files(root),
        "source": _package_digest(),
        "decode": DECODE_VERSION,
        "libraries": {name: metadata.version(name) for name in _LIBRARIES},
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def _files(root: Path) -> str:
    digest = hashlib.sha256()
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(folder, name)
            if not path.is_file():  # a pipe, or a link to nothing
                continue
            stat = path.stat()
            content = _content(path, (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
            digest.update(f"{path.relative_to(root)} {content}\n".encode())
    return digest.hexdigest()


@lru_cache(maxsize=200_000)
def _content(path: Path, state: tuple[int, ...]) -> str:
    """Return the hex SHA-256 of a file, which is read again only in another state."""
    del state  # it is part of the cache's key
    return sha256_of(path)


@lru_cache(maxsize=1)
def _package_digest() -> str:
    digest, folder = hashlib.sha256(), Path(__file__).parent
    for path in (*sorted(folder.glob("*.py")), folder.parent / "_markers.py"):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def kept(path: Path, features: Features, rows: Callable[[], Iterator[dict[str, Any]]]) -> Dataset:
    """Return the data in a Parquet file, which is written first where it is not there as written.

    Args:
        path: The file; it appears whole or not at all.
        features: Types of the columns.
        rows: Yields the rows.
    """
    from datasets import Dataset

    if not _is_whole(path):
        with drafted(path) as half:
            _write(half, features, rows())
            digest = sha256_of(half)
        write_atomically(_beside(path), digest + "\n")
    pattern = glob.escape(str(path))  # it is taken for one
    return Dataset.from_parquet(pattern, cache_dir=str(path.parent / "cache"))


def _beside(path: Path) -> Path:
    """Return the file that holds a file's SHA-256; it is written last."""
    return path.with_name(f"{path.name}.sha256")


def _is_whole(path: Path) -> bool:
    """Tell whether a file is there as it was written; say so if it has changed, and delete it."""
    if not path.exists() and not path.is_symlink():
        return False
    try:
        if _beside(path).read_text(encoding="utf-8").strip() == sha256_of(path):
            return True
    except (OSError, ValueError):
        pass
    _LOGGER.warning("%s has changed since it was written; its source is read again", path)
    if path.is_dir():
        shutil.rmtree(path)
    return False


def _write(path: Path, features: Features, rows: Iterator[dict[str, Any]]) -> None:
    import pyarrow.parquet as pq
    from datasets import Dataset

    schema = features.arrow_schema
    with pq.ParquetWriter(path, schema) as writer:
        for batch in _batches(rows):
            table = Dataset.from_list(batch, features=features).data.table
            writer.write_table(table.select(schema.names).cast(schema))


def _batches(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
