"""The wheel carries tasks and models, and works outside a checkout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from home import ROOT, program

LIST = """
import sys
import vlmbench
from vlmbench.cli import main
print(vlmbench.__file__)
for kind in ("tasks", "models", "studies"):
    sys.argv = ["vlmbench", "ls", kind, "--json"]
    try:
        main()
    except SystemExit as stopped:
        print("\\0")
        assert not stopped.code
"""


SOME = ("depth", "tiny-clip", "gap")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = ("python", "-m", "pip", "--quiet", "--disable-pip-version-check")
    program(*pip, "wheel", "--no-deps", "-w", folder, ROOT)
    (wheel,) = folder.glob("vlmbench_gap-*.whl")
    program(*pip, "install", "--no-deps", "--target", folder / "site", wheel)
    return folder / "site"


def listed(site: Path, folder: Path) -> tuple[str, list[list[dict[str, object]]]]:
    """Return where the package lies, and its tasks, models and studies."""
    place, _, rest = program("python", "-c", LIST, folder=folder, PYTHONPATH=str(site)).partition(
        "\n"
    )
    return place, [json.loads(part) for part in rest.split("\0") if part.strip()]


def test_the_wheel_lists_what_a_checkout_lists(installed: Path, tmp_path: Path) -> None:
    (place, found), (_, expected) = listed(installed, tmp_path), listed(ROOT, tmp_path)
    assert place.startswith(str(installed))
    assert found == expected
    names = [{row["name"] for row in rows} for rows in found]
    assert all(name in held for name, held in zip(SOME, names, strict=True))


def test_the_wheels_model_loads(installed: Path, tmp_path: Path) -> None:
    code = (
        "from vlmbench.registry import catalogue\n"
        "from vlmbench.models import HfBackend, resolve_device\n"
        "(model,) = catalogue().select_models('tiny-clip')\n"
        "HfBackend.load(model.spec, model.folder, *resolve_device('cpu', 'auto'))\n"
        "print(model.path)"
    )
    assert str(installed) in program(
        "python", "-c", code, folder=tmp_path, PYTHONPATH=str(installed)
    )
