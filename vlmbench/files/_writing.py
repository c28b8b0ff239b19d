"""Writing a file whole or not at all, and saying what keeps it from being written."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vlmbench.types import Problem, VlmbenchError

PARTIAL = ".partial"
"""How the name of a file ends that is not whole yet."""


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
