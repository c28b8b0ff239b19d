"""How far a command is: bars on a terminal, lines or JSON in a log, or nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from vlmbench.cli._printing import PlainConsole

if TYPE_CHECKING:
    from vlmbench.run import Reporter

_EVERY = 10.0
"""Seconds between two lines of JSON about one step."""


class _Rate(ProgressColumn):
    """Documents a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(_per_second(speed) if speed else "", style="progress.data.speed")


class Overall:
    """How many of the answers that are expected have come, and how long the rest would take."""

    def __init__(self) -> None:
        self.done = self.expected = 0
        self._began = time.perf_counter()

    def expect(self, answers: int) -> None:
        """Count on more answers; fewer where negative."""
        if not self.expected:
            self._began = time.perf_counter()
        self.expected += answers

    def advance(self, done: int) -> None:
        """Note that answers have come, if any are expected: checking data is not one."""
        if self.expected:
            self.done += done

    @property
    def left(self) -> float | None:
        """Seconds that the rest takes at the rate so far; None where nothing can be said."""
        if not 0 < self.done < self.expected:
            return None
        rate = self.done / (time.perf_counter() - self._began)
        return (self.expected - self.done) / rate

    def __str__(self) -> str:
        left = "" if self.left is None else f", {timedelta(seconds=round(self.left))} left"
        return f"{self.done} of {self.expected}{left}" if self.expected else ""


class Bars:
    """Shows each step under way as a bar, below one of all; what is done becomes a line above."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._all: TaskID | None = None
        self._lines = Lines(lambda line: progress.console.print(line, soft_wrap=True), in_all=False)

    def start(self, label: str, total: int) -> Callable[[int], None]:
        """Show a bar and return what advances it."""
        told = self._lines.start(label, total)
        if total == 0:
            return told
        bar = self._progress.add_task(label, total=total)
        done = 0

        def advance(more: int) -> None:
            nonlocal done
            done += more
            self._progress.advance(bar, more)
            if self._all is not None:
                self._progress.advance(self._all, more)
            if done >= total > done - more:
                self._progress.remove_task(bar)
            told(more)

        return advance

    def expect(self, answers: int) -> None:
        """Show how far everything is."""
        if self._all is None:
            self._all = self._progress.add_task("in all", total=0)
        before = next(task.total for task in self._progress.tasks if task.id == self._all)
        self._progress.update(self._all, total=(before or 0) + answers)


class Lines:
    """Writes a line for every step that is done, with its rate and how far everything is."""

    def __init__(self, write: Callable[[str], None], *, in_all: bool = True) -> None:
        self._write = write
        self._overall = Overall() if in_all else None

    def start(self, label: str, total: int) -> Callable[[int], None]:
        """Begin a step and return what advances it."""
        began, done = time.perf_counter(), 0
        if total == 0:
            self._write(label)

        def advance(more: int) -> None:
            nonlocal done
            done += more
            if self._overall is not None:
                self._overall.advance(more)
            if done >= total > done - more:
                seconds = time.perf_counter() - began
                rate = _per_second(total / seconds)
                far = f"  [{self._overall}]" if self._overall and self._overall.expected else ""
                self._write(f"{label}  {total} in {seconds:.1f} s, {rate}{far}")

        return advance

    def expect(self, answers: int) -> None:
        """Count on more answers."""
        if self._overall is not None:
            self._overall.expect(answers)


class JsonLines:
    """Writes a JSON object on a line when a step begins, every ten seconds, and when it is done."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._overall = Overall()

    def start(self, label: str, total: int) -> Callable[[int], None]:
        """Begin a step and return what advances it."""
        began = told = time.perf_counter()
        done = 0
        self._tell("said" if total == 0 else "begun", label, 0, total, 0.0)

        def advance(more: int) -> None:
            nonlocal done, told
            done, now = done + more, time.perf_counter()
            self._overall.advance(more)
            ended = done >= total > done - more
            if ended or (total and now - told >= _EVERY):
                told = now
                self._tell("done" if ended else "running", label, done, total, now - began)

        return advance

    def expect(self, answers: int) -> None:
        """Count on more answers."""
        self._overall.expect(answers)

    def _tell(self, event: str, label: str, done: int, total: int, seconds: float) -> None:
        left = self._overall.left
        told = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "event": event,
            "step": label,
            "done": done,
            "total": total,
            "seconds": round(seconds, 3),
            "all_done": self._overall.done,
            "all_total": self._overall.expected,
            "seconds_left": None if left is None else round(left, 1),
        }
        self._write(json.dumps(told))


class Nothing:
    """Shows no progress."""

    def start(self, label: str, total: int) -> Callable[[int], None]:
        """Return what shows nothing."""
        del label, total
        return lambda _: None

    def expect(self, answers: int) -> None:
        """Show nothing."""
        del answers


@contextmanager
def reporting(*, quiet: bool = False, log_json: bool = False) -> Iterator[Reporter]:
    """Show on stderr how far each step is: by bars if it is a terminal, else line by line.

    Args:
        quiet: Show nothing, unless JSON is asked for.
        log_json: Write lines of JSON, also on a terminal.
    """
    console = PlainConsole(stderr=True)

    def write(line: str) -> None:
        console.print(line, soft_wrap=True)

    if log_json or quiet or not console.is_terminal:
        yield JsonLines(write) if log_json else Nothing() if quiet else Lines(write)
        return
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
        speed_estimate_period=600,  # cells differ in speed, and what is left is of all kinds
    ) as progress:
        yield Bars(progress)


def _per_second(rate: float) -> str:
    return f"{rate:.0f}/s" if rate >= 10 else f"{rate:.2g}/s"
