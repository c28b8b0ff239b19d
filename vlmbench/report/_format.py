"""How names, emphasis and tables are written; numbers are `vlmbench.metrics`' to write."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
from tabulate import tabulate

from vlmbench.metrics import GAP, PROMPTED, StatRow, clear_of_zero, holm, rate
from vlmbench.store import FailedCell
from vlmbench.types import one_line

# What acts anywhere; `_` does at the ends of words, and some only where a block begins.
_ACTING = re.compile(r"[\\|<>&*`\[\]#~$]|(?<![^\W_])_|_(?![^\W_])|^[-+=](?![.\d])")
_NUMBERED = re.compile(r"^(\d+)([.)])(?= |$)")
_LONGEST = 1_000
"""Characters of a stranger's text that stand in one place of a page at the most."""


Tests = Mapping[tuple[str, str, str], float]
"""p-values of gap tests by model, task, and `_answered` where unread answers are left out, or
nothing."""


def gap_p(rows: Collection[StatRow]) -> Tests:
    """Return the p-value of every gap test among the rows.

    McNemar's, or where documents share something that of flipped signs. Where every document was
    answered there is no second test without the unread ones.
    """
    tests = {
        (row.model, row.task, _PS[row.metric]): row.value
        for row in rows
        if row.readout == GAP and row.metric in _PS and not math.isnan(row.value)
    }
    whole = _all_answered(rows)
    return {key: p for key, p in tests.items() if not (key[2] and key[:2] in whole)}


def _all_answered(rows: Iterable[StatRow]) -> set[tuple[str, str]]:
    """Return models and tasks of which both sides of the gap answered every document."""
    return {
        (row.model, row.task)
        for row in rows
        if row.readout == GAP and row.metric == "gap_answered" and row.coverage == 1
    }


_PS = {f"{test}_p{ending}": ending for test in ("mcnemar", "flip") for ending in ("", "_answered")}


def adjusted_gap_p(rows: Iterable[StatRow]) -> Tests:
    """Return Holm's p-value of every gap test among the rows, which are those of one page."""
    rows = list(rows)
    tests = gap_p(rows)
    found = dict(zip(tests, holm(np.array(list(tests.values()))).tolist(), strict=True))
    same = {
        (*key, "_answered"): found[*key, ""] for key in _all_answered(rows) if (*key, "") in found
    }
    return found | same


def significant(gap: StatRow | None, adjusted: float | None) -> bool:
    """Return whether a gap is shown bold: its interval excludes 0 and Holm's p is below .05.

    A gap, or an end of its interval, that is written as .000 counts as 0.
    """
    return (
        gap is not None
        and adjusted is not None
        and adjusted < 0.05
        and clear_of_zero(gap)
        and rate(gap.value) != ".000"
    )


FAILED = "§"
"""On any number: some of its documents failed and are left out."""

Cells = Collection[tuple[str, str, str, str]]
"""Cells by model, task, condition and readout."""


def failed_cells(rows: Iterable[StatRow]) -> Cells:
    """Return the cells among the rows in which documents failed."""
    return {row.key[:4] for row in rows if row.metric == "failed" and row.value > 0}


def failure_mark(row: StatRow | None, failed: Cells) -> str:
    """Return the mark of a number, if documents of a cell failed that it comes from."""
    if row is None:
        return ""
    direct = row.readout.removesuffix(f"-{PROMPTED}")
    readouts = [direct, PROMPTED] if direct != row.readout else row.readout.split("|")
    cells = itertools.product([row.model], [row.task], row.condition.split("|"), readouts)
    return FAILED if any(cell in failed for cell in cells) else ""


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


def line_of(text: str) -> str:
    """Return text on one line, in which nothing acts on a terminal or hides; a long one is cut."""
    return one_line(text, longest=_LONGEST)


def escape(text: str) -> str:
    """Return text that markdown shows as it is, on one line, in a table's cell too."""
    return _NUMBERED.sub(r"\1\\\2", _ACTING.sub(r"\\\g<0>", line_of(text)))


def code(text: str) -> str:
    """Return text as inline code, in a table's cell too; as it is where that cannot hold it."""
    line = line_of(text)
    return f"`{line}`" if re.fullmatch(r"[^`|]+", line) else escape(text)


def markdown_table(head: Sequence[str], lines: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Return a GitHub table; the first `left` columns are flush left, the others right."""
    aligned = ["left" if place < left else "right" for place in range(len(head))]
    return tabulate(lines, head, tablefmt="pipe", colalign=aligned, disable_numparse=True)
