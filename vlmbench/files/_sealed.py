"""Files of a cache that vouch for themselves: damaged or changed, they count as absent."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlmbench.files._reading import sha256_of
from vlmbench.files._writing import write_atomically

_SEAL = "seal"
_LOGGER = logging.getLogger(__name__)


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
