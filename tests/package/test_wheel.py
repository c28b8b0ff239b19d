"""What is published: whole archives, and a wheel that works outside a checkout."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from home import ROOT, Home, program, stats_of
from installing import build, environment
from markdown_it import MarkdownIt

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
DEMO = ("run", "--models", "tiny-clip", "--tasks", "object_3d", "--limit", "4", "--output", "first")
WORLDS = """needs embreex, which is not installed
    pip install "vlmbench-gap[worlds]"
"""
PEOPLE = {"task": "mine", "accuracy": 0.75, "n": 4, "readout": "human"}
SOME = ("depth", "tiny-clip", "gap")


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("archives"))


@pytest.fixture(scope="module")
def plain(archives: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of an environment that has no extra."""
    return environment(tmp_path_factory.mktemp("plain"), archives)


@pytest.fixture(scope="module")
def drawing(archives: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of an environment with the extra `worlds`."""
    return environment(tmp_path_factory.mktemp("drawing"), archives, frozenset({"worlds"}))


def files(*folders: str) -> set[str]:
    """Return the files of the checkout that are published, seen from its root."""
    found = (path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file())
    return {path.relative_to(ROOT).as_posix() for path in found if path.suffix != ".pyc"}


def test_the_archives_are_whole(archives: Path) -> None:
    (sdist,), (wheel,) = archives.glob("*.tar.gz"), archives.glob("*.whl")
    program("twine", "check", "--strict", sdist, wheel)
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        about = next(name for name in names if name.endswith(".dist-info/METADATA"))
        assert f"{Path(about).parent}/licenses/LICENSE" in names
    shipped = {f"vlmbench/shipped/{file}" for file in files("tasks", "models")}
    assert names - {name for name in names if ".dist-info/" in name} == files("vlmbench") | shipped
    assert {"vlmbench/py.typed", "vlmbench/spec/schemas/task.schema.json"} <= names
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert inside >= files("vlmbench", "tasks", "models", "tests", "docs")
    assert inside >= {"LICENSE", "Makefile", "constraints.txt", "pyproject.toml"}


def test_the_long_description_names_files_and_leads_to_none_that_are_not_there(
    archives: Path,
) -> None:
    (wheel,) = archives.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        shown = archive.read(name).decode()
    parser = MarkdownIt("commonmark")
    tokens = [one for block in parser.parse(shown) for one in block.children or ()]
    led = [one.attrs.get("href", one.attrs.get("src")) for one in tokens if one.attrs]
    assert led, "it has links"
    assert [place for place in led if not str(place).startswith("https://")] == []
    assert "Tutorial (docs/tutorial.md)" in shown
    assert "Reading the leaderboard" in shown


def listed(programs: Path, folder: Path, **variables: str) -> tuple[str, list[list[object]]]:
    """Return where the package lies, and its tasks, models and studies."""
    said = program(programs / "python", "-c", LIST, folder=folder, **variables)
    place, _, rest = said.partition("\n")
    return place, [json.loads(part) for part in rest.split("\0") if part.strip()]


def test_the_wheel_lists_what_a_checkout_lists(plain: Path, tmp_path: Path) -> None:
    place, found = listed(plain, tmp_path, PYTHONPATH="")
    _, expected = listed(plain, tmp_path, PYTHONPATH=str(ROOT))
    assert place.startswith(str(plain.parent))
    assert found == expected
    names = [{row["name"] for row in rows} for rows in found]
    assert all(name in held for name, held in zip(SOME, names, strict=True))


def test_the_wheel_runs_the_demo(drawing: Path, tmp_path: Path) -> None:
    said = program(drawing / "vlmbench", *DEMO, folder=tmp_path, PYTHONPATH="")
    assert "Run written to first" in said
    gaps = stats_of(tmp_path / "first", "condition", "readout", "metric")
    assert gaps["own", "encoder-prompted", "gap"]["n"] == 4


def asked(
    programs: Path, *arguments: str, folder: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Return what a command of an environment came to, whatever its status."""
    place = os.environ | {"PYTHONPATH": ""} | variables
    return subprocess.run(
        [programs / "vlmbench", *arguments], cwd=folder, env=place, capture_output=True, text=True
    )


# -- what a plain install leaves out ------------------------------------------------------------


def test_a_plain_install_checks_and_runs_what_it_can(plain: Path, tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.pairs("mine", 4)
    home.write("people.yaml", {"model": "people", "recorded": [PEOPLE]})
    command = plain / "vlmbench"
    program(command, "validate", PYTHONPATH="")
    models, output = "tiny-clip,rule-first-choice,people", tmp_path / "run"
    program(
        command, "run", "-m", models, "-t", "mine", "-i", tmp_path, "-o", output, PYTHONPATH=""
    )  # fmt: skip
    stats = stats_of(output, "model", "readout", "condition", "metric")
    assert stats["tiny-clip", "encoder", "own", "accuracy"]["value"] == 1
    assert stats["rule-first-choice", "rule", "own", "accuracy"]["value"] == 0.5
    assert stats["people", "human", "own", "accuracy"]["value"] == 0.75


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (DEMO, WORLDS),
        (("data", "build", "object_3d"), WORLDS),
        ((*DEMO, "--executor", "ray"), "pip install 'vlmbench-gap[ray]'"),
    ],
)
def test_what_is_left_out_is_named_with_its_extra(
    plain: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = asked(plain, *arguments, folder=tmp_path, VLMBENCH_CACHE=str(tmp_path))
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.endswith("1 error\n")


def test_the_frames_of_nyuv2_name_their_extra(plain: Path) -> None:
    code = (
        "from pathlib import Path\n"
        "from vlmbench.tasks.sources._nyuv2 import read_picture\n"
        "from vlmbench.types import VlmbenchError\n"
        "try: read_picture(Path('frames.mat'), 0)\n"
        "except VlmbenchError as error: print(error)"
    )
    said = program(plain / "python", "-c", code, PYTHONPATH="")
    assert 'h5py, which is not installed\n    pip install "vlmbench-gap[nyuv2]"' in said


# -- doctor -------------------------------------------------------------------------------------


def test_doctor_tells_what_a_plain_install_lacks(plain: Path) -> None:
    done = asked(plain, "doctor", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    extras = {row["extra"]: row["installed"] for row in said["extras"]}
    assert extras["worlds"] == 'embreex missing: pip install "vlmbench-gap[worlds]"'
    assert extras["nyuv2"] == 'h5py missing: pip install "vlmbench-gap[nyuv2]"'
    (wheel,) = metadata.distributions(name="vlmbench-gap", path=[*sites(plain)])
    declared = set(wheel.metadata.get_all("Provides-Extra"))
    assert declared - set(extras) == {"dev"}, "an extra that says nothing of what it is for"
    assert {row["package"] for row in said["packages"]} >= {"torch", "transformers", "lm-eval"}
    data = {row["data"]: row for row in said["data"]}
    assert data["world depth"]["here"] == "no"
    assert data["tzler/MOCHI"]["tasks"] > 1
    assert said["wrong"] == []


def test_doctor_fails_where_a_needed_package_is_missing(plain: Path, tmp_path: Path) -> None:
    (about,) = (plain.parent / "required").glob("tabulate-*.dist-info")
    away = about.rename(tmp_path / about.name)
    try:
        done = asked(plain, "doctor")
    finally:
        away.rename(about)
    assert done.returncode == 1
    assert "tabulate is not installed" in done.stderr
    assert 'pip install "tabulate>=' in done.stderr


def sites(programs: Path) -> list[str]:
    return [str(site) for site in programs.parent.glob("lib/python*/site-packages")]
