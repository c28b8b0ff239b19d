"""What a run tells of itself: a line per cell in a log, bars on a terminal."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from home import Home, Said, vlmbench
from PIL import Image

from vlmbench.cli._progress import Lines


def test_a_step_is_one_line_once_it_is_done():
    written: list[str] = []
    advance = Lines(written.append).start("tiny  depth  prompted/own", 6)
    time.sleep(0.02)
    advance(4)
    assert written == []
    advance(2)
    (line,) = written
    found = re.fullmatch(r"tiny  depth  prompted/own  6 in 0\.\d s, (\d+)/s", line)
    assert found is not None, line
    assert int(found[1]) <= 300


def test_a_step_without_units_is_done_as_it_begins():
    written: list[str] = []
    Lines(written.append).start("tiny  depth  prompted/own  already there", 0)(0)
    assert written == ["tiny  depth  prompted/own  already there"]


@pytest.fixture
def run(tmp_path: Path) -> Callable[[str], Said]:
    home = Home(tmp_path)
    rows = [
        {"image": home.image("a.png", Image.new("RGB", (16, 16))), "question": "?", "answer": i % 2}
        for i in range(7)
    ]
    for name in ("one", "two"):
        home.task(name, rows)
    return lambda name: vlmbench(
        "run", "-m", "rule-first-choice,rule-text", "-t", "one,two", "-i", tmp_path,
        "-o", tmp_path / name,
    )  # fmt: skip


def test_a_log_has_a_line_per_cell_with_its_rate_and_no_bars(run):
    said = run("log")
    lines = [line for line in said.err.splitlines() if "rule-first-choice" in line]
    for name, line in zip(("one", "two"), lines, strict=True):
        pattern = rf"rule-first-choice  {name}  rule/own  7 in \d+\.\d s, [\d.e+]+/s"
        assert re.fullmatch(pattern, line), line
    assert any(line.startswith("check data  2 in ") for line in said.err.splitlines())
    assert "━" not in said.out + said.err
    again = [line for line in run("log").err.splitlines() if "rule-first-choice" in line]
    assert again == [
        f"rule-first-choice  {name}  rule/own  already there" for name in ("one", "two")
    ]


def test_a_terminal_keeps_its_bars(run, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # what makes rich take any stream for a terminal
    for said in ("rule/own", "already there"):
        err = run("terminal").err
        assert "━" in err
        assert said in err
        assert " in 0." not in err
