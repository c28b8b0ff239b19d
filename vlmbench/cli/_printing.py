"""What commands print: lines to copy, prose, tables and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from vlmbench.report import Column, Layout
from vlmbench.types import plain


class PlainConsole(Console):
    """A console on which no text acts or hides, whoever wrote it."""

    def __init__(self, *, stderr: bool = False, soft_wrap: bool = False) -> None:
        super().__init__(
            stderr=stderr, soft_wrap=soft_wrap, highlight=False, markup=False, emoji=False
        )

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Return what is shown, with text spelt out as `plain` does."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=plain(segment.text))


def say(line: str, *, style: str = "") -> None:
    """Print a line without breaking it, so that paths and commands in it can be copied."""
    PlainConsole(soft_wrap=True).print(line, style=style)


def warn(line: str) -> None:
    """Print a line on stderr."""
    PlainConsole(stderr=True, soft_wrap=True).print(line)


def display(what: RenderableType, *, style: str = "") -> None:
    """Print prose, broken between words, or a table."""
    PlainConsole().print(what, style=style, crop=False)


def say_json(rows: object) -> None:
    """Print JSON."""
    print(json.dumps(rows, indent=1))  # noqa: T201


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> Layout:
    """Return rows as a table, without columns in which no row has anything.

    Args:
        rows: Values by the head of their column.
        columns: In order; the first holds the names of the rows.
    """
    first, *others = columns
    used = [column for column in others if any(_shown(row[column.head]) for row in rows)]
    return Layout(
        columns=(first, *used),
        rows=[[_shown(row[column.head]) for column in (first, *used)] for row in rows],
    )


def _shown(value: object) -> str:
    match value:
        case None | False:
            return ""
        case True:
            return "yes"
        case list():
            return ", ".join(map(str, value))
        case _:
            return str(value)
