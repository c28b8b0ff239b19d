"""How far a command is: bars on a terminal, lines in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from vlmbench.cli._printing import PlainConsole


class _Rate(ProgressColumn):
    """Documents a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(_per_second(speed) if speed else "", style="progress.data.speed")


class Bars:
    """Shows every step as a bar, with its rate and the time left."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def start(self, label: str, total: int) -> Callable[[int], None]:
        """Show a bar and return what advances it."""
        bar = self._progress.add_task(label, total=total)
        return lambda done: self._progress.advance(bar, done)


class Lines:
    """Writes a line for every step that is done, with its rate."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def start(self, label: str, total: int) -> Callable[[int], None]:
        """Begin a step and return what advances it."""
        began, done = time.perf_counter(), 0
        if total == 0:
            self._write(label)

        def advance(more: int) -> None:
            nonlocal done
            done += more
            if done >= total > done - more:
                seconds = time.perf_counter() - began
                rate = _per_second(total / seconds)
                self._write(f"{label}  {total} in {seconds:.1f} s, {rate}")

        return advance


@contextmanager
def reporting() -> Iterator[Bars | Lines]:
    """Show on stderr how far each step is: by bars if it is a terminal, else line by line."""
    console = PlainConsole(stderr=True)
    if not console.is_terminal:
        yield Lines(lambda line: console.print(line, soft_wrap=True))
        return
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
    ) as progress:
        yield Bars(progress)


def _per_second(rate: float) -> str:
    return f"{rate:.0f}/s" if rate >= 10 else f"{rate:.2g}/s"
