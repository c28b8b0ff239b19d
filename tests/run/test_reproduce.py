"""A published row gives the command that it is from, and the command gives the row again."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest
from home import Home, vlmbench

GAP = "random/mine/own/encoder-prompted/gap"


@pytest.fixture(scope="module")
def home(tmp_path_factory, llava_folder) -> Home:
    """A user's folder with a run and its leaderboard."""
    home = Home(tmp_path_factory.mktemp("home"))
    home.pairs("mine", 8)
    home.model("random", llava_folder, twin={"layer": -2, "relation": "identical"})
    run = home.run("random", "mine", "--limit", 6, "--seed", 3, "--conditions", "own,none")
    vlmbench("leaderboard", run, "--output", home.folder / "board")
    return home


def reproduce(home: Home, row: str, *more: object, published: str = "board", status: int = 0):
    return vlmbench(
        "reproduce", row, home.folder / published, "--include-path", home.folder, *more,
        status=status,
    )  # fmt: skip


def commands(said) -> list[list[str]]:
    return [shlex.split(line) for line in said.out.splitlines() if line.startswith("vlmbench run")]


@pytest.mark.parametrize("published", ["board", "run"])
def test_the_exact_command_is_printed_and_nothing_is_run(home, published, tmp_path):
    said = reproduce(home, GAP, "--output", tmp_path / "again", published=published)
    (words,) = commands(said)
    given = dict(zip(words[2::2], words[3::2], strict=True))
    assert given == {
        "--models": "random", "--tasks": "mine", "--study": "gap", "--seed": "3", "--limit": "6",
        "--conditions": "own,none", "--include-path": str(home.folder), "--dtype": "float32",
        "--output": str(tmp_path / "again/0/random"),
    }  # fmt: skip
    assert not (tmp_path / "again").exists()


def test_the_printed_command_gives_the_same_numbers(home, tmp_path):
    (words,) = commands(reproduce(home, GAP, "--output", tmp_path))
    vlmbench(*words[1:])
    again = json.loads((tmp_path / "0/random/stats.json").read_text())
    assert again == json.loads((home.folder / "run/stats.json").read_text())


def test_it_is_run_and_compared(home, tmp_path):
    said = reproduce(home, "random/mine", "--run", "--output", tmp_path)
    verdicts = [word for word in said.out.split() if word in ("same", "within", "differs")]
    assert len(verdicts) == len(json.loads((home.folder / "run/stats.json").read_text()))
    assert set(verdicts) == {"same"}


def published_as(home: Home, name: str, **changes: object) -> str:
    """Publish the run with other values of the gap, all other numbers as they were."""
    shutil.copytree(home.folder / "board", home.folder / name)
    path = home.folder / name / "rows.json"
    rows = json.loads(path.read_text())
    (gap,) = [row for row in rows if row["metric"] == "gap"]
    gap |= changes
    path.write_text(json.dumps(rows))
    return name


def test_a_number_within_its_published_interval_is_told_from_one_that_differs(home, tmp_path):
    wide = published_as(home, "wide", value=0.2, low=-1.0, high=1.0)
    said = reproduce(home, GAP, "--run", "--output", tmp_path / "a", published=wide)
    assert "within" in said.out
    far = published_as(home, "far", value=-0.99, low=-1.0, high=-0.98)
    said = reproduce(home, GAP, "--run", "--output", tmp_path / "b", published=far, status=1)
    assert "differs" in said.out


def test_other_documents_are_no_reproduction(home, tmp_path):
    other = Home(tmp_path / "other")
    other.folder.mkdir()
    other.pairs("mine", 8, size=(48, 48))
    (other.folder / "random.yaml").write_text((home.folder / "random.yaml").read_text())
    said = vlmbench(
        "reproduce", GAP, home.folder / "board", "--include-path", other.folder, "--run",
        "--output", tmp_path / "again", status=1,
    )  # fmt: skip
    assert "tasks.mine.documents: the documents or their order differs" in said.err


def test_a_row_that_is_not_there_names_those_that_are(home):
    said = reproduce(home, "random/other", status=1)
    assert "'random/other' names no row" in said.err
    assert "There are rows of random/mine." in said.err


def test_a_study_that_is_another_here_is_refused(home, tmp_path):
    shutil.copytree(home.folder / "board", tmp_path / "board")
    path = tmp_path / "board/runs.json"
    runs = json.loads(path.read_text())
    runs[0]["manifest"]["study_digest"] = "0" * 64
    path.write_text(json.dumps(runs))
    said = vlmbench("reproduce", GAP, path.parent, "--include-path", home.folder, status=1)
    assert "the study 'gap' here is not the one that was run" in said.err


@pytest.mark.parametrize("text", ["{}", "[1]", '[{"manifest": {}, "rows": ["x"]}]', "["])
def test_a_spoilt_file_of_runs_is_refused(home, tmp_path, text):
    shutil.copytree(home.folder / "board", tmp_path / "board")
    (tmp_path / "board/runs.json").write_text(text)
    said = vlmbench("reproduce", GAP, tmp_path / "board", status=1)
    assert "runs.json" in said.err


def test_a_folder_that_is_neither_is_refused(tmp_path: Path):
    said = vlmbench("reproduce", GAP, tmp_path, status=1)
    assert "rows.json: cannot be read" in said.err
