"""A finished run, published."""

from __future__ import annotations

from pathlib import Path

import finished
import pytest
from home import vlmbench
from hub import FACTS


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished.finished(tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture
def published(run: Path, tmp_path: Path) -> Path:
    vlmbench("publish", run, *FACTS, "--output", tmp_path / "published")
    return tmp_path / "published"
