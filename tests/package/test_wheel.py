"""The wheel carries tasks and models, and works outside a checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIST = (
    "import sys; sys.argv = ['vlmbench', 'ls', sys.argv[1], '--json']\n"
    "from vlmbench.cli import main; main()"
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", folder, ROOT], check=True)
    (wheel,) = folder.glob("vlmbench_gap-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", wheel], check=True)
    return folder / "site"


def run(site: Path, cwd: Path, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(site), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_lists_what_a_checkout_lists(installed: Path, tmp_path: Path) -> None:
    place = run(installed, tmp_path, "-c", "import vlmbench; print(vlmbench.__file__)")
    assert place.startswith(str(installed))
    for kind, name in (("tasks", "depth"), ("models", "tiny-clip"), ("studies", "gap")):
        from_wheel = json.loads(run(installed, tmp_path, "-c", LIST, kind))
        from_checkout = json.loads(run(ROOT, tmp_path, "-c", LIST, kind))
        assert from_wheel == from_checkout
        assert name in {row["name"] for row in from_wheel}


def test_the_wheels_model_loads(installed: Path, tmp_path: Path) -> None:
    code = (
        "from vlmbench.registry import catalogue\n"
        "from vlmbench.models import HfBackend, resolve_device\n"
        "(model,) = catalogue().select_models('tiny-clip')\n"
        "HfBackend.load(model.spec, model.folder, *resolve_device('cpu', 'auto'))\n"
        "print(model.path)"
    )
    assert str(installed) in run(installed, tmp_path, "-c", code)
