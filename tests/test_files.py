"""Files are read without waiting, and what a cache holds is what was written, or not there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from vlmbench.files import contents, seal, sealed

SAID = {"depth": [0.5, 10.0], "seed": 3, "name": "é\ud800"}


@pytest.fixture
def record(tmp_path: Path) -> Path:
    folder = tmp_path / "head"
    folder.mkdir()
    (folder / "weights").write_bytes(b"weights" * 100)
    seal(folder / "head.json", SAID, ["weights"])
    return folder / "head.json"


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "record cut off": lambda path: os.truncate(path, path.stat().st_size // 2),
    "record of no bytes": lambda path: os.truncate(path, 0),
    "record is a folder": folder_instead,
    "record is a list": lambda path: path.write_text("[1]"),
    "record is not sealed": lambda path: path.write_text(json.dumps(SAID)),
    "record is not UTF-8": lambda path: path.write_bytes(b"\xff\xfe"),
    "record is too deep": lambda path: path.write_text("[" * 100_000),
    "a number changed": lambda path: path.write_text(path.read_text().replace("0.5", "0.25")),
    "weights cut off": lambda path: os.truncate(path.with_name("weights"), 5),
    "weights flipped": lambda path: flip(path.with_name("weights"), 300),
    "weights gone": lambda path: path.with_name("weights").unlink(),
    "weights are a folder": lambda path: folder_instead(path.with_name("weights")),
}


def test_it_is_given_back(record: Path) -> None:
    assert sealed(record) == SAID
    assert sealed(record.with_name("nothing.json")) is None


@pytest.mark.parametrize("how", DAMAGE)
def test_what_has_changed_is_not_there_and_can_be_made_again(how, record, caplog) -> None:
    DAMAGE[how](record)
    assert sealed(record) is None
    (said,) = caplog.messages
    assert said == f"{record.parent} has changed since it was written; it is made again"
    assert not record.parent.exists()
    assert sealed(record) is None
    assert len(caplog.messages) == 1


def test_any_flipped_bit_is_seen(record: Path) -> None:
    whole = {path: path.read_bytes() for path in record.parent.iterdir()}
    for path, data in whole.items():
        for place in range(0, len(data), 7):
            record.parent.mkdir(exist_ok=True)
            for other, held in whole.items():
                other.write_bytes(held)
            flip(path, place)
            assert sealed(record) in (None, SAID), (path.name, place)


def test_a_file_is_read_up_to_its_limit_and_nothing_else_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert contents(path) == contents(path, 5) == b"12345"
    with pytest.raises(OSError, match="it has 5 bytes, and at most 4 are read"):
        contents(path, 4)
    os.mkfifo(tmp_path / "pipe")
    for odd in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(OSError, match="it is a folder, a pipe or a device"):
            contents(odd)
    with pytest.raises(OSError, match="null"):
        contents(Path("a\0b"))
