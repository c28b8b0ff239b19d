"""Gaps as bars: for each row, where chance, VQA and encoder lie between 0 and 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group
from rich.text import Text

from vlmbench.metrics import ENCODER, GAP, PROMPTED, StatRow, number
from vlmbench.report._format import adjusted_gap_p, failed_cells, failure_mark, significant
from vlmbench.report._layout import Column, Layout, Row

STEPS = 40
"""Steps between 0 and 1; a mark is at most half of one, .0125, from its value."""

CHANCE, VQA, READ, BOTH = "┊○●◉"
_SCALE = "".join(f"{tick:<{STEPS // 4}}" for tick in ("0", ".25", ".5", ".75")) + "1"
_COLUMNS = (Column(head="Task"), Column(head=_SCALE), Column(head="Gap", right=True))
_LEGEND = f"{CHANCE} chance   {VQA} VQA   {READ} encoder   {BOTH} both"


def gaps_terminal(
    rows: Sequence[StatRow], *, aliases: Mapping[str, str] | None = None
) -> Group | None:
    """Return a bar per model and task that has a gap, with a part per model.

    Args:
        rows: Rows of a run.
        aliases: Names to show instead of a model's or task's own.

    Returns:
        The bars and what their marks mean; None where the run has no gap.
    """
    names, adjusted, failed = aliases or {}, adjusted_gap_p(rows), failed_cells(rows)
    found = {row.key: row for row in rows}
    lines: list[Row] = []
    models = dict.fromkeys(row.model for row in rows)
    for model in models:
        gaps = [r for r in rows if r.key == (model, r.task, "own", GAP, "gap")]
        lines += [[Text(names.get(model, model), style="bold")]] if gaps else []
        for gap in gaps:
            own = (model, gap.task, "own")
            vqa, read = (found[*own, readout, "accuracy"] for readout in (PROMPTED, ENCODER))
            chance = found.get((*own, PROMPTED, "chance"))
            bold = significant(gap, adjusted.get((model, gap.task, "")))
            written = number(gap, sign=True, interval=False, mark=failure_mark(gap, failed))
            lines.append(
                [
                    f"  {names.get(gap.task, gap.task)}",
                    bar(vqa.value, read.value, None if chance is None else chance.value),
                    Text(written, style="bold" if bold else ""),
                ]
            )
    return Group("", Layout(columns=_COLUMNS, rows=lines), Text(_LEGEND, "dim")) if lines else None


def bar(vqa: float, read: float, chance: float | None) -> Text:
    """Return a line of 0 to 1 with marks at three shares, and what lies between two of them.

    The marks of answers stand before that of chance where they share a place.
    """
    cells = ["─"] * (STEPS + 1)
    first, last = sorted(round(share * STEPS) for share in (vqa, read))
    cells[first : last + 1] = ["━"] * (last + 1 - first)
    if chance is not None:
        cells[round(chance * STEPS)] = CHANCE
    cells[round(vqa * STEPS)], cells[round(read * STEPS)] = VQA, READ
    if first == last:
        cells[first] = BOTH
    line = Text("".join(cells), style="dim")
    line.stylize("not dim cyan" if read >= vqa else "not dim yellow", first, last + 1)
    return line
