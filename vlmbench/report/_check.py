"""Whether a published leaderboard stands: everything in it recomputed from the runs' records."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from pathlib import Path

from pydantic import TypeAdapter

from vlmbench.files import contents
from vlmbench.metrics import ROUNDING, RULE, StatRow, load_rows, summarise
from vlmbench.report._baselines import check_published
from vlmbench.report._board import assemble
from vlmbench.report._files import files_of
from vlmbench.spec import AnyReadout, Condition, Hidden, ModelSpec, Readout
from vlmbench.store import Record, Run, RunFolder
from vlmbench.types import ChoiceScores, ComparisonError, Problem

_READOUT: TypeAdapter[Readout] = TypeAdapter(AnyReadout)

_Rows = Mapping[str, Mapping[str, object]]


def check_leaderboard(
    runs: Sequence[Path], published: Path, *, recorded: Sequence[ModelSpec] = ()
) -> int:
    """Recompute a published leaderboard from its runs' records; nothing is written.

    Statistics of the runs are recomputed from their records and compared with what the runs say,
    and then every published file with what these give. Numbers that differ by less than 1e-9 are
    the same.

    Args:
        runs: Run folders that it was published from.
        published: Its folder.
        recorded: As for `leaderboard`.

    Returns:
        How many numbers were recomputed.

    Raises:
        ComparisonError: If it does not stand, naming every row and field that differs.
        VlmbenchError: If a run or a file cannot be read.
    """
    check_published(recorded)
    read = [RunFolder(path).read() for path in runs]
    again = [replace(run, rows=_recomputed(run)) for run in read]
    problems = [
        problem
        for old, new in zip(read, again, strict=True)
        for problem in _differences(
            _by_name(old.rows), _by_name(new.rows), file=f"{old.name}/stats.json"
        )
    ]
    for name, text in files_of(assemble(again), again, recorded).items():
        problems += _file_differences(published / name, text)
    if problems:
        raise ComparisonError(problems)
    return sum(len(run.rows) for run in again)


def _recomputed(run: Run) -> tuple[StatRow, ...]:
    """Return a run's statistics from its records; numbers that have none are as they are."""
    manifest = run.manifest
    pairs = dict.fromkeys(tuple(cell.rpartition("/")[0].rsplit("/", 1)) for cell in manifest.cells)
    rows: list[StatRow] = []
    for model, task in pairs:
        scores: dict[tuple[Condition, Readout], ChoiceScores] = {}
        for record in run.records(model, task):
            scores |= _scores(record, manifest.models[model].rule)
        n = manifest.tasks[task].n
        partial = {cell for cell, found in scores.items() if len(found) < n}
        if scores:
            rows += summarise(scores, model=model, task=task, seed=manifest.seed, partial=partial)
    rows += [row for row in run.rows if (row.model, row.task) not in pairs]
    known = {row.key: place for place, row in enumerate(run.rows)}
    return tuple(sorted(rows, key=lambda row: known.get(row.key, len(known))))


def _scores(record: Record, rule: str | None) -> dict[tuple[Condition, Readout], ChoiceScores]:
    """Return what a record gives to statistics, stage by stage where it has stages."""
    basis = record.require().basis
    label = basis.readout
    keys = {"kind": RULE, "name": rule} if label == RULE else label
    readout = _READOUT.validate_python(keys)
    if not readout.has_rows:
        return {}
    stages = record.stages()
    if stages and isinstance(readout, Hidden):
        return {(basis.condition, readout.at(name)): read for name, read in stages.items()}
    return {(basis.condition, readout): record.scores()}


def _by_name(rows: Sequence[StatRow]) -> _Rows:
    return {"/".join(row.key): row.to_json() for row in rows}


def _file_differences(path: Path, again: str) -> Iterator[Problem]:
    """Yield where a published file differs from what the runs give."""
    try:
        text = contents(path).decode()
    except (OSError, ValueError) as error:
        yield Problem(file=str(path), message=f"cannot be read: {error}")
        return
    if text == again:
        return
    file = str(path)
    if path.name == "rows.json":
        yield from _differences(_json_rows(text, file), _json_rows(again, file), file=file)
    elif path.name == "rows.csv":
        yield from _differences(_csv_rows(text), _csv_rows(again), file=file)
    else:
        yield from _other_lines(text, again, file=file)


def _json_rows(text: str, file: str) -> _Rows:
    return _by_name(load_rows(text, file=file))


def _csv_rows(text: str) -> _Rows:
    rows = [dict(row) for row in csv.DictReader(io.StringIO(text))]
    return {"/".join(str(value) for value in list(row.values())[:5]): row for row in rows}


def _differences(published: _Rows, again: _Rows, *, file: str) -> Iterator[Problem]:
    """Yield every row and field in which two sets of rows differ."""
    for name in [*again, *(name for name in published if name not in again)]:
        if name not in published:
            yield Problem(file=file, field=name, message="the row is missing; the records give it")
        elif name not in again:
            yield Problem(file=file, field=name, message="no record gives this row")
        else:
            one, other = published[name], again[name]
            for field in dict.fromkeys([*one, *other]):
                said, found = one.get(field), other.get(field)
                if not _same(said, found):
                    message = f"{field} is {said} here, and {found} by the records"
                    yield Problem(file=file, field=name, message=message)


def _same(said: object, found: object) -> bool:
    """Tell whether two values of a field are the same number, up to rounding, or the same text."""
    try:
        close = abs(float(str(said)) - float(str(found))) < ROUNDING
    except ValueError:
        close = False
    return said == found or close


def identical(one: StatRow, other: StatRow) -> bool:
    """Tell whether two rows are the same in every field, up to rounding."""
    fields = other.to_json()
    return all(_same(said, fields[name]) for name, said in one.to_json().items())


def _other_lines(text: str, again: str, *, file: str) -> Iterator[Problem]:
    """Yield every line that differs, and what stands in its place."""
    old, new = text.splitlines(), again.splitlines()
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            said, found = "\n".join(old[a:b]) or "nothing", "\n".join(new[c:d]) or "nothing"
            yield Problem(
                file=file, line=a + 1, message=f"says\n{said}\nand by the records\n{found}"
            )
