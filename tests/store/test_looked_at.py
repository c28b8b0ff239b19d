"""A run that another process is writing is looked at, and nothing of it is changed."""

from __future__ import annotations

from pathlib import Path

import handmade
import numpy as np

from vlmbench.store import Journal, RunFolder

CELL = "m/t/prompted-own"


def journal(folder: RunFolder) -> Path:
    """Write two batches of a cell under way, three documents in all."""
    path = folder.record(CELL).journal
    held = Journal(path, {"of": "these specs"})
    for ids in (("a", "b"), ("b", "c")):
        held.append({"answers": [{"id": doc_id} for doc_id in ids]}, {"0/x": np.zeros(2)})
    return path


def test_documents_of_a_cell_under_way_are_counted_once(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    journal(folder)
    assert folder.under_way() == {CELL: 3}
    assert folder.finished() == []
    assert not folder.has_ended


def test_a_frame_that_is_being_written_is_left_alone(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    path = journal(folder)
    path.write_bytes(path.read_bytes()[:-5])
    before = path.read_bytes()
    assert folder.under_way() == {CELL: 2}
    assert path.read_bytes() == before


def test_what_is_no_journal_counts_nothing(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    path = folder.record(CELL).journal
    path.parent.mkdir(parents=True)
    path.write_bytes(b"something else")
    assert folder.under_way() == {CELL: 0}
    assert path.read_bytes() == b"something else"


def test_a_finished_cell_is_no_longer_under_way(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    journal(folder)
    handmade.write(folder, handmade.basis(), handmade.scores(), hint_targets=[1, 0, -1])
    assert folder.under_way() == {}
    (record,) = folder.finished()
    said = record.exchanges()
    assert [one.hint_target for one in said] == [1, 0, -1]
    assert [one.prompt for one in said] == ["p0", "p1", "p2"]
    assert said[0].choices == ["A", "B"]
