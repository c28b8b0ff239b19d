"""The Hugging Face Hub: `.eval_results/*.yaml` and `model-index` of a model's repository."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from vlmbench.metrics import ENCODER, GAP, PROMPTED
from vlmbench.publish._facts import Facts
from vlmbench.publish._results import Result, results
from vlmbench.store import Run
from vlmbench.types import Problem, VlmbenchError, file_name, one_line

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, EvalResultEntry

SHOWN = (
    ("own", PROMPTED, "accuracy"),
    ("blank", PROMPTED, "accuracy"),
    ("own", ENCODER, "accuracy"),
    ("own", GAP, "gap"),
)
"""Condition, readout and metric of the numbers that stand on a model's page, in order."""

TOKEN = "HF_TOKEN"  # noqa: S105
"""The variable of the environment that an upload takes its token from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFiles:
    """What is published of one model.

    Attributes:
        repository: The model's Hub id.
        files: Text of every `.eval_results/TASK.yaml`, by path in the repository.
        metadata: What is merged into the metadata of its card: `model-index`.
        snippet: Markdown for its card.
    """

    repository: str
    files: Mapping[str, str]
    metadata: Mapping[str, Any]
    snippet: str


def hub_files(runs: Sequence[Run], model: str, facts: Facts) -> HubFiles:
    """Return what is published of one model of some runs.

    Only accuracies with the images, without them and of the encoder, and the gap are: a page has
    no place for more. Each has a task of its own in the data set, `TASK.readout-condition` or
    `TASK.gap`, as the format has no metrics.

    Raises:
        VlmbenchError: If the runs have nothing of these, or the model's repository is not known.
    """
    from huggingface_hub import ModelCardData, eval_result_entries_to_yaml

    found = list(_found(runs, model))
    if not found:
        raise VlmbenchError(f"the runs have no accuracy or gap of model {model!r}")
    by_task: dict[str, list[EvalResultEntry]] = {}
    for _, task, result in found:
        by_task.setdefault(task, []).append(_entry(task, result, facts))
    repository = facts.repository(found[0][0], model)
    card = ModelCardData(
        model_name=repository.partition("/")[2],
        eval_results=[_indexed(run, task, result, facts) for run, task, result in found],
    )
    return HubFiles(
        repository=repository,
        files={
            f".eval_results/{file_name(task)}.yaml": yaml.safe_dump(
                eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True
            )
            for task, entries in by_task.items()
        },
        metadata=dict(card.to_dict()),  # type: ignore[no-untyped-call]
        snippet=_snippet(found),
    )


def _found(runs: Sequence[Run], model: str) -> Iterator[tuple[Run, str, Result]]:
    """Yield each number that is shown, with its run and task; what two runs have, once."""
    seen: set[tuple[str, str]] = set()
    for run in runs:
        for task in run.manifest.tasks if model in run.manifest.models else ():
            for result in _shown(run, model, task):
                if (task, result.name) not in seen:
                    seen.add((task, result.name))
                    yield run, task, result


def _shown(run: Run, model: str, task: str) -> list[Result]:
    there = {
        (one.row.condition, one.row.readout, one.row.metric): one
        for one in results(run, model, task)
    }
    return [there[key] for key in SHOWN if key in there]


def _entry(task: str, result: Result, facts: Facts) -> EvalResultEntry:
    from huggingface_hub import EvalResultEntry

    return EvalResultEntry(
        dataset_id=facts.dataset,
        task_id=f"{task}.{_label(result)}",
        value=result.row.value,
        notes=_notes(result),
    )


def _indexed(run: Run, task: str, result: Result, facts: Facts) -> EvalResult:
    from huggingface_hub import EvalResult

    about, row = run.manifest.tasks[task], result.row
    return EvalResult(
        task_type="visual-question-answering",
        dataset_type=facts.dataset,
        dataset_name=about.alias or task,
        dataset_config=task,
        dataset_args={"documents": about.documents, "n": about.n, "of": about.of},
        metric_type=row.metric,
        metric_name=f"{result.measure.name} ({row.readout}, {row.condition})",
        metric_value=row.value,
        metric_args={
            "readout": row.readout,
            "condition": row.condition,
            "interval_95": [row.low, row.high],
            **result.details(),
        },
    )


def _label(result: Result) -> str:
    row = result.row
    return row.metric if row.metric == "gap" else f"{row.readout}-{row.condition}"


def _notes(result: Result) -> str:
    """Return what the format has no place for: interval, counts and what the number is."""
    row, details = result.row, result.details()
    counts = [f"{name} {value}" for name, value in details.items() if _is_count(name)]
    return (
        f"{result.measure.name} ({row.readout}, {row.condition}); 95% interval "
        f"[{row.low!r}, {row.high!r}]; {', '.join(counts)}"
    )


def _is_count(name: str) -> bool:
    return name == "n" or name.rsplit(maxsplit=1)[-1] in ("failed", "abstained")


def _snippet(found: Sequence[tuple[Run, str, Result]]) -> str:
    """Return the numbers as a table of a model card."""
    lines = [
        "## Gap between vision encoder and answers",
        "",
        "Measured with vlmbench: what the model answers, with and without its images, beside what "
        "can be read directly from its own vision encoder. Intervals are 95%.",
        "",
        "| Task | What | Value | Interval | n | Failed | Abstained |",
        "| :-- | :-- | --: | --: | --: | --: | --: |",
    ]
    for _, task, result in found:
        row, details = result.row, result.details()
        counts = [_counted(details, what) for what in ("failed", "abstained")]
        cells = [
            task,
            f"{result.measure.name} ({row.readout}, {row.condition})",
            f"{row.value:.3f}",
            f"[{row.low:.3f}, {row.high:.3f}]",
            details.get("n", ""),
            *counts,
        ]
        lines.append(f"| {' | '.join(one_line(cell).replace('|', '/') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _counted(details: Mapping[str, str], what: str) -> str:
    """Return a count of a cell, or of the two that are compared: `0`, `0 + 1`."""
    found = [value for name, value in details.items() if name.split()[-1] == what]
    return " + ".join(found)


def upload(published: HubFiles) -> str:
    """Propose the files to the model's repository as a pull request; return its address.

    The token is that of the environment alone.

    Raises:
        VlmbenchError: If there is no token, or the Hub refuses.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, metadata_update
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    token = os.environ.get(TOKEN)
    if not token:
        message = f"there is no {TOKEN} in the environment, and no other token is used"
        raise VlmbenchError(Problem(field="--upload", message=message))
    operations = [
        CommitOperationAdd(path_in_repo=path, path_or_fileobj=text.encode())
        for path, text in published.files.items()
    ]
    try:
        made = HfApi(token=token).create_commit(
            published.repository,
            operations,
            commit_message="Results of vlmbench",
            create_pr=True,
        )
        metadata_update(
            published.repository,
            dict(published.metadata),
            token=token,
            revision=made.pr_revision,
            commit_message="Results of vlmbench in the model index",
        )
    except (HfHubHTTPError, OfflineModeIsEnabled, ValueError) as error:
        message = f"the Hub did not take the results: {one_line(str(error))}"
        raise VlmbenchError(Problem(field="--upload", message=message)) from None
    return str(made.pr_url)
