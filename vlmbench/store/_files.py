"""Writing a file whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a file to write to, which takes the place of `path` when the block has succeeded.

    A reader sees the old file or all of the new one, whenever the program is stopped.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    yield partial
    partial.replace(path)


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that a reader sees the old one or all of the new one."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")
