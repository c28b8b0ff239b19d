"""A published table stands if the records of its runs give it; what differs is named."""

from __future__ import annotations

import json
import re
from pathlib import Path

import finished
import handmade
import numpy as np
import pytest
from home import vlmbench

from vlmbench.metrics import dump_rows, load_rows
from vlmbench.store import RunFolder


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A run and, beside it, its leaderboard."""
    vlmbench("leaderboard", finished.finished(tmp_path / "run"), "--output", tmp_path / "board")
    return tmp_path / "board"


def check(published: Path, status: int = 0) -> str:
    run = published.with_name("run")
    before = {path: path.read_bytes() for path in published.iterdir()}
    said = vlmbench("leaderboard", run, "--check", published, status=status).words
    assert {path: path.read_bytes() for path in published.iterdir()} == before
    return said


def test_what_was_published_stands(published):
    rows = json.loads((published / "rows.json").read_text())
    assert f"stands: {len(rows)} numbers are those that the records give" in check(published)


GAP = "tiny/sight/own/encoder-prompted/gap"


@pytest.mark.parametrize("field", ["value", "low", "high", "n", "coverage"])
@pytest.mark.parametrize("name", ["rows.json", "rows.csv"])
def test_a_changed_field_is_named_with_its_row(published, name, field):
    path = published / name
    rows = load_rows((published / "rows.json").read_text())
    (row,) = [row for row in rows if "/".join(row.key) == GAP]
    old = row.to_json()
    line = (
        next(line for line in path.read_text().splitlines() if '"gap"' in line)
        if name == "rows.json"
        else next(line for line in path.read_text().splitlines() if ",gap," in line)
    )
    changed = old | {
        field: 4 if field == "n" else old[field] + (-1 if field == "high" else 1) * 0.001
    }
    changed |= {"coverage": 0.5} if field == "coverage" else {}
    new = (
        line.replace(json.dumps(old)[1:-1], json.dumps(changed)[1:-1])
        if name == "rows.json"
        else ",".join(str(value) for value in changed.values())
    )
    assert new != line
    path.write_text(path.read_text().replace(line, new))
    said = check(published, status=1)
    assert (
        f"{name}: {GAP}: {field} is {changed[field]} here, and {old[field]} by the records" in said
    )
    assert said.endswith("1 error")


def test_a_row_that_is_missing_or_invented_is_named(published):
    path = published / "rows.json"
    rows = load_rows(path.read_text())
    invented = [*rows[1:], *load_rows(dump_rows(rows[:1]).replace('"own"', '"none"', 1))]
    path.write_text(dump_rows(invented))
    said = check(published, status=1)
    assert f"{'/'.join(rows[0].key)}: the row is missing; the records give it" in said
    assert f"{'/'.join(invented[-1].key)}: no record gives this row" in said


def test_a_number_on_the_page_is_named_with_its_line(published):
    path = published / "README.md"
    lines = path.read_text().splitlines()
    place = next(at for at, line in enumerate(lines) if line.startswith("| sight"))
    lines[place] = re.sub(r"\.\d{3}", ".999", lines[place], count=1)
    path.write_text("\n".join(lines) + "\n")
    said = check(published, status=1)
    assert f"README.md:{place + 1}: says | sight" in said
    assert ".999" in said


def test_a_file_that_is_not_there_is_named(published):
    (published / "runs.json").rename(published.with_name("elsewhere.json"))
    assert (
        "runs.json: cannot be read"
        in vlmbench("leaderboard", published.with_name("run"), "--check", published, status=1).words
    )


def test_records_decide_and_not_what_the_run_made_of_them(published):
    """The statistics of the run and the page agree; one answer in a record is another."""
    (condition, readout), scores = next(iter(finished.CELLS.items()))
    other = scores.take(np.arange(len(scores)))
    other.scores[0] = [-2.0, -1.0]
    basis = handmade.basis(finished.MODEL, finished.TASK, readout.label, condition.label)
    handmade.write(RunFolder(published.with_name("run")), basis, other)
    said = check(published, status=1)
    assert "run/stats.json: tiny/sight/own/prompted/accuracy: value is 0.7 here, and 0.5 by" in said
    assert f"rows.json: {GAP}: value is" in said


def test_rounding_in_the_last_digits_is_no_difference(published):
    path = published / "rows.json"
    rows = json.loads(path.read_text())
    text = path.read_text()
    value = next(row["low"] for row in rows if row["metric"] == "gap")
    path.write_text(text.replace(repr(value), repr(value + 1e-12)))
    assert path.read_text() != text
    assert "stands" in check(published)
