"""Where things are kept by default."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path


def cache_root() -> Path:
    """Return `VLMBENCH_CACHE`, or the user's cache folder."""
    given = os.environ.get("VLMBENCH_CACHE")
    return Path(given) if given else user_cache_path("vlmbench")


def data_folder(given: Path | None) -> Path:
    """Return the folder for rendered data."""
    return given if given is not None else cache_root() / "worlds"
