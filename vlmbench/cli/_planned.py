"""A plan as a table: every cell of a short one, a line per model and task of a long one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence, Set
from itertools import groupby

from rich.console import Group, RenderableType
from rich.text import Text

from vlmbench.metrics import ASSUMED_DISCORDANCE, rate, smallest_gap
from vlmbench.plan import Cell, Plan, Skipped
from vlmbench.report import Column, Layout, Row

MOST = 30
"""Cells that are listed one by one; of more, those of a model and task share a line."""

# A condition's label, its first number apart: `own+filler-`, `64`, `-before`.
_NUMBER = re.compile(r"(\d[\d.]*)")

_CELLS = (
    Column(head="task"),
    Column(head="condition"),
    Column(head="readout"),
    Column(head="documents", right=True),
    Column(head="passes", right=True, spare=1),
    Column(head="there"),
)
_GROUPED = (
    Column(head="task"),
    Column(head="cells", right=True),
    Column(head="readouts and conditions", wraps=True),
    Column(head="documents", right=True),
    Column(head="passes", right=True, spare=1),
    Column(head="there", right=True),
)


def row_of(cell: Cell, there: Set[str]) -> dict[str, object]:
    """Return what is known of a cell, as JSON has it."""
    return {
        "model": cell.model.spec.model,
        "task": cell.task.spec.task,
        "condition": cell.condition.label,
        "readout": cell.readout.label,
        "documents": cell.documents,
        "forward_passes": cell.forward_passes,
        "there": cell.name in there,
    }


def planned(plan: Plan, there: Set[str] | None) -> RenderableType:
    """Return a plan's cells, totals, notes, and what is left out and why.

    Args:
        plan: The plan.
        there: Names of the cells that a run folder has records of; None without a folder.
    """
    grouped = len(plan.cells) > MOST
    columns, line = (_GROUPED, _group) if grouped else (_CELLS, _cell)
    width = len(columns) - (there is None)
    rows: list[Row] = []
    for model, cells in groupby(plan.cells, lambda cell: cell.model.spec.model):
        rows.append([Text(model, style="bold")])
        for _, some in groupby(cells, lambda cell: cell.task.spec.task):
            mine = list(some)
            parts = [mine] if grouped else [[cell] for cell in mine]
            rows += [line(part, there or set())[:width] for part in parts]
    remarks = [
        Text(remark, style="dim")
        for remark in (*_notes(plan.cells), *_left_out(plan), *_power(plan.cells))
    ]
    table = Layout(columns=columns[:width], rows=rows)
    return Group(table, "", *remarks, *([""] if remarks else []), *_totals(plan.cells, there))


def _cell(cells: Sequence[Cell], there: Set[str]) -> Row:
    (cell,) = cells
    return [
        f"  {cell.task.spec.task}",
        cell.condition.label,
        cell.readout.label,
        _sum(cell.documents for cell in cells),
        _sum(cell.forward_passes for cell in cells),
        "yes" if cell.name in there else "",
    ]


def _group(cells: Sequence[Cell], there: Set[str]) -> Row:
    return [
        f"  {cells[0].task.spec.task}",
        str(len(cells)),
        _read(cells),
        _sum(cell.documents for cell in cells),
        _sum(cell.forward_passes for cell in cells),
        str(sum(cell.name in there for cell in cells)),
    ]


def by_readout(cells: Iterable[tuple[str, str]]) -> str:
    """Return readouts with their conditions: `prompted: own, blur-{0.25,0.5}; encoder: own`."""
    found: dict[str, dict[tuple[str, str], dict[str, None]]] = {}
    for readout, condition in cells:
        before, number, after = (*_NUMBER.split(condition, maxsplit=1), "", "")[:3]
        found.setdefault(readout, {}).setdefault((before, after), {})[number] = None
    return "; ".join(
        f"{readout}: {', '.join(map(_label, conditions.items()))}"
        for readout, conditions in found.items()
    )


def _label(same: tuple[tuple[str, str], Iterable[str]]) -> str:
    """Return conditions that differ in a number only as one: `blur-{0.25,0.5}`."""
    (before, after), numbers = same
    listed = ",".join(numbers)
    return f"{before}{{{listed}}}{after}" if "," in listed else f"{before}{listed}{after}"


def _read(cells: Iterable[Cell | Skipped]) -> str:
    return by_readout((cell.readout.label, cell.condition.label) for cell in cells)


def _sum(values: Iterable[int | None]) -> str:
    """Return a sum, `?` if nothing of it is known, and `120 + ?` if some of it is not."""
    listed = list(values)
    known = [value for value in listed if value is not None]
    unknown = ["?"] if len(known) < len(listed) else []
    return " + ".join(([f"{sum(known):,}"] if known or not unknown else []) + unknown)


def _totals(cells: Sequence[Cell], there: Set[str] | None) -> Iterator[str]:
    documents = _sum(cell.documents for cell in cells)
    passes = _sum(cell.forward_passes for cell in cells)
    yield f"{len(cells)} cells, {documents} documents, {passes} forward passes"
    if any(cell.documents is None for cell in cells):
        yield "?: unknown until the data is opened, which a plan does not do"
    if there is not None:
        left = [cell for cell in cells if cell.name not in there]
        passes = _sum(cell.forward_passes for cell in left)
        done = len(cells) - len(left)
        yield f"{done} cells are already there; {len(left)} are left, with {passes} forward passes"


def _notes(cells: Iterable[Cell]) -> Iterator[str]:
    """Yield every note once, with the model and the tasks that it is about."""
    tasks: dict[tuple[str, str], dict[str, None]] = {}
    for cell in cells:
        if cell.note:
            tasks.setdefault((cell.model.spec.model, cell.note), {})[cell.task.spec.task] = None
    for (model, note), names in tasks.items():
        yield f"{model} on {', '.join(names)}: {note}"


def _power(cells: Iterable[Cell]) -> Iterator[str]:
    """Yield the smallest gap that each known number of documents can show."""
    counts = {cell.documents for cell in cells if cell.readout.is_direct}
    for count in sorted(count for count in counts if count is not None):
        yield (
            f"smallest gap that {count} documents show in four runs of five: "
            f"{rate(smallest_gap(count))} (two-sided p < .05, if only one readout is right on "
            f"{ASSUMED_DISCORDANCE:.0%} of them; larger where documents share images)"
        )


def _left_out(plan: Plan) -> Iterator[str]:
    """Yield every reason once, with what it leaves out."""
    reasons: dict[str, list[Skipped]] = {}
    for skipped in plan.skipped:
        reasons.setdefault(skipped.reason, []).append(skipped)
    for reason, cells in reasons.items():
        first = cells[0]
        where = f"{first.model} {first.task}" if len(cells) == 1 else f"{len(cells)} cells"
        yield f"left out: {where} ({_read(cells)}): {reason}"
