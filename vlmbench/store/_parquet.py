"""Parquet files whose damage is found: pages, the schema and what is said have checksums."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vlmbench.files import replacing
from vlmbench.types import Problem, VlmbenchError

_KEY, _CHECK, _SCHEMA = b"vlmbench", b"vlmbench crc32", b"vlmbench schema crc32"


def write_parquet(path: Path, columns: Mapping[str, Any], said: Mapping[str, Any]) -> None:
    """Write columns and what the file says about itself, whole or not at all."""
    text = json.dumps(said, sort_keys=True).encode()
    table = pa.table(dict(columns))
    about = {_KEY: text, _CHECK: _sum(text), _SCHEMA: _sum(*_fields(table.schema))}
    table = table.replace_schema_metadata(about)
    with replacing(path) as partial:
        pq.write_table(table, partial, write_page_checksum=True)


def read_said(path: Path) -> dict[str, Any]:
    """Return what a file says about itself.

    Raises:
        VlmbenchError: If it is missing or damaged.
    """
    if not path.is_file():  # a pipe would be waited for
        raise VlmbenchError(damaged(path, "the record is missing"))
    try:
        schema = pq.read_schema(path)
        about = schema.metadata or {}
        text = about[_KEY]
        found_in = {_CHECK: _sum(text), _SCHEMA: _sum(*_fields(schema))}
        # Records from before there was one of these have none.
        if any(about.get(key, right) != right for key, right in found_in.items()):
            raise VlmbenchError(damaged(path))
        found: dict[str, Any] = json.loads(text)
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise VlmbenchError(damaged(path)) from error
    return found


def _fields(schema: Any) -> Iterator[bytes]:
    """Yield names and types of columns; those of nested ones as Parquet may call their items."""
    for field in schema:
        yield field.name.encode()
        yield str(field.type).replace("element", "item").encode()


def _sum(*parts: bytes) -> bytes:
    return str(zlib.crc32(b"\0".join(parts))).encode()


def names_of(path: Path) -> list[str]:
    """Return the names of a file's columns."""
    return list(pq.read_schema(path).names)


def read_columns(path: Path, columns: Sequence[str]) -> Any:
    """Return some columns of a file as a table.

    Raises:
        VlmbenchError: If they are damaged.
    """
    try:
        return pq.read_table(path, columns=list(columns), page_checksum_verification=True)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise VlmbenchError(damaged(path)) from error


def damaged(path: Path, message: str = "the record is damaged") -> Problem:
    """Return the problem of a record that cannot be read."""
    remedy = "Delete it and start the same `vlmbench run` again: only this cell is run."
    return Problem(file=str(path), message=message, remedy=remedy)
