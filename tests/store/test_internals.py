"""What was held inside a model comes back from its record."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vlmbench.store import internals_columns, read_internals, read_scores, write_record
from vlmbench.types import ChoiceScores, Internals


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


def scores(n: int = 3) -> ChoiceScores:
    nothing = np.zeros(n, dtype=bool)
    return ChoiceScores(
        doc_ids=tuple(f"d{i}" for i in range(n)), gold=np.zeros(n, dtype=np.int64),
        n_choices=np.full(n, 2), scores=np.arange(2.0 * n).reshape(n, 2), scale="logprob",
        abstained=nothing, failed=nothing,
    )  # fmt: skip


def written(tmp_path, held: Internals):
    path = tmp_path / "cell.parquet"
    write_record(path, scores(), {"prompt": ["p"] * 3, **internals_columns(held)}, {"key": "k"})
    return path


@pytest.mark.parametrize(("scale", "kind"), [(1.0, pa.float16()), (1e6, pa.float32())])
def test_arrays_come_back_in_their_shapes(tmp_path, scale, kind):
    held = internals(scale=scale)
    path = written(tmp_path, held)
    column = pq.read_schema(path).field("h_last").type
    assert (column.list_size, column.value_type.list_size) == (3, 5)
    assert column.value_type.value_type == kind
    back = read_internals(path)
    assert back.doc_ids == held.doc_ids
    assert back.h_last.dtype == np.float32
    for name in ("h_image", "h_text", "h_last"):
        np.testing.assert_allclose(getattr(back, name), getattr(held, name), rtol=1e-3)
    np.testing.assert_array_equal(back.mass, held.mass)
    np.testing.assert_array_equal(back.tokens, held.tokens)
    np.testing.assert_array_equal(read_scores(path).scores, scores().scores)


def test_a_record_of_another_readout_is_told_apart(tmp_path):
    path = tmp_path / "cell.parquet"
    write_record(path, scores(), {}, {})
    with pytest.raises(KeyError, match="no record of `internals`"):
        read_internals(path)


def test_shapes_that_do_not_fit_are_refused():
    held = internals()
    with pytest.raises(ValueError, match="mass must be"):
        Internals(
            doc_ids=held.doc_ids, h_image=held.h_image, h_text=held.h_text, h_last=held.h_last,
            mass=held.mass[:, :1], tokens=held.tokens,
        )  # fmt: skip


def test_reading_needs_no_torch(tmp_path):
    path = written(tmp_path, internals())
    code = (
        "import sys; from pathlib import Path; from vlmbench.store import read_internals; "
        f"read_internals(Path({str(path)!r})); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
