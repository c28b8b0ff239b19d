"""Tables for any width: names stay whole, and what matters least is dropped first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.text import Text

from vlmbench.types import plain

GAP = 2
"""Blanks between columns."""

NAMES, PROSE = 12, 20
"""Cells that a column of names, or of prose, keeps at the least."""

_LONGEST = 1_000
"""Characters of a cell at the most."""

Row = Sequence[str | Text]
"""Cells of a line; a row of one cell is a heading across the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column.

    Attributes:
        head: Its title.
        right: Whether cells are flush right, as numbers are.
        wraps: Whether cells are prose, which may go on in the next line between two words. All
            others stand whole on one line.
        spare: When it is left out for lack of width: the highest first, and 0 never.
    """

    head: str
    right: bool = False
    wraps: bool = False
    spare: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A table that fits itself to the console.

    Prose is wrapped first; then columns are left out, which a line below says. Where even that
    is too little, all columns stay that can, and a name too long for the first one stands on a
    line of its own. Only a single word longer than the console is printed beyond its edge.

    Attributes:
        columns: The first holds the names of the rows.
        rows: Rows and headings in order.
    """

    columns: Sequence[Column]
    rows: Sequence[Row]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        kept, widths = self._fitted(options.max_width)
        columns = [self.columns[place] for place in kept]
        heads = [Text(column.head, style="bold") for column in columns]
        yield from _lines(console, heads, columns, widths)
        yield _whole("─" * (sum(widths) + GAP * (len(widths) - 1)), style="dim")
        for before, row in pairwise([(), *self.rows]):
            if len(row) > 1:
                yield from _lines(console, [_whole(row[i]) for i in kept], columns, widths)
                continue
            if before:
                yield Text()
            yield _whole(row[0])
        left_out = [column.head for place, column in enumerate(self.columns) if place not in kept]
        if left_out:
            note = Text(f"Not shown, because there is no room: {', '.join(left_out)}", style="dim")
            yield from note.wrap(console, options.max_width)

    def _fitted(self, width: int) -> tuple[list[int], list[int]]:
        """Return which columns are shown, and how wide each of them is."""
        natural, least = zip(*map(self._extent, range(len(self.columns))), strict=True)
        for first in (least[0], min(least[0], NAMES)):
            widths = dict(enumerate((first, *least[1:])))
            while (room := width - sum(widths.values()) - GAP * (len(widths) - 1)) < 0:
                spare = max(widths, key=lambda place: self.columns[place].spare)
                if not self.columns[spare].spare:
                    break
                del widths[spare]
            else:
                break
        # What room is left goes to those that want least, so that as many as can are not wrapped.
        wanted = sorted((natural[place] - widths[place], place) for place in widths)
        for position, (more, place) in enumerate(wanted):
            given = min(more, max(room, 0) // (len(wanted) - position))
            widths[place] += given
            room -= given
        return list(widths), list(widths.values())

    def _extent(self, place: int) -> tuple[int, int]:
        """Return how wide a column would be, and how wide it has to be."""
        column = self.columns[place]
        cells = [column.head, *(_whole(row[place]).plain for row in self.rows if len(row) > 1)]
        natural = max(map(cell_len, cells))
        if not column.wraps:
            return natural, natural
        return natural, max(min(natural, PROSE), *(cell_len(w) for c in cells for w in c.split()))


def _lines(
    console: Console, cells: Sequence[Text], columns: Sequence[Column], widths: Sequence[int]
) -> Iterator[Text]:
    """Yield the lines of a row."""
    name = cells[0]
    pieces = name.plain.split() if columns[0].wraps else [name.plain]
    if max(map(cell_len, pieces), default=0) > widths[0]:
        across = sum(widths) + GAP * (len(widths) - 1)
        yield from name.wrap(console, across, no_wrap=not columns[0].wraps)
        cells = [Text(), *cells[1:]]
    parts = [
        list(cell.wrap(console, width, no_wrap=False)) if column.wraps else [cell]
        for cell, column, width in zip(cells, columns, widths, strict=True)
    ]
    for number in range(max(map(len, parts))):
        line = _whole("")
        for part, column, width in zip(parts, columns, widths, strict=True):
            cell = part[number] if number < len(part) else Text()
            blanks = " " * (width - cell.cell_len)
            line.append_text(Text.assemble(*((blanks, cell) if column.right else (cell, blanks))))
            line.append(" " * GAP)
        line.rstrip()
        yield line


def _whole(text: str | Text, style: str = "") -> Text:
    """Return a text that is never broken: a name that breaks lines must not look like a row."""
    line = Text(text, style=style) if isinstance(text, str) else text.copy()
    line.plain = plain(" ".join(line.plain.splitlines()).replace("\t", " "), longest=_LONGEST)
    line.overflow, line.no_wrap = "ignore", True
    return line
