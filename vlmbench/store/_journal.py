"""The journal of a cell under way: what each batch gave, as it came, safe from any kill."""

from __future__ import annotations

import json
import os
import struct
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vlmbench.files import contents, sync_folder, writing
from vlmbench.types import Problem, VlmbenchError

JOURNAL_FORMAT: Final = 1
"""Number of the format of journals; one of another number is set aside."""

# Magic, CRC-32 of all that follows it, bytes of JSON, bytes of arrays; then both.
_HEAD = struct.Struct("<4sIIQ")
_MAGIC = b"vlmj"
_CRC_FROM = 8
# A frame is handed to the system at once. It is forced onto the disk, with those before it, if
# this long has passed since that was last done: what takes longer than this is on disk at once.
SYNC_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One entry of a journal.

    Attributes:
        said: JSON; text of any kind, no arrays.
        arrays: Arrays by name, of any numeric dtype and shape.
    """

    said: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]


class Appended:
    """A file that is only ever added to.

    What `add` has returned from survives any death of the process; if the machine dies, what was
    added within one second may be lost.

    Args:
        path: Its file, made when something is first added.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._synced = -SYNC_SECONDS

    def read(self) -> bytes:
        """Return all of it; nothing if there is no file.

        Raises:
            VlmbenchError: If it cannot be read.
        """
        try:
            return contents(self.path) if self.path.exists() else b""
        except OSError as error:
            message = f"cannot be read: {error.strerror or error}"
            raise VlmbenchError(Problem(file=str(self.path), message=message)) from error

    def add(self, data: bytes, *, first: bytes = b"") -> None:
        """Add bytes, behind `first` where the file is new.

        Raises:
            VlmbenchError: If the disk is full or the file cannot be written.
        """
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileIO(self.path, "ab") as file:
                if file.tell() == 0:
                    data = first + data
                    sync_folder(self.path.parent)
                rest = memoryview(data)
                while rest:  # a disk that fills up takes a part first
                    rest = rest[file.write(rest) :]
                if time.monotonic() - self._synced >= SYNC_SECONDS:
                    os.fsync(file.fileno())
                    self._synced = time.monotonic()


class Journal:
    """A file to which whole frames are added, and from which whole ones are read.

    The first frame says what the others were made from. What is read on opening is what can be
    proven whole: a frame that was cut off or changed is dropped with all that follow it, and a file
    that is no journal, or one of another format, is renamed to `NAME.aside`. No other process may
    write to it meanwhile. A frame that `append` has returned from survives any death of the
    process. If the machine dies, frames may be lost that were added within one second.

    Args:
        path: Its file, made when the first frame is added.
        basis: What frames are made from, as JSON; frames of another basis are dropped.

    Attributes:
        frames: The frames that were there when it was opened, in order.
        remark: What was dropped then and why, as one line; empty if nothing was.

    Raises:
        VlmbenchError: If the file cannot be read or written.
    """

    def __init__(self, path: Path, basis: Mapping[str, Any]) -> None:
        self.path = path
        self.frames: list[Frame] = []
        self.remark = ""
        self._basis = {"format": JOURNAL_FORMAT, "basis": json.loads(json.dumps(basis))}
        self._file = Appended(path)
        with writing(path):
            if path.exists():
                self._open()

    def append(self, said: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Add a frame.

        Raises:
            VlmbenchError: If the disk is full or the file cannot be written.
        """
        self._file.add(_framed(said, arrays), first=_framed(self._basis, {}))

    def remove(self) -> None:
        """Delete the file, when all that it holds is kept elsewhere."""
        with writing(self.path):
            self.path.unlink(missing_ok=True)

    def _open(self) -> None:
        """Read what is whole and drop the rest."""
        data = self.path.read_bytes() if self.path.is_file() else b"no file"
        found = list(_frames(data))
        foreign = not data.startswith(_MAGIC[: len(data)])
        if foreign or (found and found[0][1].said.get("format") != JOURNAL_FORMAT):
            aside = self.path.with_name(f"{self.path.name}.aside")
            self.path.replace(aside)
            self.remark = f"{aside}: is no journal that this version reads; set aside"
            return
        if found and found[0][1].said != self._basis:
            self.remark = f"{self.path}: of other specs, documents, weights or versions; dropped"
            self.path.unlink()
            return
        whole = found[-1][0] if found else 0
        if whole < len(data):
            lost = len(data) - whole
            self.remark = f"{self.path}: its last {lost:,} bytes are cut off or damaged; dropped"
            os.truncate(self.path, whole)
        self.frames = [frame for _, frame in found[1:]]


def peek(path: Path) -> list[Frame]:
    """Return the whole frames of a journal that another process may be writing, unchanged.

    Empty where it is gone or is of another format.
    """
    try:
        found = [frame for _, frame in _frames(contents(path))]
    except OSError:
        return []
    return found[1:] if found and found[0].said.get("format") == JOURNAL_FORMAT else []


def _framed(said: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a frame's bytes."""
    shapes = [[name, array.dtype.str, array.shape] for name, array in arrays.items()]
    text = json.dumps({"said": said, "arrays": shapes}).encode("ascii")
    data = b"".join(array.tobytes() for array in arrays.values())
    body = _HEAD.pack(_MAGIC, 0, len(text), len(data))[_CRC_FROM:] + text + data
    return _MAGIC + struct.pack("<I", zlib.crc32(body)) + body


def _frames(data: bytes) -> Iterator[tuple[int, Frame]]:
    """Yield whole frames, each with the place at which it ends, up to the first one that is not."""
    at = 0
    while at + _HEAD.size <= len(data):
        magic, crc, n_text, n_data = _HEAD.unpack_from(data, at)
        middle = at + _HEAD.size + n_text
        end = middle + n_data
        if magic != _MAGIC or end > len(data):
            return
        if zlib.crc32(memoryview(data)[at + _CRC_FROM : end]) != crc:
            return
        told = json.loads(data[at + _HEAD.size : middle])
        yield end, Frame(said=told["said"], arrays=_arrays(told["arrays"], data, middle))
        at = end


def _arrays(shapes: list[Any], data: bytes, at: int) -> dict[str, NDArray[Any]]:
    """Return copies of a frame's arrays, which stand one behind the other."""
    found: dict[str, NDArray[Any]] = {}
    for name, kind, shape in shapes:
        dtype = np.dtype(kind)
        count = int(np.prod(shape, dtype=np.int64))
        found[name] = np.frombuffer(data, dtype, count, at).reshape(shape).copy()
        at += count * dtype.itemsize
    return found
