"""Records keep every score, and half a record is none."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq

from vlmbench.store import read_about, read_scores, write_record
from vlmbench.types import ChoiceScores

SCORES = ChoiceScores(
    doc_ids=("a", "b", "c", "d"),
    gold=np.array([0, 1, 2, 0]),
    n_choices=np.array([2, 3, 3, 2]),
    scores=np.array(
        [[-0.1, -2.0, -np.inf], [-1.0, -1.0, -3.0], [-np.inf] * 3, [-np.inf] * 3]
    ),
    scale="logprob",
    abstained=np.array([False, False, True, False]),
    failed=np.array([False, False, False, True]),
)  # fmt: skip


def test_scores_come_back_bit_for_bit(tmp_path):
    path = tmp_path / "deep" / "cell.parquet"
    write_record(path, SCORES, {"prompt": ["p"] * 4}, {"key": "k"})
    back = read_scores(path)
    assert back.doc_ids == SCORES.doc_ids
    assert back.scale == "logprob"
    for name in ("gold", "n_choices", "scores", "abstained", "failed"):
        np.testing.assert_array_equal(getattr(back, name), getattr(SCORES, name))
    assert pq.read_table(path)["credit"].to_pylist() == [1.0, 0.5, 0.0, None]
    assert read_about(path) == {"key": "k", "scale": "logprob"}


def test_half_a_record_is_none(tmp_path):
    path = tmp_path / "cell.parquet"
    assert read_about(path) is None
    write_record(path, SCORES, {}, {"key": "k"})
    path.write_bytes(path.read_bytes()[:-40])
    assert read_about(path) is None
