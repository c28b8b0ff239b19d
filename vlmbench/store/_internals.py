"""Hidden states and attention of a cell, as more columns of its record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vlmbench.types import Internals

_STATES = ("h_image", "h_text", "h_last")
COLUMNS = (*_STATES, "mass", "tokens")


def internals_columns(internals: Internals) -> dict[str, Any]:
    """Return a record's additional columns: lists of fixed sizes, nested like the arrays.

    Hidden states are stored as float16, all as float32 where one of them lies outside its range.
    """
    finite = [np.nan_to_num(getattr(internals, name), posinf=0, neginf=0) for name in _STATES]
    largest = max((float(np.abs(state).max()) for state in finite if state.size), default=0.0)
    fits = largest <= float(np.finfo(np.float16).max)
    columns: dict[str, Any] = {
        name: _nested(getattr(internals, name).astype(np.float16 if fits else np.float32))
        for name in _STATES
    }
    return {**columns, "mass": _nested(internals.mass), "tokens": _nested(internals.tokens)}


def read_internals(path: Path) -> Internals | None:
    """Return what a cell's record has about the inside of its model; None if it has nothing."""
    if not set(COLUMNS) <= set(pq.read_schema(path).names):
        return None
    table = pq.read_table(path, columns=["doc_id", *COLUMNS])
    arrays = {name: _array(table[name].combine_chunks()) for name in COLUMNS}
    return Internals(
        doc_ids=tuple(table["doc_id"].to_pylist()),
        h_image=arrays["h_image"].astype(np.float32),
        h_text=arrays["h_text"].astype(np.float32),
        h_last=arrays["h_last"].astype(np.float32),
        mass=arrays["mass"],
        tokens=arrays["tokens"],
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
