"""Files of a wrong kind, and terminals that know few letters, end in no traceback."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from home import program, vlmbench

LONG = "r" * 300


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("leaderboard", LONG, "-o", "page"), "File name too long"),
        (("explain", LONG, "-m", "m"), "File name too long"),
        (("leaderboard", "file", "-o", "page"), "there is no such folder"),
        (("leaderboard", "bin", "-o", "page"), "manifest.json: cannot be read"),
        (("leaderboard", "pipe", "-o", "page"), "the run is not finished"),
        (("leaderboard", "folder", "-o", "page"), "the run is not finished"),
        (("retry", "file"), "missing or damaged"),
        (("retry", "bin"), "missing or damaged"),
        (("retry", "pipe"), "missing or damaged"),
        (("retry", "folder"), "missing or damaged"),
        (("retry", "deep"), "missing or damaged"),
        (("leaderboard", "deep", "-o", "page"), "nested too deeply"),
    ],
)
def test_a_wrong_kind_of_file_is_told(arguments, says, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("x")
    for name in ("bin", "pipe", "folder", "deep"):
        Path(name).mkdir()
        for part in ("manifest.json", "request.json"):
            path = Path(name, part)
            match name:
                case "bin":
                    path.write_bytes(b"\xff\xfe\0")
                case "pipe":
                    os.mkfifo(path)
                case "folder":
                    path.mkdir()
                case _:
                    path.write_text("[" * 100_000)
    assert says in vlmbench(*arguments, status=1).words


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=["ascii", "POSIX"],
)
def test_a_terminal_of_few_letters_shows_the_others_by_number(variables) -> None:
    assert "\\u2500" in program("vlmbench", "ls", "studies", **variables)
