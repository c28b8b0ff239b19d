"""Files: read without waiting for a pipe, written whole or not at all, sealed against damage."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vlmbench.types import Problem, VlmbenchError

PARTIAL = ".partial"
"""How the name of a file ends that is not whole yet."""
_SEAL = "seal"
_LOGGER = logging.getLogger(__name__)


class WriteError(VlmbenchError):
    """A file cannot be written, and no other can that is written the same way."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says against writing a file into an error that names it.

    Raises:
        WriteError: If the disk is full, the folder read-only, or the like.
    """
    try:
        yield
    except OSError as error:
        raise WriteError(cannot_write(error, path)) from error


def cannot_write(error: OSError, path: Path) -> Problem:
    """Return why a file cannot be written, and what to do about it."""
    return Problem(
        file=str(path),
        message=f"cannot be written: {os.strerror(error.errno) if error.errno else error}",
        remedy="Make room, or make it writable, and start the same command again: what is "
        "finished is kept.",
    )


@contextmanager
def drafted(path: Path) -> Iterator[Path]:
    """Give a file to write to, which takes the place of `path` when the block has succeeded.

    A reader sees the old file or all of the new one, whenever the program or the machine stops.
    Each writer has a file of its own.

    Raises:
        OSError: If it cannot be written; the old file is left as it was.
    """
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PARTIAL}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(path.parent)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a file as `drafted` does, where nothing within the block reads others.

    Raises:
        WriteError: If it cannot be written; the old file is left as it was.
    """
    with writing(path), drafted(path) as partial:
        yield partial


def sweep(folder: Path) -> None:
    """Delete what writers left in a folder, and below, that were killed; none may be at work."""
    for partial in folder.rglob(f"*{PARTIAL}"):
        partial.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Put names of files in a folder on disk, where the system can."""
    if os.name == "posix":
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that a reader sees the old one or all of the new one.

    Raises:
        WriteError: If it cannot be written; the old file is left as it was.
    """
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def contents(path: Path, most: int | None = None) -> bytes:
    """Return the bytes of a file.

    Args:
        path: The file. Pipes, devices and folders are never opened, for that alone can take for
            ever, and neither are files that say they are empty, as those of `/proc` do.
        most: How many bytes it may have; None for any number.

    Raises:
        OSError: It is not a file, or longer, or cannot be read.
    """
    try:
        found = path.stat()
    except ValueError as error:  # a name with NUL
        raise OSError(str(error)) from error
    if not stat.S_ISREG(found.st_mode):
        raise OSError("it is a folder, a pipe or a device")
    if most is not None and found.st_size > most:
        raise OSError(f"it has {found.st_size:,} bytes, and at most {most:,} are read")
    if not found.st_size:
        return b""
    with path.open("rb") as stream:
        return stream.read(found.st_size)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(path: Path, said: Mapping[str, Any], files: Sequence[str] = ()) -> None:
    """Write JSON that holds the SHA-256 of itself and of files beside it, last of all."""
    digests = {name: sha256_of(path.with_name(name)) for name in files}
    whole = {**said, _SEAL: {"files": digests, "sha256": _sum(said, digests)}}
    write_atomically(path, json.dumps(whole, indent=1, sort_keys=True) + "\n")


def sealed(path: Path) -> dict[str, Any] | None:
    """Return what `seal` was given; None, and a line on stderr, if that or a file has changed.

    What is no longer whole is deleted with its folder, so that it can be made again.
    """
    if not path.exists():
        return None
    try:
        said: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        held = said.pop(_SEAL)
        files = {name: sha256_of(path.with_name(name)) for name in held["files"]}
        if held == {"files": files, "sha256": _sum(said, files)}:
            return said
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    _LOGGER.warning("%s has changed since it was written; it is made again", path.parent)
    shutil.rmtree(path.parent, ignore_errors=True)
    return None


def _sum(said: Mapping[str, Any], files: Mapping[str, str]) -> str:
    text = json.dumps([said, files], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
