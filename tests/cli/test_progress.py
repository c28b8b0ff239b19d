"""What a run tells of itself: a line per cell in a log, bars on a terminal."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from vlmbench.cli import main
from vlmbench.cli._progress import Lines

TASK = """\
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: d.jsonl}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "<image>Which?"
doc_to_image: [image]
doc_to_choice: [A, B]
doc_to_target: gold
"""


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
    Lines(written.append).start("tiny  depth  prompted/own  there already", 0)(0)
    assert written == ["tiny  depth  prompted/own  there already"]


@pytest.fixture
def run(monkeypatch, capsys, tmp_path: Path):
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    rows = [{"image": "a.png", "gold": index % 2} for index in range(7)]
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(TASK.format(name=name))
    monkeypatch.setenv("VLMBENCH_CACHE", str(tmp_path / "cache"))

    def call(name: str) -> tuple[str, str]:
        command = ["run", "-m", "rule-first-choice,rule-text", "-t", "one,two", "-i", tmp_path]
        monkeypatch.setattr(
            sys, "argv", ["vlmbench", *map(str, command), "-o", str(tmp_path / name)]
        )
        with pytest.raises(SystemExit) as stopped:
            main()
        said = capsys.readouterr()
        assert stopped.value.code == 0, said.err
        return said.out, said.err

    return call


def test_a_log_has_a_line_per_cell_with_its_rate_and_no_bars(run):
    out, err = run("log")
    lines = [line for line in err.splitlines() if "rule-first-choice" in line]
    for name, line in zip(("one", "two"), lines, strict=True):
        pattern = rf"rule-first-choice  {name}  rule/own  7 in \d+\.\d s, [\d.e+]+/s"
        assert re.fullmatch(pattern, line), line
    assert any(line.startswith("check data  2 in ") for line in err.splitlines())
    assert "━" not in out + err
    again = [line for line in run("log")[1].splitlines() if "rule-first-choice" in line]
    assert again == [
        f"rule-first-choice  {name}  rule/own  there already" for name in ("one", "two")
    ]


def test_a_terminal_keeps_its_bars(run, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # what makes rich take any stream for a terminal
    for said in ("rule/own", "there already"):
        err = run("terminal")[1]
        assert "━" in err
        assert said in err
        assert " in 0." not in err
