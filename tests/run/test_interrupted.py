"""A run that is killed anywhere goes on where it was, and ends in the same bytes."""

from __future__ import annotations

import subprocess
import time

import numpy as np
import pytest
from interrupted import Attempts, check, make_home

KILLS = 50


@pytest.fixture(scope="module")
def home(tmp_path_factory, llava_folder):
    return make_home(tmp_path_factory.mktemp("home"), llava_folder)


@pytest.fixture(scope="module")
def whole(home):
    """A run that is let end."""
    attempts = Attempts(home, home.folder / "whole")
    attempts.end()
    return attempts


def test_kills_cost_no_more_than_the_batch_in_flight(home, whole, tmp_path):
    attempts = Attempts(home, tmp_path / "run")
    assert whole.batches() == 25
    for batches in (3, 9):
        assert not attempts.kill_at(batches)
    check(attempts, whole)


def test_ctrl_c_ends_at_once_and_says_how_to_go_on(home, whole, tmp_path):
    attempts = Attempts(home, tmp_path / "run")
    process = attempts.started(8, hold=8)
    assert attempts.interrupt(process) < 10  # 0.1 s on an idle machine
    assert process.exitcode == 130
    told = f"Stopped. What is finished is kept; go on with: vlmbench retry {attempts.output}"
    assert told in attempts.said()
    assert "Traceback" not in attempts.said()
    check(attempts, whole, "retry", attempts.output)


def test_a_file_that_cannot_grow_ends_the_run_and_loses_nothing(home, whole, tmp_path):
    attempts = Attempts(home, tmp_path / "run")
    process = attempts.start(most=12_000)
    process.join()
    assert process.exitcode == 1
    said = " ".join(attempts.said().split())
    assert f"{attempts.output}/records/random/mine/" in said
    assert "cannot be written: File too large" in said
    assert "Traceback" not in said
    attempts.kills += 1
    check(attempts, whole)


@pytest.mark.soak
def test_ctrl_c_ends_all_workers(home, whole, tmp_path):
    attempts = Attempts(home, tmp_path / "run", "random,other", ("--workers", 2))
    process = attempts.start()
    while not list(attempts.output.rglob("*.journal")):
        assert process.is_alive()
    seconds = attempts.interrupt(process)
    assert process.exitcode == 130
    assert "Traceback" not in attempts.said()
    before = attempts.files()
    time.sleep(3 * seconds)
    assert attempts.files() == before  # no process works on
    assert seconds < 2
    attempts.end()


@pytest.mark.soak
def test_a_full_or_read_only_disk_loses_nothing(home, whole, tmp_path):
    disk = tmp_path  # as deep as `whole` lies, from where a request names its folder
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", disk]).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        attempts = Attempts(home, disk / "run")
        for options, message in (("size=32k", "No space left"), ("ro", "Read-only file system")):
            subprocess.run(["mount", "-o", f"remount,{options}", disk], check=True)
            process = attempts.start()
            process.join()
            assert process.exitcode == 1
            said = " ".join(attempts.said().split())
            assert f"cannot be written: {message}" in said
            assert "Traceback" not in said
            attempts.kills += 1
        subprocess.run(["mount", "-o", "remount,rw,size=64m", disk], check=True)
        check(attempts, whole)
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.soak
def test_many_random_kills_lose_nothing(home, whole, tmp_path):
    """Half of them at a random time, half of them at a random batch."""
    rng = np.random.default_rng(7)
    seconds = Attempts(home, tmp_path / "again").end()
    kills = folders = 0
    while kills < KILLS:
        attempts, ended = Attempts(home, tmp_path / f"run{folders}"), False
        while not ended and attempts.kills < 10:
            if rng.random() < 0.5:
                ended = attempts.kill_after(float(rng.uniform(0.1, seconds)))
            else:
                ended = attempts.kill_at(int(rng.integers(1, 15)))
        check(attempts, whole)
        kills, folders = kills + attempts.kills, folders + 1
        lost = attempts.batches() - whole.batches()
        print(f"folder {folders}: {attempts.kills} kills, {lost} batches lost")  # noqa: T201
