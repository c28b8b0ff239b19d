"""Rooms import only downward, and the light commands stay light."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = """
import sys
sys.argv = ["vlmbench", *{arguments!r}]
from vlmbench.cli import main
try:
    main()
except SystemExit as stopped:
    assert not stopped.code, stopped.code
heavy = {{"torch", "transformers", "lm_eval", "embreex"}} & set(sys.modules)
assert not heavy, heavy
"""


def test_rooms_import_only_downward() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["ls", "tasks"],
        ["ls", "models", "--json"],
        ["ls", "backends"],
        ["validate"],
        ["plan", "--models", "tiny-clip", "--tasks", "worlds,naming"],
        ["data", "ls"],
    ],
)
def test_light_commands_never_import_torch(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(arguments=arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
