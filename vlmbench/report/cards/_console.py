"""An explanation for the terminal, on 80 columns and without need of colour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from vlmbench.report._format import line_of
from vlmbench.report.cards._explanation import Explanation, TaskExplained


def on_console(explanation: Explanation) -> Group:
    """Return, task by task: the verdict and why, what was seen, what would have changed it."""
    name = line_of(explanation.about.alias or explanation.model)
    blocks: list[RenderableType] = []
    for task in explanation.tasks:
        blocks += _task(name, task)
    return Group(*blocks)


def _task(model: str, task: TaskExplained) -> Iterator[RenderableType]:
    said = task.verdict
    maybe = f" ({said.alternatives})" if said.between else ""
    yield Text.assemble((f"{model} on {task.task}: ", ""), (said.name, "bold"), (maybe, ""))
    yield Padding(Text(f"{said.reason}."), (0, 0, 1, 2))
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, collapse_padding=True)
    table.add_column("Test", width=14)
    table.add_column("Says", width=12)
    table.add_column("Why", overflow="fold")
    for place, outcome in enumerate(task.outcomes, start=1):
        name = Text(f"{place} {outcome.test.name}")
        table.add_row(name, Text(outcome.word, style="bold"), outcome.reason)
    yield table
    yield from _list("Where vision is lost", [found.says for found in task.findings])
    yield from _list("Seen", said.seen)
    yield from _list("What would have changed the verdict", said.would_change)


def _list(title: str, lines: Sequence[str]) -> Iterator[RenderableType]:
    if not lines:
        return
    yield Text(title, style="underline")
    bullets = Table.grid(padding=(0, 1))
    for line in lines:
        bullets.add_row(Text("-"), Text(line, overflow="fold"))
    yield Padding(bullets, (0, 0, 1, 2))
