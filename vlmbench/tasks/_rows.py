"""Rows of JSON and CSV files as they stand in the file.

`datasets` gives each column one type and turns the values into it: of JSON, strings that look like
dates become times, the text "3" beside a number becomes 3 and "null" nothing, 1 beside 2.5 becomes
1.0, and large numbers lose digits; of CSV, 007 becomes 7, 1.10 becomes 1.1, NA becomes nothing,
and whole numbers beside an empty cell become fractions. What a question shows must be what its
author wrote, so these files are read here. Columns that Arrow cannot hold as they are are kept as
JSON text, and read back when a row is asked for.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from vlmbench.types import Problem, VlmbenchError

if TYPE_CHECKING:
    from datasets import Dataset

Row = dict[str, Any]

MOST_UNPACKED = 256 << 20
"""Bytes that a compressed file may hold; others may be as large as they are."""

_JSON_OPTIONS = ("encoding", "encoding_errors", "field")
_CSV_OPTIONS = ("column_names", "delimiter", "encoding", "encoding_errors", "quotechar", "sep")
# Options that say which files these are, or how `datasets` would go about reading them.
_WITHOUT_EFFECT = frozenset(
    {"name", "version", "data_dir", "data_files", "description", "names", "chunksize"}
)


def rows_of(paths: Sequence[str], options: Any) -> Dataset:
    """Return the rows of local JSON or CSV files, in order.

    Args:
        paths: The files.
        options: `datasets`' configuration for them, as a task's `dataset_kwargs` set it.

    Raises:
        VlmbenchError: If a file cannot be read, or an option is not supported here.
    """
    is_json = hasattr(options, "field")
    _refuse_others(options, _JSON_OPTIONS if is_json else _CSV_OPTIONS)
    read: Callable[[Path, Any], list[Row]] = _json_rows if is_json else _csv_rows
    rows: list[Row] = []
    for path in paths:
        try:
            rows += read(Path(path), options)
        except (UnicodeError, LookupError, EOFError, OSError, zlib.error, csv.Error) as error:
            raise VlmbenchError(Problem(file=path, message=str(error))) from error
    return _exact(rows, paths)


def _refuse_others(options: Any, supported: Sequence[str]) -> None:
    given = [
        one.name
        for one in fields(options)
        if one.name not in (*supported, *_WITHOUT_EFFECT)
        and getattr(options, one.name) != one.default
    ]
    if given:
        raise VlmbenchError(
            Problem(
                field="dataset_kwargs",
                message=f"option {given[0]!r} is not supported: these files are read as they stand",
                remedy=f"Supported are {', '.join(supported)}. Or write the data as Parquet.",
            )
        )


# -- JSON ---------------------------------------------------------------------------------------


def _json_rows(path: Path, options: Any) -> list[Row]:
    """Return the objects of a file: one a line, a list, or a list under `field`."""
    text = _text(path, options)
    if options.field is not None:
        whole = _loads(text, path, 1)
        if not isinstance(whole, dict) or options.field not in whole:
            message = f"the file is not an object with the key {options.field!r}"
            raise VlmbenchError(Problem(file=str(path), message=message))
        found = [(1, row) for row in _listed(whole[options.field], path)]
    elif text.lstrip().startswith("["):
        found = [(1, row) for row in _listed(_loads(text, path, 1), path)]
    else:
        lines = enumerate(text.split("\n"), start=1)
        found = [(number, _loads(line, path, number)) for number, line in lines if line.strip()]
    for number, row in found:
        if not isinstance(row, dict):
            message = f"a {type(row).__name__} stands where a row should: {str(row)[:60]!r}"
            remedy = "Write one object a line, or a list of objects."
            raise VlmbenchError(
                Problem(file=str(path), line=number, message=message, remedy=remedy)
            )
    return [row for _, row in found]


def _listed(value: Any, path: Path) -> list[Any]:
    if not isinstance(value, list):
        message = f"it holds a {type(value).__name__}, not a list of rows"
        raise VlmbenchError(Problem(file=str(path), message=message))
    return value


def _loads(text: str, path: Path, line: int) -> Any:
    """Parse JSON of which the first character stands in a known line."""
    try:
        return json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        where = line + error.lineno - 1
        remedy = "Write one object a line, or a list of objects."
        raise VlmbenchError(
            Problem(
                file=str(path), line=where, column=error.colno, message=error.msg, remedy=remedy
            )
        ) from error
    except (ValueError, RecursionError) as error:
        raise VlmbenchError(Problem(file=str(path), line=line, message=str(error))) from error


def _once(pairs: list[tuple[str, Any]]) -> Row:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {double!r} stands twice in an object")
    return found


# -- CSV ----------------------------------------------------------------------------------------


def _csv_rows(path: Path, options: Any) -> list[Row]:
    """Return the rows of a table; an empty cell is null.

    A column is one of numbers (or of True and False) only if each of its cells is written as
    Python prints that value, so that either reading shows the same; else it is one of text.
    """
    csv.field_size_limit(sys.maxsize)
    lines = _csv_lines(_text(path, options), options)
    names = options.names or next(lines, (0, []))[1]
    if len(set(names)) < len(names):
        message = f"two columns have one name: {', '.join(names)}"
        raise VlmbenchError(Problem(file=str(path), line=1, message=message))
    cells = []
    for number, line in lines:
        if len(line) != len(names):
            message = f"it has {len(line)} cells, and there are {len(names)} columns"
            remedy = 'Put a cell that holds commas, quotes or line breaks into "quotes".'
            raise VlmbenchError(
                Problem(file=str(path), line=number, message=message, remedy=remedy)
            )
        cells.append(line)
    columns = [_typed([cell or None for cell in column]) for column in zip(*cells, strict=True)]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _csv_lines(text: str, options: Any) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines that are not empty, with the number of the last one they reach."""
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=options.sep, quotechar=options.quotechar, strict=True)
    for line in reader:
        if line:
            yield reader.line_num, line


