"""What commands print: lines to copy, prose, tables and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, RenderableType

from vlmbench.report import Column, Layout
from vlmbench.types import plain


def say(line: str, *, style: str = "") -> None:
    """Print a line without breaking it, so that paths and commands in it can be copied."""
    Console(highlight=False, markup=False, soft_wrap=True).print(plain(line), style=style)


def warn(line: str) -> None:
    """Print a line on stderr."""
    Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(plain(line))


def display(what: RenderableType, *, style: str = "") -> None:
    """Print prose, broken between words, or a table."""
    Console(highlight=False, markup=False).print(what, style=style, crop=False)


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
