"""A finished run, published, and the validators of others in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import finished
import pytest
from home import ROOT, vlmbench
from hub import FACTS

PACKAGES = Path(sys.prefix, "publish")
"""Where the validators are: they want other versions of what is installed, and do without."""


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished.finished(tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture
def published(run: Path, tmp_path: Path) -> Path:
    vlmbench("publish", run, *FACTS, "--output", tmp_path / "published")
    return tmp_path / "published"


@pytest.fixture(scope="session")
def validator():
    """Run Python that finds the validators; return its status and everything it printed."""
    assert (PACKAGES / "every_eval_ever").is_dir(), (
        "pip install --no-deps --ignore-requires-python --target "
        f"{PACKAGES} --requirement publish.lock"
    )

    def validate(*arguments: object, folder: Path) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-P", *map(str, arguments)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(PACKAGES)])},
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout + done.stderr

    return validate
