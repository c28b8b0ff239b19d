"""A damaged run folder is refused or made whole again, and never gives another number."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import handmade
import numpy as np
import pytest
from guard import guarded

from vlmbench.metrics import summarise
from vlmbench.report import leaderboard
from vlmbench.report.cards import explain
from vlmbench.spec import Condition, Encoder, Prompted
from vlmbench.store import RunFolder
from vlmbench.types import VlmbenchError

CELLS = (("prompted", "own", 0.6), ("prompted", "blank", 0.5), ("encoder", "own", 0.9))
READOUTS = {"prompted": Prompted(), "encoder": Encoder()}
ODD = (
    None, True, -1, 0, 7, 1.5, 1e999, 10**400, "", "x", "\x1b[2J", "../../x", "\ud800", [], {},
    [[]], "2", 0.25,
)  # fmt: skip


def finished(folder: Path) -> Path:
    """Write a run of one model on one task, with its records."""
    run, cells, held = RunFolder(folder), [], {}
    for number, (readout, label, accuracy) in enumerate(CELLS):
        rng = np.random.default_rng(number)
        gold = np.random.default_rng(9).integers(0, 2, 40)
        right = np.where(rng.random(40) < accuracy, gold, 1 - gold)
        scores = handmade.scored(np.log(0.1 + 0.8 * np.eye(2)[right]), gold)
        cells.append(handmade.write(run, handmade.basis("m", "t", readout, label), scores))
        held[Condition.parse(label), READOUTS[readout]] = scores
    rows = summarise(held, model="m", task="t", seed=0)
    run.ask({"folder": ".", "request": {}, "options": {}})
    about = handmade.manifest(
        {"t": handmade.task_record(n=40, of=40)}, {"m": handmade.model_record()},
        cells=tuple(cells),
    )  # fmt: skip
    run.finish(about, rows, {"results": {}})
    return folder


def told(run: Path, work: Path) -> dict[str, Any]:
    """Return what a folder's readers say, each its numbers or that it refuses."""

    def page() -> Any:
        leaderboard([run], work / "page")
        return json.loads((work / "page" / "rows.json").read_text())

    def card() -> Any:
        task = explain(RunFolder(run).read(), "m").tasks[0]
        return [task.verdict.name, task.verdict.seen, str(task.accuracies)]

    def again() -> Any:
        """What `vlmbench run` takes from records that are whole."""
        found = {}
        for readout, label, _ in CELLS:
            record = RunFolder(run).record(f"m/t/{readout}-{label}")
            about = record.check()
            if about.is_current(handmade.basis("m", "t", readout, label)):
                found[readout + label] = [record.scores().scores.tolist(), record.errors()]
        return found

    def request() -> Any:
        return sorted(RunFolder(run).asked())

    def each(reader: Callable[[], Any]) -> Any:
        try:
            return reader()
        except VlmbenchError as error:
            return "refused" if len(str(error)) < 20_000 else "a message too long"

    return {one.__name__: each(one) for one in (page, card, again, request)}


@dataclass(frozen=True)
class Damage:
    """One damaged file."""

    name: str
    how: str


def damage(run: Path, rng: random.Random) -> Damage:
    """Damage one file of a run."""
    files = sorted(path for path in run.rglob("*") if path.is_file() and path.name != ".lock")
    path = rng.choice(files)
    data = path.read_bytes()
    ways = {
        "cut": lambda: path.write_bytes(data[: rng.randrange(len(data))]),
        "flip": lambda: path.write_bytes(_flipped(data, rng)),
        "zeros": lambda: path.write_bytes(bytes(len(data))),
        "empty": lambda: path.write_bytes(b""),
        "gone": path.unlink,
        "folder": lambda: (path.unlink(), path.mkdir()),
        "fifo": lambda: (path.unlink(), os.mkfifo(path)),
        "loop": lambda: (path.unlink(), path.symlink_to(path)),
        "another's": lambda: (
            shutil.copyfile(rng.choice(files), path.with_suffix(".x"))
            and path.with_suffix(".x").replace(path)
        ),
    }
    if path.suffix == ".json":
        ways |= dict.fromkeys(("value", "key", "twice", "extra"), lambda: _swap(path, rng))
    how = rng.choice(sorted(ways))
    ways[how]()
    return Damage(str(path.relative_to(run)), how)


def _flipped(data: bytes, rng: random.Random) -> bytes:
    found = bytearray(data)
    found[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(found)


def _swap(path: Path, rng: random.Random) -> None:
    """Put something else in the place of some value of a JSON file, or some key of it away."""
    whole = json.loads(path.read_text())
    place: Any = whole
    while True:
        keys = list(range(len(place)) if isinstance(place, list) else place)
        if not keys:
            return
        key = rng.choice(keys)
        inner = place[key]
        if isinstance(inner, (list, dict)) and inner and rng.random() < 0.8:
            place = inner
            continue
        if rng.random() < 0.2:
            del place[key]
        else:
            place[key] = rng.choice(ODD)
        break
    path.write_text(json.dumps(whole))


def check(tmp_path: Path, count: int) -> Counter[str]:
    """Damage a run so many times; return how many were refused, whole or changed on purpose.

    What the manifest says of itself is not known from what it said before: whoever can change that
    can write a run of their own. What it says of numbers is.
    """
    whole = finished(tmp_path / "whole")
    (tmp_path / "work").mkdir()
    expected = told(whole, tmp_path / "work")
    assert "refused" not in expected.values()
    counts: Counter[str] = Counter()
    for seed in range(count):
        run = tmp_path / "run"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(whole, run)
        done = damage(run, random.Random(seed))
        outcome = guarded(lambda run=run: told(run, tmp_path / "work"), folder=tmp_path)
        assert outcome.fault is None, (seed, done, outcome.fault)
        for reader, found in outcome.value.items():
            counts["refused" if found == "refused" else "whole"] += 1
            own = done.name in ("manifest.json", "request.json") and reader in ("card", "request")
            if found not in ("refused", expected[reader]) and not own:
                missing = reader == "again" and set(found) < set(expected[reader])
                assert missing, (seed, done, reader)
    print(dict(counts))  # noqa: T201
    return counts


def test_damaged_run_folders_are_refused_or_whole(tmp_path: Path) -> None:
    counts = check(tmp_path, 50)
    assert counts["refused"] > 20
    assert counts["whole"] > 50


@pytest.mark.soak
def test_many_damaged_run_folders_are_refused_or_whole(tmp_path: Path) -> None:
    check(tmp_path, 2_000)
