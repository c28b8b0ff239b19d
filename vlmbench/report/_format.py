"""How numbers and names are written in tables."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from tabulate import tabulate

from vlmbench.metrics import StatRow

MISSING = "–"
"""What stands where there is no number."""

_MARKDOWN = re.compile(r"([\\|<>*`\[\]])")


def rate(value: float | None) -> str:
    """Write a number of at most 1 with three decimals and no leading zero: `.523`."""
    if value is None or math.isnan(value):
        return MISSING
    text = f"{value:.3f}"
    if text == "-0.000":
        text = "0.000"
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def signed(value: float) -> str:
    """Write a difference with its sign: `+.357`, `-.021`, `.000`."""
    text = rate(value)
    return text if text in (MISSING, ".000") or text.startswith("-") else f"+{text}"


def p_value(value: float) -> str:
    """Write a p-value; what would round to 0 is `<.001`."""
    return "<.001" if value < 0.001 else rate(value)


def number(row: StatRow | None, *, sign: bool = False, bold: bool = False, mark: str = "") -> str:
    """Write a stat's value, its marks and, if it has one, its interval: `.523† [.466, .579]`."""
    if row is None or math.isnan(row.value):
        return MISSING
    write = signed if sign else rate
    value = f"**{write(row.value)}**" if bold else write(row.value)
    if math.isnan(row.low) or math.isnan(row.high):
        return f"{value}{mark}"
    return f"{value}{mark} [{write(row.low)}, {write(row.high)}]"


def significant(gap: StatRow | None, p: StatRow | None) -> bool:
    """Return whether a gap's interval excludes 0 and McNemar's p is below .05.

    Both, because the bootstrap interval of a handful of documents can have no width at all.
    """
    return (
        gap is not None and p is not None and p.value < 0.05 and (gap.low > 0.0 or gap.high < 0.0)
    )


def escape(text: str) -> str:
    """Return text that markdown shows as it is, on one line."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def markdown_table(head: Sequence[str], lines: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Return a GitHub table; the first `left` columns are flush left, the others right."""
    aligned = ["left" if place < left else "right" for place in range(len(head))]
    return tabulate(lines, head, tablefmt="pipe", colalign=aligned, disable_numparse=True)
