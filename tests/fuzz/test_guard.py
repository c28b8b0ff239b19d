"""The guard fires for everything it is there for, and for nothing else."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from guard import guarded

from vlmbench.types import Problem, VlmbenchError


def _refuse(text: str) -> None:
    raise VlmbenchError(Problem(file="a.yaml", message=text))


def _complain(text: str) -> None:
    sys.stderr.write(text)
    sys.exit(1)


def _hang() -> None:
    while True:
        time.sleep(0.01)


def _connect() -> None:
    with socket.socket() as client:
        client.connect_ex(("127.0.0.1", 9))


MISDEEDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "writes": (lambda out: (out / "x").write_text("x"), "writes"),
    "removes": (lambda out: (out / "secret").unlink(), "changes"),
    "renames into": (lambda out: (out / "secret").rename(out / "other"), "changes"),
    "reads": (lambda out: (out / "secret").read_text(), "reads"),
    "follows a link": (lambda out: (out.parent / "own/link").read_text(), "reads"),
    "talks": (lambda out: _connect(), "talks to '127.0.0.1'"),
    "resolves a name": (lambda out: socket.getaddrinfo("localhost", 80), "talks to 'localhost'"),
    "starts": (lambda out: subprocess.run(["true"], check=True), "starts a process"),
    "traceback": (lambda out: 1 / 0, "ZeroDivisionError"),
    "memory": (lambda out: bytes(400 << 20), "MemoryError"),
    "hang": (lambda out: _hang(), "hangs"),
    "dies": (lambda out: os.abort(), "SIGABRT"),
    "long message": (lambda out: _complain("x" * 30_000), "30000 characters"),
}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    own, outside = tmp_path / "own", tmp_path / "outside"
    own.mkdir()
    outside.mkdir()
    (outside / "secret").write_text("s")
    (own / "link").symlink_to(outside / "secret")
    return own, outside


@pytest.mark.parametrize("name", MISDEEDS)
def test_it_fires(name: str, folders: tuple[Path, Path]) -> None:
    own, outside = folders
    call, says = MISDEEDS[name]
    outcome = guarded(lambda: call(outside), folder=own, seconds=1.0, memory=200 << 20)
    assert outcome.fault is not None
    assert says in outcome.fault


def test_it_lets_pass_what_is_allowed(folders: tuple[Path, Path]) -> None:
    own, _ = folders

    def call() -> str:
        (own / "x").write_text("x")
        (own / "x").rename(own / "y")
        (own / "tree" / "a").mkdir(parents=True)
        (own / "tree" / "a" / "b").write_text("x")
        shutil.rmtree(own / "tree")
        return (own / "y").read_text()

    outcome = guarded(call, folder=own)
    assert (outcome.value, outcome.fault) == ("x", None)
    assert (own / "y").exists()


def test_a_clean_refusal_is_no_fault(folders: tuple[Path, Path]) -> None:
    own, _ = folders
    outcome = guarded(lambda: _refuse("no"), folder=own)
    assert outcome.fault is None
    assert outcome.refused is not None
    assert "no" in outcome.refused


def test_it_measures_memory(folders: tuple[Path, Path]) -> None:
    own, _ = folders
    outcome = guarded(lambda: len(bytearray(b"x" * (100 << 20))), folder=own)
    assert outcome.value == 100 << 20
    assert 90 << 20 < outcome.memory < 300 << 20
