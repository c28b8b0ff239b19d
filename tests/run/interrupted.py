"""Runs in processes of their own that are killed, and how many batches they took."""

from __future__ import annotations

import itertools
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from home import Home

# Forked from a process that has imported everything, children start to work at once.
CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(["interrupted", "vlmbench.run", "vlmbench.report", "transformers"])
DOCUMENTS = 24
CELLS = ("prompted", "encoder", "internals", "hidden")


def make_home(folder: Path, checkpoint: Path) -> Home:
    """Return a folder with a model, a task on pairs of images, and a study of every readout."""
    home = Home(folder)
    home.pairs("mine", DOCUMENTS)
    twin = {"layer": -2, "relation": "identical", "pooled": "cls"}
    for name in ("random", "other"):
        home.model(name, checkpoint, twin=twin)
    blank = {"readout": "prompted", "condition": "blank"}
    home.study("all", *({"readout": name} for name in CELLS), blank)
    return home


def _go(arguments: list[str], log: str, most: int | None, hold: int | None) -> None:
    """Run a command, and write a line to a file for every batch that a model is given."""
    begun = itertools.count(1)
    from vlmbench.cli import main
    from vlmbench.readouts import _encoder, _prompted

    os.setpgrp()  # what a terminal tells goes to all processes of the run
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def counted(in_batches: Callable[..., Any]) -> Callable[..., Any]:
        def loop(items: Any, run: Callable[..., Any], **more: Any) -> Any:
            def count(batch: Sequence[Any]) -> Any:
                os.write(out, f"{len(batch)}\n".encode())
                if next(begun) == hold:
                    time.sleep(60)
                return run(batch)

            return in_batches(items, count, **more)

        return loop

    for module in (_prompted, _encoder):
        module.in_batches = counted(module.in_batches)
    for number in (1, 2):
        os.dup2(os.open(f"{log}.said", os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    sys.argv = ["vlmbench", *arguments]
    if most is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    main()


@dataclass(slots=True)
class Attempts:
    """One folder's runs, which are killed until one is let end.

    Attributes:
        home: Where the task and the model are.
        output: Folder of the run.
        models: Their names.
        more: Options.
        kills: How many were killed so far.
    """

    home: Home
    output: Path
    models: str = "random"
    more: tuple[object, ...] = ()
    kills: int = field(default=0, init=False)

    def start(
        self, *command: object, most: int | None = None, hold: int | None = None
    ) -> BaseProcess:
        """Start a command, by default the run.

        Args:
            command: The command.
            most: Bytes beyond which no file can grow.
            hold: In which batch it stands still for a minute.
        """
        run = (
            "run", "--models", self.models, "--tasks", "mine", "--study", "all", "--include-path",
            self.home.folder, "--output", self.output, "--device", "cpu", "--batch-size", 4,
            *self.more,
        )  # fmt: skip
        arguments = [str(word) for word in command or run]
        process = CONTEXT.Process(target=_go, args=(arguments, str(self.log), most, hold))
        process.start()
        return process

    def end(self, *command: object) -> float:
        """Let a command end, by default the run; return how many seconds it took."""
        began = time.monotonic()
        process = self.start(*command)
        process.join()
        assert process.exitcode == 0, self.said()
        return time.monotonic() - began

    def kill_after(self, seconds: float) -> bool:
        """Kill a run after some seconds; return whether it had ended before."""
        process = self.start()
        process.join(seconds)
        return self._kill(process)

    def kill_at(self, batches: int) -> bool:
        """Kill a run in or soon after its n-th batch; return whether it had ended before."""
        return self._kill(self.started(batches))

    def started(self, batches: int, *command: object, hold: int | None = None) -> BaseProcess:
        """Start a command and return when it has begun so many batches, or ended."""
        before = self.batches()
        process = self.start(*command, hold=hold)
        while process.is_alive() and self.batches() < before + batches:
            time.sleep(0.002)
        return process

    def interrupt(self, process: BaseProcess) -> float:
        """Press Ctrl-C and return after how many seconds the command ended."""
        began = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        process.join()
        self.kills += 1
        return time.monotonic() - began

    def _kill(self, process: BaseProcess) -> bool:
        ended = process.exitcode is not None
        process.kill()
        process.join()
        assert not ended or process.exitcode == 0, self.said()
        self.kills += not ended
        return ended

    @property
    def log(self) -> Path:
        """Where batches are counted."""
        name = str(self.output).replace("/", "-")
        return self.home.folder / f"{name}.batches"

    def said(self) -> str:
        """Return what all runs have printed."""
        return self.log.with_name(self.log.name + ".said").read_text()

    def batches(self) -> int:
        """Return how many batches all runs have begun."""
        return self.log.read_text().count("\n") if self.log.exists() else 0

    def files(self) -> dict[str, bytes]:
        """Return the content of every file of the run by its name."""
        return {
            str(path.relative_to(self.output)): path.read_bytes()
            for path in sorted(self.output.rglob("*"))
            if path.is_file()
        }


def check(attempts: Attempts, whole: Attempts, *command: object) -> None:
    """Let a run end that was killed: it must leave what one leaves that was not.

    And models must have been given no more batches, but for the one that each kill cut off.
    """
    attempts.end(*command)
    assert attempts.files() == whole.files()
    assert whole.batches() <= attempts.batches() <= whole.batches() + attempts.kills
