"""The tables that a run ends with, without need of colour."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.console import Group
from rich.text import Text

from vlmbench.metrics import (
    ENCODER,
    GAP,
    MISSING,
    PROMPTED,
    RULE,
    StatRow,
    number,
    p_value,
    rate,
    small_masses,
)
from vlmbench.report._answered import is_written, told, turned
from vlmbench.report._format import (
    FAILED,
    Cells,
    adjusted_gap_p,
    failed_cells,
    failure_mark,
    gap_p,
    line_of,
    reasons,
    significant,
)
from vlmbench.report._layout import Column, Layout, Row
from vlmbench.report._readings import is_encoders
from vlmbench.store import FailedCell

_Rows = Mapping[tuple[str, str, str], StatRow]  # by (condition, readout, metric)

# What a gap can be read without is left out first where the width is small.
_MEASURED = (
    Column(head="Task"),
    Column(head="n", right=True, spare=2),
    Column(head="Chance", right=True, spare=1),
    Column(head="Blind", right=True),
    Column(head="VQA", right=True),
    Column(head="Encoder", right=True),
    Column(head="Gap [95% interval]", right=True),
    Column(head="p", right=True, spare=3),
    Column(head="Least gap", right=True, spare=5),
    Column(head="Abst.", right=True, spare=4),
)
_GAP = 6  # the place of the gap among them
# Where answers were read from text, how many were not, and what the numbers are without these, are
# read before chance and p.
_WRITTEN = (
    *_MEASURED[:-1],
    Column(head="Abst.", right=True),
    Column(head="VQA ans.", right=True),
    Column(head="Gap ans.", right=True),
)
_RULES = (
    Column(head="Cheap rule"),
    Column(head="n", right=True, spare=1),
    Column(head="Chance", right=True),
    Column(head="Accuracy [95% interval]", right=True),
)


def terminal(
    rows: Sequence[StatRow],
    *,
    aliases: Mapping[str, str] | None = None,
    failed: Sequence[FailedCell] = (),
) -> Group:
    """Return a table with a line per task and a part per model, in the order of `rows`.

    Args:
        rows: Rows of a run.
        aliases: Names to show instead of a model's or task's own.
        failed: Why documents of its cells failed.
    """
    names = aliases or {}
    tests, adjusted = gap_p(rows), adjusted_gap_p(rows)
    columns = _WRITTEN if any(map(is_written, rows)) else _MEASURED
    lines: list[Row] = []
    for model in dict.fromkeys(row.model for row in rows if row.readout != RULE):
        mine = [row for row in rows if row.model == model]
        lines.append([Text(names.get(model, model), style="bold")])
        for task in dict.fromkeys(row.task for row in mine):
            shown = [row for row in mine if row.task == task]
            p, holm = tests.get((model, task, "")), adjusted.get((model, task, ""))
            line = _line(names.get(task, task), shown, p, holm, failed_cells(shown))
            lines.append(line[: len(columns)])
    notes = [Text(line_of(note), style="italic") for note in _notes(rows, names, failed)]
    return Group(Layout(columns=columns, rows=lines), *notes)


def rules_terminal(
    rows: Sequence[StatRow], *, aliases: Mapping[str, str] | None = None
) -> Layout | None:
    """Return a table of the cheap rules with a part per task, the best rule first.

    Args:
        rows: Rows of a run.
        aliases: Names to show instead of a model's or task's own.

    Returns:
        The table; None where the run has no rule.
    """
    names = aliases or {}
    mine = [row for row in rows if row.readout == RULE]
    lines: list[Row] = []
    for task in dict.fromkeys(row.task for row in mine):
        found = [row for row in mine if (row.task, row.metric) == (task, "accuracy")]
        chance = next(row for row in mine if (row.task, row.metric) == (task, "chance"))
        lines.append([Text(names.get(task, task), style="bold")])
        for row in sorted(found, key=lambda row: (-row.value, row.model)):
            label = f"  {names.get(row.model, row.model)}"
            if row.condition != "own":
                label += f", {row.condition}"
            lines.append([label, str(row.n), rate(chance.value), number(row)])
    return Layout(columns=_RULES, rows=lines) if lines else None


def _line(
    name: str, rows: Iterable[StatRow], p: float | None, adjusted: float | None, failed: Cells
) -> list[Text]:
    def value(row: StatRow | None) -> str:
        return MISSING if row is None else f"{rate(row.value)}{failure_mark(row, failed)}"

    found: _Rows = {(row.condition, row.readout, row.metric): row for row in rows}
    asked = found.get(("own", PROMPTED, "accuracy")) or _answered_elsewhere(found)
    encoder = found.get(("own", ENCODER, "accuracy"))
    chance = next((row for key, row in found.items() if key[2] == "chance"), None)
    gap, answered = (found.get(("own", GAP, metric)) for metric in ("gap", "gap_answered"))
    count = next((row.n for row in (asked, encoder) if row is not None), None)
    worth = found.get(("own", GAP, "effective_n")) or found.get(("own", PROMPTED, "effective_n"))
    fewer = "" if worth is None else f" ({worth.value:.0f})"
    cells = [
        f"  {name}",
        MISSING if count is None else f"{count}{FAILED if failed else ''}{fewer}",
        value(chance),
        value(found.get(("blank", PROMPTED, "accuracy"))),
        value(asked),
        value(encoder),
        number(gap, sign=True, mark=failure_mark(gap, failed)),
        MISSING if p is None else p_value(p),
        value(found.get(("own", GAP, "smallest_gap"))),
        value(found.get(("own", PROMPTED, "abstention"))),
        value(found.get(("own", PROMPTED, "accuracy_answered"))),
        number(answered, sign=True, interval=False, mark=failure_mark(answered, failed)),
    ]
    style = "bold" if significant(gap, adjusted) else ""
    return [Text(cell, style=style if place == _GAP else "") for place, cell in enumerate(cells)]


def _answered_elsewhere(found: _Rows) -> StatRow | None:
    """Return a recorded answer to the question itself, such as human accuracy."""
    return next(
        (
            row
            for (condition, readout, metric), row in found.items()
            if (condition, metric) == ("own", "accuracy") and not is_encoders(readout)
        ),
        None,
    )


def _notes(
    rows: Sequence[StatRow], names: Mapping[str, str], failed: Sequence[FailedCell]
) -> Iterator[str]:
    for row in rows:
        if row.metric == "failed" and row.value > 0:
            yield (
                f"{names.get(row.model, row.model)} on {names.get(row.task, row.task)} "
                f"({row.condition}, {row.readout}): {row.value:.0f} of {row.n} documents failed "
                f"and are left out{reasons(failed, row)}"
            )
    for gap, answered in turned(rows):
        yield (
            f"{names.get(gap.model, gap.model)} on {names.get(gap.task, gap.task)}: "
            f"{told(gap, answered)}. The two disagree, so look at what the model wrote"
        )
    for mean, low in small_masses(rows):
        yield (
            f"{names.get(mean.model, mean.model)} on {names.get(mean.task, mean.task)} "
            f"({mean.condition}, {mean.readout}): the choices together have a probability of only "
            f"{rate(mean.value)} on average ({rate(low.value)} at the 5th percentile), so their "
            "likelihoods rank answers that the model would often not write. Look at its answer "
            "tokens with `vlmbench show`, or ask it in writing (`output_type: generate_until`)"
        )
