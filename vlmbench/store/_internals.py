"""Hidden states and attention of a cell, as more columns of its record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vlmbench.store._parquet import names_of, read_columns
from vlmbench.types import Attention, Internals

_STATES = ("h_image", "h_text", "h_last")
COLUMNS = (*_STATES, "mass", "tokens")
_ATTENTION = {"heads": np.float16, "sinks": np.int16, "maps": np.float16, "grids": np.int16}

HELD = frozenset((*COLUMNS, *_ATTENTION))
"""Names of all of them."""


def internals_columns(internals: Internals) -> dict[str, Any]:
    """Return a record's additional columns: lists of fixed sizes, nested like the arrays.

    Hidden states are stored as float16, all as float32 where one of them lies outside its range;
    attention by head as float16, which at 32 layers of 32 heads takes 19 kB a document.
    """
    finite = [np.nan_to_num(getattr(internals, name), posinf=0, neginf=0) for name in _STATES]
    largest = max((float(np.abs(state).max()) for state in finite if state.size), default=0.0)
    fits = largest <= float(np.finfo(np.float16).max)
    columns: dict[str, Any] = {
        name: _nested(getattr(internals, name).astype(np.float16 if fits else np.float32))
        for name in _STATES
    }
    columns |= {"mass": _nested(internals.mass), "tokens": _nested(internals.tokens)}
    if internals.attention is not None:
        columns |= {
            name: _nested(getattr(internals.attention, name).astype(kind))
            for name, kind in _ATTENTION.items()
        }
    return columns


def read_internals(path: Path) -> Internals | None:
    """Return what a cell's record has about the inside of its model; None if it has nothing."""
    there = set(names_of(path))
    if not set(COLUMNS) <= there:
        return None
    names = [*COLUMNS, *(_ATTENTION if set(_ATTENTION) <= there else ())]
    table = read_columns(path, ["doc_id", *names])
    arrays = {name: _array(table[name].combine_chunks()) for name in names}
    return Internals(
        doc_ids=tuple(table["doc_id"].to_pylist()),
        h_image=arrays["h_image"].astype(np.float32),
        h_text=arrays["h_text"].astype(np.float32),
        h_last=arrays["h_last"].astype(np.float32),
        mass=arrays["mass"],
        tokens=arrays["tokens"],
        attention=_attention(arrays) if "heads" in arrays else None,
    )


def _attention(arrays: dict[str, NDArray[Any]]) -> Attention:
    return Attention(
        heads=arrays["heads"].astype(np.float32),
        sinks=arrays["sinks"].astype(np.int64),
        maps=arrays["maps"].astype(np.float32),
        grids=arrays["grids"].astype(np.int64),
    )


def _nested(array: NDArray[Any]) -> Any:
    """Return an array as a column of lists in lists, all of fixed sizes."""
    column = pa.array(np.ascontiguousarray(array).reshape(-1))
    for size in array.shape[:0:-1]:
        column = pa.FixedSizeListArray.from_arrays(column, size)
    return column


def _array(column: Any) -> NDArray[Any]:
    """Return the array that `_nested` made a column of."""
    shape = [len(column)]
    while pa.types.is_fixed_size_list(column.type):
        shape.append(column.type.list_size)
        column = column.flatten()
    array: NDArray[Any] = column.to_numpy(zero_copy_only=False).reshape(shape)
    return array
