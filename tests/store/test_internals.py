"""What was held inside a model comes back from its record."""

from __future__ import annotations

import handmade
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from home import loaded_by

from vlmbench.store import Record, RunFolder
from vlmbench.types import Internals


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
