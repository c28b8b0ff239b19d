"""The board: rows of several runs, together only if they can be put in one table."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations

from vlmbench.metrics import StatRow, number
from vlmbench.report._answered import is_written
from vlmbench.report._format import (
    Cells,
    Tests,
    adjusted_gap_p,
    failed_cells,
    failure_mark,
    gap_p,
)
from vlmbench.spec import Condition
from vlmbench.store import Manifest, ModelRecord, Run, TaskRecord
from vlmbench.types import ComparisonError, Problem, VlmbenchError

_COMPARED = {
    "tasks": {
        "reading": "how the task's answers are read",
        "answers": "the rule by which text is read",
        "wordings": "the task's other wordings",
        "version": "the task's version",
        "documents": "the documents or their order",
        "n": "the number of documents",
        "clusters": "how many clusters they form",
        "limit": "--limit",
        "chance": "the chance level",
        "marked": "whether the encoder saw drawn markers",
    },
    "models": {
        "weights": "the weights",
        "relation": "how the twin relates to the tower",
        "twin": "the twin",
        "recorded": "whether the numbers are recorded",
        "rule": "the cheap rule",
    },
}
"""What runs must agree on for a task and a model, by part and field of the manifest, in words."""

_ROUNDING = 1e-6
"""By how much likelihoods differ where documents were batched with others; one answer among a
hundred thousand documents is ten times as much."""

_Key = tuple[str, str, str, str, str]


@dataclass(frozen=True, kw_only=True)
class Board:
    """Everything a leaderboard shows.

    Attributes:
        tasks: By name, ordered by ability and name.
        models: By name; measured ones first, then recorded ones.
        rows: By key, ordered by task, model and their order in stats.json.
        manifests: One for each different run.
    """

    tasks: dict[str, TaskRecord]
    models: dict[str, ModelRecord]
    rows: dict[_Key, StatRow]
    manifests: tuple[Manifest, ...]

    def get(
        self, model: str, task: str, metric: str, *, readout: str, condition: str = "own"
    ) -> StatRow | None:
        """Return one number, or None if it was not measured."""
        return self.rows.get((model, task, condition, readout, metric))

    def of(self, model: str, task: str) -> list[StatRow]:
        """Return every row of one model on one task."""
        return self._by_place.get((model, task), [])

    @cached_property
    def _by_place(self) -> dict[tuple[str, str], list[StatRow]]:
        found: dict[tuple[str, str], list[StatRow]] = {}
        for row in self.rows.values():
            found.setdefault((row.model, row.task), []).append(row)
        return found

    @cached_property
    def _failed(self) -> Cells:
        return failed_cells(self.rows.values())

    def number(self, row: StatRow | None, *, mark: str = "", **how: bool) -> str:
        """Write a number, marked where documents of its cells failed; see `metrics.number`."""
        return number(row, mark=mark + self.failure_mark(row), **how)

    def failure_mark(self, row: StatRow | None) -> str:
        """Return the mark of a number of which documents failed; else nothing."""
        return failure_mark(row, self._failed)

    @cached_property
    def gap_p(self) -> Tests:
        """The p-value of every gap test on the page."""
        return gap_p(self.rows.values())

    @cached_property
    def adjusted_gap_p(self) -> Tests:
        """Holm's p-values of the same."""
        return adjusted_gap_p(self.rows.values())


def assemble(runs: Sequence[Run]) -> Board:
    """Put the rows of several runs side by side; the order of the runs does not matter.

    Raises:
        VlmbenchError: If there is no run, or one that measured nothing.
        ComparisonError: If runs disagree on a task, a model, a number or the metrics, naming the
            runs and fields of every disagreement.
    """
    if not runs:
        raise VlmbenchError("no runs were given")
    empty = [run.name for run in runs if not run.rows]
    if empty:
        raise VlmbenchError(
            Problem(file=name, message="the run measured nothing") for name in empty
        )
    problems = list(_disagreements(sorted(runs, key=lambda run: run.name)))
    if problems:
        raise ComparisonError(problems)
    # What a run calls a task or shows as its source is not compared, so the choice
    # among runs that differ there must not hang on their order.
    manifests = {json.dumps(run.manifest.model_dump(mode="json")): run.manifest for run in runs}
    ordered = tuple(manifests[text] for text in sorted(manifests))
    tasks = {name: record for manifest in ordered for name, record in manifest.tasks.items()}
    models = {name: record for manifest in ordered for name, record in manifest.models.items()}
    task_names = sorted(tasks, key=lambda name: (tasks[name].ability, name))
    model_names = sorted(models, key=lambda name: (models[name].recorded, name))
    task_at, model_at = (
        {name: at for at, name in enumerate(names)} for names in (task_names, model_names)
    )
    rows: dict[_Key, StatRow] = {}
    for run in runs:
        for row in run.rows:
            rows[row.key] = min(row, rows.get(row.key, row), key=repr)
    # Within one model and task the order of stats.json holds, whichever run was named first.
    within: dict[_Key, int] = {}
    for run in runs:
        for place, row in enumerate(run.rows):
            within[row.key] = min(place, within.get(row.key, place))
    rank = lambda key: (task_at[key[1]], model_at[key[0]], within[key], key)
    return Board(
        tasks={name: tasks[name] for name in task_names},
        models={name: models[name] for name in model_names},
        rows={key: rows[key] for key in sorted(rows, key=rank)},
        manifests=ordered,
    )


