"""The table that a run ends with, on 100 columns and without need of colour."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich import box
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from vlmbench.metrics import ENCODER, MISSING, PROMPTED, RULE, StatRow, number, p_value, rate
from vlmbench.report._format import significant

_Rows = Mapping[tuple[str, str, str], StatRow]  # by (condition, readout, metric)

_COLUMNS = (PROMPTED, ENCODER)


def terminal(rows: Sequence[StatRow], *, aliases: Mapping[str, str] | None = None) -> Table:
    """Return a table with a line per task and a part per model, in the order of `rows`.

    Args:
        rows: Rows of a run.
        aliases: Names to show instead of a model's or task's own.
    """
    names = aliases or {}
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), collapse_padding=True, pad_edge=False)
    table.add_column("Task", overflow="fold", min_width=12)
    for head in ("n", "Chance", "Blind", "VQA", "Encoder"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("Gap [95% interval]", justify="right", no_wrap=True)
    table.add_column("p", justify="right", no_wrap=True)
    table.add_column("Abst.", justify="right", no_wrap=True)
    models = dict.fromkeys(row.model for row in rows if row.readout != RULE)
    for model in models:
        mine = [row for row in rows if row.model == model]
        table.add_row(Text(names.get(model, model), style="bold"))
        for task in dict.fromkeys(row.task for row in mine):
            table.add_row(*_line(names.get(task, task), [r for r in mine if r.task == task]))
        table.add_section()
    notes = list(_notes(rows, names))
    if notes:
        table.caption = "\n".join(notes)
        table.caption_justify = "left"
    return table


def rules_terminal(
    rows: Sequence[StatRow], *, aliases: Mapping[str, str] | None = None
) -> Table | None:
    """Return a table of the cheap rules with a part per task, the best rule first.

    Args:
        rows: Rows of a run.
        aliases: Names to show instead of a model's or task's own.

    Returns:
        The table; None where the run has no rule.
    """
    names = aliases or {}
    mine = [row for row in rows if row.readout == RULE]
    if not mine:
        return None
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), collapse_padding=True, pad_edge=False)
    table.add_column("Cheap rule", overflow="fold", min_width=12)
    for head in ("n", "Chance", "Accuracy [95% interval]"):
        table.add_column(head, justify="right", no_wrap=True)
    for task in dict.fromkeys(row.task for row in mine):
        found = [row for row in mine if (row.task, row.metric) == (task, "accuracy")]
        chance = next(row for row in mine if (row.task, row.metric) == (task, "chance"))
        table.add_row(Text(names.get(task, task), style="bold"), "", rate(chance.value), "")
        for row in sorted(found, key=lambda row: (-row.value, row.model)):
            label = f"  {names.get(row.model, row.model)}"
            if row.condition != "own":
                label += f", {row.condition}"
            table.add_row(Text(label), str(row.n), "", number(row))
        table.add_section()
    return table


def _line(name: str, rows: Iterable[StatRow]) -> list[Text]:
    found: _Rows = {(row.condition, row.readout, row.metric): row for row in rows}
    asked = found.get(("own", PROMPTED, "accuracy")) or _answered_elsewhere(found)
    encoder = found.get(("own", ENCODER, "accuracy"))
    chance = next((row for key, row in found.items() if key[2] == "chance"), None)
    gap = found.get(("own", "encoder-prompted", "gap"))
    p = found.get(("own", "encoder-prompted", "mcnemar_p"))
    count = next((row.n for row in (asked, encoder) if row is not None), None)
    cells = [
        f"  {name}",
        MISSING if count is None else str(count),
        _value(chance),
        _value(found.get(("blank", PROMPTED, "accuracy"))),
        _value(asked),
        _value(encoder),
        number(gap, sign=True),
        MISSING if p is None else p_value(p.value),
        _value(found.get(("own", PROMPTED, "abstention"))),
    ]
    style = "bold" if significant(gap, p) else ""
    return [Text(cell, style=style if place == 6 else "") for place, cell in enumerate(cells)]


def _answered_elsewhere(found: _Rows) -> StatRow | None:
    """Return a recorded answer to the question itself, such as human accuracy."""
    return next(
        (
            row
            for (condition, readout, metric), row in found.items()
            if (condition, metric) == ("own", "accuracy") and readout not in _COLUMNS
        ),
        None,
    )


def _value(row: StatRow | None) -> str:
    return MISSING if row is None else rate(row.value)


def _notes(rows: Iterable[StatRow], names: Mapping[str, str]) -> Iterable[str]:
    for row in rows:
        if row.metric == "failed" and row.value > 0:
            yield escape(
                f"{names.get(row.model, row.model)} on {names.get(row.task, row.task)} "
                f"({row.condition}, {row.readout}): {row.value:.0f} of {row.n} documents failed "
                "and are left out"
            )
