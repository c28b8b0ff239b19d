"""Files: read without waiting for a pipe, written whole or not at all, sealed against damage."""

from vlmbench.files._reading import contents, sha256_of
from vlmbench.files._sealed import seal, sealed
from vlmbench.files._writing import (
    PARTIAL,
    WriteError,
    cannot_write,
    drafted,
    replacing,
    sweep,
    sync_folder,
    write_atomically,
    writing,
)

__all__ = [
    "PARTIAL",
    "WriteError",
    "cannot_write",
    "contents",
    "drafted",
    "replacing",
    "seal",
    "sealed",
    "sha256_of",
    "sweep",
    "sync_folder",
    "write_atomically",
    "writing",
]
