"""A damaged run, asked for again by `run` or `retry`: refused, or the same numbers."""

from __future__ import annotations

import random
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from caches import kept_in
from guard import guarded
from home import Home, vlmbench
from test_run_folders import damage

from vlmbench.cli import main

RULES = "rule-first-choice,rule-longest-choice"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    home = Home(tmp_path)
    home.pairs("mine", 8)
    monkeypatch.setenv("VLMBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    with kept_in(tmp_path):
        yield home


def numbers(run: Path) -> list[bytes]:
    """Return the files of a run that hold its numbers, which are those of all its records."""
    return [(run / name).read_bytes() for name in ("stats.json", "results.json")]


def command(*words: object) -> None:
    """Run a command in a process that does nothing afterwards."""
    sys.argv = ["vlmbench", *map(str, words)]
    main()


def check(home: Home, count: int) -> Counter[str]:
    """Damage a run so many times and ask for it again; return what came of that."""
    words = ("run", "--models", RULES, "--tasks", "mine", "--include-path", home.folder,
             "--output", "run")  # fmt: skip
    vlmbench(*words)
    run, kept = home.folder / "run", home.folder / "kept"
    run.rename(kept)
    counts: Counter[str] = Counter()
    for seed in range(count):
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(kept, run)
        done = damage(run, random.Random(seed))
        asked = ("retry", "run") if seed % 3 == 0 else words
        outcome = guarded(lambda asked=asked: command(*asked), folder=home.folder, seconds=20.0)
        assert outcome.fault is None, (seed, done, outcome.fault)
        if outcome.refused is None:
            assert numbers(run) == numbers(kept), (seed, done)
        counts["the same numbers" if outcome.refused is None else "refused"] += 1
    print(dict(counts))  # noqa: T201
    return counts


def test_a_damaged_run_is_run_again_or_refused(home: Home) -> None:
    counts = check(home, 15)
    assert counts["the same numbers"] > 3


@pytest.mark.soak
def test_many_damaged_runs_are_run_again_or_refused(home: Home) -> None:
    check(home, 200)
