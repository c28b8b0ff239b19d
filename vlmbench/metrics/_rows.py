"""Rows of stats.json: a stat and the cell it belongs to."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from vlmbench.metrics._ranges import impossible
from vlmbench.types import Problem, Stat, VlmbenchError, parse_json, plain


@dataclass(frozen=True, slots=True, kw_only=True)
class StatRow:
    """One number of one cell: the machine-readable line of a leaderboard.

    Attributes:
        model: Name of the model.
        task: Name of the task.
        condition: Label of the condition; two joined by `|` if they are compared.
        readout: Name of the readout; `encoder-prompted` if one is subtracted from the other.
        metric: What `value` is (`accuracy`, `gap`, `tv`, ...).
        value: Point estimate; NaN if it is not defined.
        low: Lower end of the 95% interval; NaN if there is none.
        high: Upper end; NaN if there is none.
        n: Documents behind the value; None if a published number does not say.
        coverage: Share of those documents that were answered.
    """

    model: str
    task: str
    condition: str
    readout: str
    metric: str
    value: float
    low: float
    high: float
    n: int | None
    coverage: float

    @classmethod
    def of(
        cls, stat: Stat, *, model: str, task: str, condition: str, readout: str, metric: str
    ) -> Self:
        """Put a stat into its cell."""
        return cls(
            model=model,
            task=task,
            condition=condition,
            readout=readout,
            metric=metric,
            value=stat.value,
            low=stat.low,
            high=stat.high,
            n=stat.n,
            coverage=stat.coverage,
        )

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What the number is of: (model, task, condition, readout, metric)."""
        return (self.model, self.task, self.condition, self.readout, self.metric)

    def to_json(self) -> dict[str, str | float | int | None]:
        """Return the row as JSON holds it: the ten keys in order, NaN as null."""
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], *, file: str = "") -> Self:
        """Read a row back; null becomes NaN.

        Raises:
            VlmbenchError: Listing every key that is missing, unknown or of the wrong type.
        """
        problems = list(_row_problems(data, file=file))
        if problems:
            raise VlmbenchError(problems)
        values: dict[str, Any] = {
            name: math.nan if name in _NUMBERS and value is None else value
            for name, value in data.items()
        }
        return cls(**values)


_TEXTS = ("model", "task", "condition", "readout", "metric")
_NUMBERS = ("value", "low", "high", "coverage")


def dump_rows(rows: Iterable[StatRow]) -> str:
    """Return rows as the text of stats.json: a list of objects, one row per line."""
    lines = (json.dumps(row.to_json(), ensure_ascii=False, allow_nan=False) for row in rows)
    body = ",\n".join(lines)
    return f"[\n{body}\n]\n" if body else "[]\n"


def load_rows(text: str, *, file: str = "") -> tuple[StatRow, ...]:
    """Read the text of stats.json.

    Raises:
        VlmbenchError: If it is not a JSON list of rows, or a number in it is none of its metric,
            with every problem of every row.
    """
    data = parse_json(text, file=file)
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        raise VlmbenchError(Problem(file=file, message="expected a list of rows"))
    problems = [problem for item in data for problem in _row_problems(item, file=file)]
    if problems:
        raise VlmbenchError(problems)
    return tuple(StatRow.from_json(item, file=file) for item in data)


def _row_problems(data: Mapping[str, Any], *, file: str) -> Iterator[Problem]:
    """Yield what is wrong with the keys and types of a row or, where these are right, with it."""
    where = "/".join(str(data.get(name, "?")) for name in _TEXTS)
    faults = [*_key_faults(data), *_type_faults(data)] or list(impossible(data))
    for name, says in faults:
        yield Problem(file=file, field=name, message=f"{says}, in row {where}", remedy=_PUBLISH)


_PUBLISH = "No run writes this: give the folder as a run has written it."


def _key_faults(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    names = [field.name for field in fields(StatRow)]
    for name in names:
        if name not in data:
            yield name, "missing"
    for name in data:
        if name not in names:
            yield name, f"unknown key; a row has exactly {', '.join(names)}"


def _type_faults(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in _TEXTS:
        text = data.get(name, "")
        if not isinstance(text, str) or plain(text) != text or "\n" in text:
            yield name, f"{text!r} is not text of one line"
    for name in (*_NUMBERS, "n"):
        allowed = (int,) if name == "n" else (int, float)
        value = data.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, allowed)):
            yield name, f"{value!r} is not a number"
