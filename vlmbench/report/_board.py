"""The board: rows of several runs, together only if they can be put in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

from vlmbench.metrics import StatRow
from vlmbench.report._answered import is_written
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


@dataclass(frozen=True, slots=True, kw_only=True)
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
    rows: dict[tuple[str, str, str, str, str], StatRow]
    manifests: tuple[Manifest, ...]

    def get(
        self, model: str, task: str, metric: str, *, readout: str, condition: str = "own"
    ) -> StatRow | None:
        """Return one number, or None if it was not measured."""
        return self.rows.get((model, task, condition, readout, metric))

    def of(self, model: str, task: str) -> list[StatRow]:
        """Return every row of one model on one task."""
        return [row for row in self.rows.values() if (row.model, row.task) == (model, task)]


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
    problems = [
        problem
        for a, b in combinations(sorted(runs, key=lambda run: run.name), 2)
        for problem in (
            *_version_problems(a, b),
            *_record_problems(a, b),
            *_row_problems(a, b),
        )
    ]
    if problems:
        raise ComparisonError(problems)
    # What a run calls a task or shows as its source is not compared, so the choice
    # among runs that differ there must not hang on their order.
    manifests = {run.manifest.model_dump_json(): run.manifest for run in runs}
    ordered = tuple(manifests[text] for text in sorted(manifests))
    tasks = {name: record for manifest in ordered for name, record in manifest.tasks.items()}
    models = {name: record for manifest in ordered for name, record in manifest.models.items()}
    task_names = sorted(tasks, key=lambda name: (tasks[name].ability, name))
    model_names = sorted(models, key=lambda name: (models[name].recorded, name))
    rows = {row.key: row for run in runs for row in run.rows}
    # Within one model and task the order of stats.json holds, whichever run was named first.
    within: dict[tuple[str, str, str, str, str], int] = {}
    for run in runs:
        for place, row in enumerate(run.rows):
            within[row.key] = min(place, within.get(row.key, place))
    rank = lambda key: (task_names.index(key[1]), model_names.index(key[0]), within[key], key)
    return Board(
        tasks={name: tasks[name] for name in task_names},
        models={name: models[name] for name in model_names},
        rows={key: rows[key] for key in sorted(rows, key=rank)},
        manifests=ordered,
    )


def _version_problems(a: Run, b: Run) -> Iterator[Problem]:
    left, right = a.manifest.versions, b.manifest.versions
    if left.metrics != right.metrics:
        yield Problem(
            field="versions.metrics",
            message=(
                f"{a.name} has metrics of version {left.metrics} (vlmbench {left.vlmbench}), "
                f"{b.name} of version {right.metrics} (vlmbench {right.vlmbench})"
            ),
            remedy="Repeat the older run with the newer vlmbench.",
        )


def _record_problems(a: Run, b: Run) -> Iterator[Problem]:
    """Yield what the manifests say differently about a task or model that both have."""
    for part, fields in _COMPARED.items():
        left, right = getattr(a.manifest, part), getattr(b.manifest, part)
        for name in sorted(left.keys() & right.keys()):
            for field, meaning in fields.items():
                values = (getattr(left[name], field), getattr(right[name], field))
                if values[0] == values[1] or not _is_compared(field, name, values, (a, b)):
                    continue
                shown = [value[:12] if isinstance(value, str) else value for value in values]
                yield Problem(
                    field=f"{part}.{name}.{field}",
                    message=(
                        f"{meaning} differs: {shown[0]!r} in {a.name}, {shown[1]!r} in {b.name}"
                    ),
                    remedy=(
                        f"Repeat one of the runs with the other's {name}, or put them into "
                        "separate leaderboards."
                    ),
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


def _is_compared(field: str, name: str, values: tuple[object, object], runs: Sequence[Run]) -> bool:
    """Tell whether runs must agree on a field; None is what runs have from before its time."""
    if field == "reading":
        return None not in values
    if field not in _DEPENDING:
        return True
    depends = _DEPENDING[field]
    used = [any(row.task == name and depends(row) for row in run.rows) for run in runs]
    return None not in values and all(used)


def _row_problems(a: Run, b: Run) -> Iterator[Problem]:
    numbers = {row.key: row.to_json() for row in a.rows}
    for row in b.rows:
        other = numbers.get(row.key)
        if other is not None and other != row.to_json():
            fields = [name for name, value in row.to_json().items() if other[name] != value]
            yield Problem(
                field="/".join(row.key),
                message=(
                    f"two runs give different numbers ({', '.join(fields)}): "
                    f"{other['value']} in {a.name}, {row.to_json()['value']} in {b.name}"
                ),
                remedy="Give only one of the two runs.",
            )
