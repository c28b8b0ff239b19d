"""What a run tells of itself: a line per cell in a log, bars on a terminal."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from home import Home, Said, vlmbench
from PIL import Image

from vlmbench.cli._progress import Lines
from vlmbench.report._bars import bar


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
def run(tmp_path: Path) -> Callable[..., Said]:
    home = Home(tmp_path)
    rows = [
        {"image": home.image("a.png", Image.new("RGB", (16, 16))), "question": "?", "answer": i % 2}
        for i in range(7)
    ]
    for name in ("one", "two"):
        home.task(name, rows)
    return lambda name, *more: vlmbench(
        "run", "-m", "rule-first-choice,rule-text", "-t", "one,two", "-i", tmp_path,
        "-o", tmp_path / name, *more,
    )  # fmt: skip


def test_a_log_has_a_line_per_cell_with_its_rate_and_no_bars(run):
    said = run("log")
    lines = [line for line in said.err.splitlines() if "rule-first-choice" in line]
    for name, done, line in zip(("one", "two"), (7, 14), lines, strict=True):
        left = r", 0:00:\d\d left\]" if done < 14 else r"\]"
        pattern = (
            rf"rule-first-choice  {name}  rule/own  7 in \d+\.\d s, [\d.e+]+/s"
            rf"  \[{done} of 14{left}"
        )
        assert re.fullmatch(pattern, line), line
    assert any(line.startswith("check data  2 in ") for line in said.err.splitlines())
    assert "━" not in said.out + said.err
    again = [line for line in run("log").err.splitlines() if "rule-first-choice" in line]
    assert again == [
        f"rule-first-choice  {name}  rule/own  already there" for name in ("one", "two")
    ]


def test_a_terminal_has_a_bar_of_all_and_a_line_for_what_is_done(run, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # what makes rich take any stream for a terminal
    err = run("terminal").err
    assert "━" in err
    assert re.search(r"rule-first-choice  two  rule/own  7 in \d+\.\d s, [\d.e+]+/s\n", err)
    *_, last = [line for line in err.splitlines() if "in all" in line]
    assert "14/14" in last
    assert "rule/own  already there" in run("terminal").err


def test_what_is_there_is_not_expected(run, tmp_path):
    run("again")
    (tmp_path / "again" / "records" / "rule-first-choice" / "two" / "rule-own.parquet").unlink()
    *_, last = [line for line in run("again").err.splitlines() if "rule/own" in line]
    assert last.startswith("rule-first-choice  two  rule/own  7 in ")
    assert last.endswith("[7 of 7]")


def test_json_lines_tell_how_far_everything_is(run):
    said = run("json", "--log-json")
    told = [json.loads(line) for line in said.err.splitlines()]
    assert [(t["event"], t["done"]) for t in told if "rule-first-choice  one" in t["step"]] == [
        ("begun", 0),
        ("done", 7),
    ]
    ends = [t for t in told if t["event"] == "done" and "rule/own" in t["step"]]
    assert [(t["all_done"], t["all_total"]) for t in ends] == [(7, 14), (14, 14)]
    assert [t["seconds_left"] is None for t in ends] == [False, True]
    assert all(datetime.fromisoformat(t["time"]).utcoffset() == timedelta(0) for t in told)
    assert "Run written to" in said.out


def test_a_quiet_run_prints_nothing_and_writes_everything(run, tmp_path):
    said = run("quiet", "--quiet")
    assert said.out + said.err == ""
    assert (tmp_path / "quiet" / "manifest.json").is_file()
    assert json.loads(run("quiet", "-q", "--log-json").err.splitlines()[0])["event"] == "begun"


# -- the bars of gaps -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vqa", "read", "chance", "drawn"),
    [
        (0.35, 0.70, 1 / 3, "─" * 13 + "┊○" + "━" * 13 + "●" + "─" * 12),
        (0.75, 0.25, 0.5, "─" * 10 + "●" + "━" * 9 + "┊" + "━" * 9 + "○" + "─" * 10),
        (0.0, 1.0, None, "○" + "━" * 39 + "●"),
        (0.5, 0.5, 0.5, "─" * 20 + "◉" + "─" * 20),
    ],
)
def test_a_bar_has_its_marks_where_the_numbers_are(vqa, read, chance, drawn):
    assert bar(vqa, read, chance).plain == drawn
