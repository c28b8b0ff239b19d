"""Caches of `datasets` within a test's own folder, so that a guard may let them be written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import datasets
import pytest


@contextmanager
def kept_in(folder: Path) -> Iterator[None]:
    """Let `datasets` keep everything below a folder, and vlmbench look for data there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "cache")
        patch.setattr(datasets.config, "DOWNLOADED_DATASETS_PATH", folder / "cache/downloads")
        patch.setenv("VLMBENCH_DATA", str(folder / "home"))
        yield
