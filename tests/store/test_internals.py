"""What was held inside a model comes back from its record."""

from __future__ import annotations

from dataclasses import replace

import handmade
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from home import loaded_by

from vlmbench.store import Record, RunFolder
from vlmbench.types import PARTS, WINDOWS, Attention, Internals


def internals(n: int = 3, layers: int = 2, width: int = 5, scale: float = 1.0) -> Internals:
    rng = np.random.default_rng(0)
    states = [
        (scale * rng.normal(size=(n, layers + 1, width))).astype(np.float32) for _ in range(3)
    ]
    states[0][1] = np.nan
    mass = rng.random((n, layers, 4))
    mass[:, :, 1] = np.nan
    return Internals(
        doc_ids=tuple(f"d{i}" for i in range(n)), h_image=states[0], h_text=states[1],
        h_last=states[2], mass=mass, tokens=rng.integers(0, 99, (n, 4)),
    )  # fmt: skip


def written(tmp_path, held: Internals) -> Record:
    folder = RunFolder(tmp_path)
    about = handmade.basis(readout="internals")
    return folder.record(handmade.write(folder, about, handmade.scores(), internals=held))


@pytest.mark.parametrize(("scale", "kind"), [(1.0, pa.float16()), (1e6, pa.float32())])
def test_arrays_come_back_in_their_shapes(tmp_path, scale, kind):
    held = internals(scale=scale)
    record = written(tmp_path, held)
    column = pq.read_schema(record.path).field("h_last").type
    assert (column.list_size, column.value_type.list_size) == (3, 5)
    assert column.value_type.value_type == kind
    back = record.internals()
    assert back.doc_ids == held.doc_ids
    assert back.h_last.dtype == np.float32
    for name in ("h_image", "h_text", "h_last"):
        np.testing.assert_allclose(getattr(back, name), getattr(held, name), rtol=1e-3)
    np.testing.assert_array_equal(back.mass, held.mass)
    np.testing.assert_array_equal(back.tokens, held.tokens)
    np.testing.assert_array_equal(record.scores().scores, handmade.scores().scores)


def attention(n: int = 3, layers: int = 2) -> Attention:
    rng = np.random.default_rng(1)
    maps = rng.random((n, WINDOWS, 7)).astype(np.float32)
    maps[2, :, 4:] = np.nan
    return Attention(
        heads=rng.random((n, layers, 5, len(PARTS))).astype(np.float32),
        sinks=rng.integers(0, 9, (n, layers, 2)), maps=maps,
        grids=np.array([[1, 2, 3], [0, 0, 0], [2, 1, 2]]),
    )  # fmt: skip


def test_attention_by_head_comes_back_and_records_without_it_are_read(tmp_path):
    held = replace(internals(), attention=attention())
    back = written(tmp_path, held).internals().attention
    for name in ("heads", "maps"):
        np.testing.assert_allclose(
            getattr(back, name), getattr(held.attention, name), rtol=1e-3, atol=1e-7
        )
    np.testing.assert_array_equal(back.sinks, held.attention.sinks)
    np.testing.assert_array_equal(back.grids, held.attention.grids)
    assert back.grid(0).shape == (1, 2, 3)
    np.testing.assert_allclose(back.grid(0).ravel(), back.maps[0, :, :6].mean(0))
    assert back.grid(1) is None
    assert written(tmp_path, internals()).internals().attention is None


def test_attention_of_other_layers_is_refused():
    with pytest.raises(ValueError, match="attention must be of"):
        replace(internals(), attention=attention(layers=3))
    with pytest.raises(ValueError, match="sinks must be"):
        replace(attention(), sinks=np.zeros((3, 2, 1), dtype=np.int64))


def test_shapes_that_do_not_fit_are_refused():
    held = internals()
    with pytest.raises(ValueError, match="mass must be"):
        Internals(
            doc_ids=held.doc_ids, h_image=held.h_image, h_text=held.h_text, h_last=held.h_last,
            mass=held.mass[:, :1], tokens=held.tokens,
        )  # fmt: skip


def test_reading_needs_no_torch(tmp_path):
    record = written(tmp_path, internals())
    code = (
        "from pathlib import Path; from vlmbench.store import Record; "
        f"assert Record(Path({str(record.path)!r})).internals() is not None"
    )
    assert loaded_by(code) == set()
