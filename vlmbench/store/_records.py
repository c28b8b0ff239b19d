"""Per-document records in Parquet: what was asked, what was scored, what was answered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vlmbench.metrics import credit
from vlmbench.types import ChoiceScores

KEY = b"vlmbench"


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that a reader sees the old one or all of the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def write_record(
    path: Path,
    scores: ChoiceScores,
    columns: Mapping[str, Sequence[Any]],
    about: Mapping[str, Any],
) -> None:
    """Write one cell's record, whole or not at all.

    Columns are doc_id, gold, scores (one per choice), abstained, failed, credit (null for
    failed documents), and whatever `columns` adds. `about` is kept in the file's metadata.
    """
    earned = np.full(len(scores), np.nan)
    if not scores.failed.all():
        earned[~scores.failed] = credit(scores)
    table = pa.table(
        {
            "doc_id": list(scores.doc_ids),
            "gold": scores.gold,
            "scores": [
                row[:n].tolist() for row, n in zip(scores.scores, scores.n_choices, strict=True)
            ],
            "abstained": scores.abstained,
            "failed": scores.failed,
            "credit": pa.array(earned, mask=np.isnan(earned)),
            **{
                name: values if isinstance(values, pa.Array) else list(values)
                for name, values in columns.items()
            },
        }
    )
    about = {**about, "scale": scores.scale}
    table = table.replace_schema_metadata({KEY: json.dumps(about, sort_keys=True)})
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    pq.write_table(table, partial)
    partial.replace(path)


def read_about(path: Path) -> dict[str, Any] | None:
    """Return what a record says about itself, or None if there is no whole record."""
    if not path.is_file():
        return None
    try:
        metadata = pq.read_schema(path).metadata or {}
        about: dict[str, Any] = json.loads(metadata[KEY])
    except (OSError, pa.ArrowException, KeyError, ValueError):
        return None
    return about


def read_scores(path: Path) -> ChoiceScores:
    """Return the scores of a stored cell."""
    names = ["doc_id", "gold", "scores", "abstained", "failed"]
    table = pq.read_table(path, columns=names).to_pydict()
    about = read_about(path)
    assert about is not None, f"{path} is no record"
    rows = table["scores"]
    n_choices = np.array([len(row) for row in rows], dtype=np.int64)
    scores = np.full((len(rows), int(n_choices.max())), -np.inf)
    for index, row in enumerate(rows):
        scores[index, : len(row)] = row
    return ChoiceScores(
        doc_ids=tuple(table["doc_id"]),
        gold=np.array(table["gold"], dtype=np.int64),
        n_choices=n_choices,
        scores=scores,
        scale=about["scale"],
        abstained=np.array(table["abstained"], dtype=bool),
        failed=np.array(table["failed"], dtype=bool),
    )