def _typed(cells: list[str | None]) -> Sequence[Any]:
    for read in (_number, {"True": True, "False": False}.__getitem__):
        try:
            return [None if cell is None else read(cell) for cell in cells]
        except (KeyError, ValueError):
            continue
    return cells


def _number(cell: str) -> int | float:
    """Return the number that is printed as a cell; raises ValueError if there is none."""
    for read in (int, float):
        try:
            value = read(cell)
        except ValueError:
            continue
        if str(value) == cell and math.isfinite(value):
            return value
    raise ValueError(cell)


# -- as a data set --------------------------------------------------------------------------------


def _text(path: Path, options: Any) -> str:
    encoding = options.encoding or "utf-8"
    if encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
        encoding = "utf-8-sig"  # a mark of the byte order is no part of the first name
    return _bytes(path).decode(encoding, options.encoding_errors or "strict")


def is_gzip(path: str | Path) -> bool:
    """Tell whether a file is compressed with gzip."""
    with Path(path).open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _bytes(path: Path) -> bytes:
    """Return a file's bytes, those of a compressed one only if they are not too many."""
    if not is_gzip(path):
        return path.read_bytes()
    with gzip.open(path) as file:
        data = file.read(MOST_UNPACKED + 1)
    if len(data) > MOST_UNPACKED:
        message = f"it is compressed, and holds more than {MOST_UNPACKED:,} bytes"
        raise VlmbenchError(Problem(file=str(path), message=message, remedy="Unpack it."))
    return data


def _exact(rows: Sequence[Row], paths: Sequence[str]) -> Dataset:
    """Return rows as a data set that gives every value back as it is; absent ones are null."""
    from datasets import Dataset

    arrays, packed = {}, set()
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        try:
            array = _faithful(values)
        except UnicodeError as error:
            message = f"a text holds half of a character: {error}"
            raise VlmbenchError(Problem(file=paths[0], field=name, message=message)) from error
        if array is None:
            packed.add(name)
            array = pa.array(
                [None if value is None else json.dumps(value) for value in values], pa.string()
            )
        arrays[name] = array
    dataset = Dataset(pa.table(arrays))
    if packed:
        dataset = dataset.with_transform(partial(_unpacked, packed=frozenset(packed)))
    return dataset


def _faithful(values: list[Any]) -> pa.Array | None:
    """Return the values as Arrow holds them, or None if it would change one."""
    try:
        array = pa.array(values)
    except (pa.ArrowException, OverflowError):
        return None
    # Unlike equality this tells 1 from 1.0 and from True, and a missing key from a null.
    return array if repr(array.to_pylist()) == repr(values) else None


def _unpacked(batch: dict[str, list[Any]], packed: frozenset[str]) -> dict[str, list[Any]]:
    return {
        name: [json.loads(value) if value is not None else None for value in values]
        if name in packed
        else values
        for name, values in batch.items()
    }
