"""How names, emphasis and tables are written; numbers are `vlmbench.metrics`' to write."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tabulate import tabulate

from vlmbench.metrics import StatRow, rate
from vlmbench.store import FailedCell

_MARKDOWN = re.compile(r"([\\|<>*`\[\]])")


def significant(gap: StatRow | None, p: StatRow | None) -> bool:
    """Return whether a gap is shown bold: its interval excludes 0 and McNemar's p is below .05.

    Both, because the bootstrap interval of a handful of documents can have no width at all. A gap
    that is written as .000 is never bold.
    """
    return (
        gap is not None
        and p is not None
        and p.value < 0.05
        and (gap.low > 0.0 or gap.high < 0.0)
        and rate(gap.value) != ".000"
    )


def reasons(failed: Iterable[FailedCell], row: StatRow) -> str:
    """Return why documents of a cell failed, as the end of a sentence; empty if that is unknown."""
    place = (row.model, row.task, row.condition, row.readout)
    told = [
        f"{reason} ({count})"
        for cell in failed
        if (cell.model, cell.task, cell.condition, cell.readout) == place
        for reason, count in cell.reasons.items()
    ]
    return f": {'; '.join(dict.fromkeys(told))}" if told else ""


def escape(text: str) -> str:
    """Return text that markdown shows as it is, on one line."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def markdown_table(head: Sequence[str], lines: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Return a GitHub table; the first `left` columns are flush left, the others right."""
    aligned = ["left" if place < left else "right" for place in range(len(head))]
    return tabulate(lines, head, tablefmt="pipe", colalign=aligned, disable_numparse=True)
