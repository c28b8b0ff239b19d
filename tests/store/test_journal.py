"""A journal gives back what it was given, bit for bit, or drops it and says so."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from vlmbench.store import Appended, Journal
from vlmbench.types import VlmbenchError

BASIS = {"key": "k", "files": [["a", 1, 2]]}


def frames(n: int) -> list[tuple[dict, dict]]:
    rng = np.random.default_rng(3)
    return [
        (
            {"answers": [f"doc {index}", "lone \ud800 and \x00"], "number": index},
            {
                "scores": rng.normal(size=(index, 3)),
                "states": rng.normal(size=(2, 3, 4)).astype(np.float32)[:, ::2],
                "odd": np.array([np.nan, -np.inf, -0.0, 5e-324]),
                "none": np.zeros((0, 4), dtype=np.int64),
                "single": np.array(7, dtype=np.int16),
            },
        )
        for index in range(n)
    ]


def bits(arrays: dict) -> dict:
    return {name: (a.dtype.str, a.shape, a.tobytes()) for name, a in arrays.items()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records" / "m" / "cell.journal"


def written(path: Path, n: int) -> list[int]:
    """Write n frames; return where the first one (of the basis) and each of them ends."""
    ends = []
    for said, arrays in frames(n):
        journal = Journal(path, BASIS)
        journal.append(said, arrays)
        ends.append(path.stat().st_size)
    return ends


def healthy(journal: Journal) -> int:
    """Return how many frames there are, all of which must be those that were written."""
    for frame, (said, arrays) in zip(journal.frames, frames(len(journal.frames)), strict=True):
        assert frame.said == said
        assert bits(frame.arrays) == bits(arrays)
    return len(journal.frames)


def test_frames_come_back_bit_for_bit(path):
    written(path, 4)
    journal = Journal(path, BASIS)
    assert healthy(journal) == 4
    assert journal.remark == ""
    assert list(journal.frames[0].arrays) == ["scores", "states", "odd", "none", "single"]


def test_nothing_is_written_before_there_is_something_to_keep(path):
    Journal(path, BASIS)
    assert not path.parent.exists()


def test_a_file_cut_anywhere_keeps_the_frames_before_the_cut(path):
    ends = written(path, 3)
    data = path.read_bytes()
    for length in sorted({*range(0, len(data), 11), *ends, *(end - 1 for end in ends)}):
        path.write_bytes(data[:length])
        journal = Journal(path, BASIS)
        assert healthy(journal) == sum(end <= length for end in ends)
        assert bool(journal.remark) == (path.stat().st_size < length)
        assert path.name in journal.remark or not journal.remark
        for said, arrays in frames(3)[healthy(journal) :]:
            journal.append(said, arrays)
        assert path.read_bytes() == data  # it goes on as if it had not been cut


def test_no_flipped_bit_changes_a_number(path):
    ends = written(path, 4)
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for flip in rng.integers(0, len(data) * 8, 200):
        damaged = bytearray(data)
        damaged[flip // 8] ^= 1 << (flip % 8)
        path.write_bytes(damaged)
        journal = Journal(path, BASIS)
        assert healthy(journal) == sum(end <= flip // 8 for end in ends)
        assert journal.remark
        for rest in path.parent.iterdir():
            rest.unlink()


def test_a_file_that_is_no_journal_is_set_aside(path):
    path.parent.mkdir(parents=True)
    path.write_text("years of work")
    journal = Journal(path, BASIS)
    aside = path.with_name("cell.journal.aside")
    assert aside.read_text() == "years of work"
    assert journal.remark == f"{aside}: is no journal that this version reads; set aside"
    journal.append({}, {})
    assert len(Journal(path, BASIS).frames) == 1


def test_frames_of_another_basis_are_dropped(path):
    written(path, 2)
    journal = Journal(path, BASIS | {"key": "another"})
    assert journal.frames == []
    assert "of other specs, documents, weights or versions" in journal.remark


def test_removing_leaves_nothing(path):
    journal = Journal(path, BASIS)
    journal.append({}, {})
    journal.remove()
    journal.remove()
    assert list(path.parent.iterdir()) == []


def test_a_pipe_in_the_place_of_a_file_that_is_added_to_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    assert Appended(path).read() == b""
    os.mkfifo(path)
    with pytest.raises(VlmbenchError, match=r"answers.jsonl: cannot be read: it is .*a pipe"):
        Appended(path).read()
