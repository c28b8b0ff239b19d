"""Reading a whole file, of which somebody else may have made something odd."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path


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
