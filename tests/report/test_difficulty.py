"""Readouts against the difficulty of rendered documents, on the page."""

from __future__ import annotations

import re

import handmade
from home import vlmbench

from vlmbench.metrics import StatRow
from vlmbench.report import leaderboard
from vlmbench.store import RunFolder


def page(tmp_path, levels):
    rows = [
        StatRow(
            model="m", task=task, condition="own", readout=readout, metric="accuracy", value=value,
            low=value - 0.05, high=value + 0.05, n=100, coverage=1.0,
        )
        for task in levels
        for readout, value in (("encoder", 0.9 - levels[task][1] / 2), ("prompted", 0.3))
    ]  # fmt: skip
    tasks = {
        name: handmade.task_record(ability, difficulty=level)
        for name, (ability, level) in levels.items()
    }
    about = handmade.manifest(tasks, {"m": handmade.model_record(relation="identical")})
    RunFolder(tmp_path / "run").finish(about, rows, {})
    first, *_, last = leaderboard([tmp_path / "run"], tmp_path / "board")
    text = first.read_text()
    assert (last.name == "difficulty.png") == ("](difficulty.png)" in text)
    found = re.search(r"^## Against difficulty\n.*?(?=^## )", text, re.M | re.S)
    table = [] if found is None else [x for x in found[0].splitlines() if x.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_levels_of_an_ability_stand_in_order(tmp_path):
    levels = {"hard": ("depth", 1.0), "plain": ("depth", 0.5), "a": ("depth", 0.0)}
    table = page(tmp_path, levels | {"other": ("art", 0.5)})
    assert [line[0] for line in table] == ["a", "plain", "hard"]
    assert [line[2] for line in table] == ["0", "0.5", "1"]
    assert [line[5].split()[0] for line in table] == [".900", ".650", ".400"]
    assert {line[4] for line in table} == {".300 [.250, .350]"}


def test_one_level_is_no_curve(tmp_path):
    assert page(tmp_path, {"a": ("depth", 0.5), "b": ("art", 0.0)}) == []


def test_the_picture_is_the_same_every_time(tmp_path):
    held = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        page(tmp_path / name, {"a": ("depth", 0.5), "b": ("depth", 1.0)})
        held.append((tmp_path / name / "board" / "difficulty.svg").read_bytes())
    assert held[0] == held[1]
    assert b"<svg" in held[0]


def test_a_run_says_at_which_difficulty_its_documents_were_drawn(tmp_path):
    """The shipped levels: what the task says, or what its world draws at where it says none."""
    run = tmp_path / "run"
    tasks = "depth_hard,depth_easy,depth"
    vlmbench(
        *("run", "--models", "rule-lower-point", "--tasks", tasks, "--limit", 4),
        *("--output", run, "--data-root", tmp_path / "data"),
    )
    held = RunFolder(run).read().manifest.tasks
    drawn_at = {name: record.difficulty for name, record in held.items()}
    assert drawn_at == {"depth_easy": 0.0, "depth": 0.5, "depth_hard": 1.0}