def _disagreements(runs: Sequence[Run]) -> Iterator[Problem]:
    """Yield what runs give differently: of many that agree, the first is compared with others."""
    yield from unlike(runs)
    rows: dict[_Key, dict[str, tuple[Run, StatRow]]] = {}
    for run in runs:
        for row in run.rows:
            rows.setdefault(row.key, {}).setdefault(repr(row), (run, row))
    for found in rows.values():
        for left, right in combinations(found.values(), 2):
            fields = _differing(left[1], right[1])
            if fields:
                yield _other_numbers(left, right, fields)


def unlike(runs: Sequence[Run]) -> Iterator[Problem]:
    """Yield why numbers of the runs cannot be compared: other metrics, documents or weights."""
    versions: dict[object, Run] = {}
    facts: dict[tuple[str, str, str], dict[object, Run]] = {}
    for run in runs:
        versions.setdefault(run.manifest.versions.metrics, run)
        for fact, value in _facts(run):
            facts.setdefault(fact, {}).setdefault(value, run)
    for a, b in combinations(versions.values(), 2):
        yield _other_versions(a, b)
    for fact, values in facts.items():
        for one, other in combinations(values.items(), 2):
            yield _other_facts(fact, one, other)


def _facts(run: Run) -> Iterator[tuple[tuple[str, str, str], object]]:
    """Yield what a run says about its tasks and models, and other runs must say too."""
    depending = {name: {row.task for row in run.rows if on(row)} for name, on in _DEPENDING.items()}
    for part, fields in _COMPARED.items():
        for name, record in getattr(run.manifest, part).items():
            for field in fields:
                value = getattr(record, field)
                if value is None and field in _LATER:
                    continue
                if field not in depending or name in depending[field]:
                    yield (part, name, field), value


def _other_versions(a: Run, b: Run) -> Problem:
    left, right = a.manifest.versions, b.manifest.versions
    return Problem(
        field="versions.metrics",
        message=(
            f"{a.name} has metrics of version {left.metrics} (vlmbench {left.vlmbench}), "
            f"{b.name} of version {right.metrics} (vlmbench {right.vlmbench})"
        ),
        remedy="Repeat the older run with the newer vlmbench.",
    )


def _other_facts(
    fact: tuple[str, str, str], a: tuple[object, Run], b: tuple[object, Run]
) -> Problem:
    part, name, field = fact
    (left, one), (right, other) = (
        (value[:12] if isinstance(value, str) else value, run) for value, run in (a, b)
    )
    return Problem(
        field=f"{part}.{name}.{field}",
        message=(
            f"{_COMPARED[part][field]} differs: {left!r} in {one.name}, {right!r} in {other.name}"
        ),
        remedy=f"Repeat one of the runs with the other's {name}, or put them into "
        "separate leaderboards.",
    )


def _differing(a: StatRow, b: StatRow) -> list[str]:
    """Return the fields of two rows of one number that differ by more than sums in other order."""
    left, right = a.to_json(), b.to_json()

    def same(one: object, other: object) -> bool:
        if isinstance(one, float) and isinstance(other, float):
            return math.isclose(one, other, rel_tol=0, abs_tol=_ROUNDING)
        return one == other

    return [name for name, value in right.items() if not same(left[name], value)]


def _other_numbers(a: tuple[Run, StatRow], b: tuple[Run, StatRow], fields: list[str]) -> Problem:
    return Problem(
        field="/".join(a[1].key),
        message=(
            f"two runs give different numbers ({', '.join(fields)}): "
            f"{a[1].value} in {a[0].name}, {b[1].value} in {b[0].name}"
        ),
        remedy="Give only one of the two runs.",
    )


@lru_cache(maxsize=1024)
def is_form(label: str) -> bool:
    """Tell whether rows of that condition ask the same question in another form."""
    try:
        return Condition.parse(label).rewords
    except VlmbenchError:  # two conditions that are compared, or one of another version
        return False


_DEPENDING: Mapping[str, Callable[[StatRow], bool]] = {
    "answers": is_written,
    "wordings": lambda row: is_form(row.condition),
}
"""Fields that only some rows depend on, and which."""

_LATER = ("reading", *_DEPENDING)
"""Fields that runs from before their time do not have."""
