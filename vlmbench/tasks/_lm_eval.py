"""Documents of tasks that ship with lm-eval, rendered by lm-eval's own code."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmbench.registry import shipped_yaml
from vlmbench.spec import FREE_TEXT_METRIC, Located, TaskSpec, doc_answers
from vlmbench.types import EncodedImage, VlmbenchError, shown

if TYPE_CHECKING:
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask

# Keys that lm-eval's index uses and its task objects refuse.
_STRUCTURE = ("tag", "group", "task_list", "include")
# What lm-eval's scoring of generated text depends on, besides the metric.
_SCORED = {"task", "output_type", "doc_to_text", "doc_to_target", "filter_list"}
_SCORED.add("generation_kwargs")  # else lm-eval warns that it has none
ANSWER = "vlmbench_answer"
"""Column with the right answer as `vlmbench.spec` renders it."""
_CREDIT = {"metric": FREE_TEXT_METRIC, "aggregation": "mean", "higher_is_better": True}


def scored_row(spec: TaskSpec, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a data row with what a task file's own template says is the right answer to it."""
    if spec.bench.lm_eval is not None or not isinstance(spec.doc_to_target, str):
        return dict(row)
    known = spec.doc_to_target in row
    return dict(row) if known else {**row, ANSWER: doc_answers(spec, row)}


def scoring_task(spec: TaskSpec, split: Dataset) -> ConfigurableTask:
    """Return lm-eval's task object that credits free text, over documents as they were asked.

    A task file's own object knows its filters and `exact_match`. It knows no other metric, which
    lm-eval would download and run, and none of the file's templates: lm-eval's Jinja has no
    sandbox, so that a template could run any code.

    Args:
        spec: A task whose answers are free text.
        split: The first document's columns, as `scored_row` gives them.
    """
    if spec.bench.lm_eval is not None:
        return task_over(shipped_config(spec) | {"process_docs": None}, split)
    config = spec.model_dump(include=_SCORED, exclude_none=True) | {"doc_to_text": ""}
    if ANSWER in split.column_names:
        config["doc_to_target"] = f"{{{{ {ANSWER} }}}}"
    options = next((m for m in spec.metric_list or () if m.metric == FREE_TEXT_METRIC), None)
    given = {} if options is None else options.model_extra or {}
    return task_over(config | {"metric_list": [given | _CREDIT]}, split)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What lm-eval's task says of one response.

    Attributes:
        metric: The metric that is the credit.
        value: What it gives.
        drew: Whether it drew at random.
        error: What its code failed with; empty if it did not.
    """

    metric: str
    value: Any = None
    drew: bool = False
    error: str = ""


def scored(
    spec: TaskSpec, rows: Sequence[Mapping[str, Any]], responses: Sequence[str]
) -> list[Scored]:
    """Return what lm-eval's first filter pipeline and `process_results` make of responses.

    The global generators of random numbers are left as they were.

    Args:
        spec: A task whose answers are free text.
        rows: Data rows, as `scored_row` gives them.
        responses: Generated text, one per row.
    """
    from datasets import Dataset
    from lm_eval.api.instance import Instance

    task = scoring_task(spec, Dataset.from_list([dict(row) for row in rows[:1]]))
    instances = [
        Instance("generate_until", dict(row), ("",), 0, (spec.task, i, 1), resps=[response])
        for i, (row, response) in enumerate(zip(rows, responses, strict=True))
    ]
    pipeline = task._filters[0]
    pipeline.apply(instances)
    metric = spec.bench.lm_eval.metric if spec.bench.lm_eval else None
    return [
        _scored(task, metric or FREE_TEXT_METRIC, one.doc, one.filtered_resps[pipeline.name])
        for one in instances
    ]


def _scored(task: Any, metric: str, row: Mapping[str, Any], answer: Any) -> Scored:
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 (lm-eval's tasks draw from it)
    try:
        results = task.process_results(row, [answer])
    except Exception as error:
        return Scored(metric=metric, error=f"{type(error).__name__}: {error}")
    finally:
        drew = random.getstate() != states[0] or _moved(states[1])
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
    return Scored(metric=metric, value=results.get(metric), drew=drew)


def _moved(before: Any) -> bool:
    after: Any = np.random.get_state()  # noqa: NPY002
    return bool(after[2] != before[2] or (after[1] != before[1]).any())


def shipped_config(spec: TaskSpec) -> dict[str, Any]:
    """Return the configuration of a task that ships with lm-eval, functions resolved.

    Its `!function` code is run: it came with the installed lm-eval, like the rest of it. Names
    are looked up nowhere else, so that no task file of a user can bring code along.

    Args:
        spec: A spec with `metadata.vlmbench.lm_eval`.
    """
    from lm_eval.tasks._yaml_loader import load_yaml

    assert spec.bench.lm_eval is not None, "called for tasks of lm-eval"
    return dict(load_yaml(shipped_yaml(spec.bench.lm_eval.task), resolve_func=True))


def task_over(config: Mapping[str, Any], split: Dataset) -> ConfigurableTask:
    """Return lm-eval's task object of a configuration, with the given rows as all its data.

    Args:
        config: What its YAML says, functions resolved.
        split: Rows to measure on, at least one.
    """
    from lm_eval.api.task import ConfigurableTask

    kept = {key: value for key, value in config.items() if key not in _STRUCTURE}
    # Examples are never shown, but lm-eval makes a sampler of them anyway: a validation
    # split keeps it from warning.
    kept |= dict.fromkeys(("test_split", "validation_split"), "given")
    kept |= dict.fromkeys(("training_split", "fewshot_split", "fewshot_config"))
    kept |= {"custom_dataset": lambda **_: {"given": split}, "dataset_kwargs": None}
    logger = logging.getLogger("lm_eval.api.task")
    logger.addFilter(_says_something)
    try:
        return ConfigurableTask(config=kept)
    finally:
        logger.removeFilter(_says_something)


def _says_something(record: logging.LogRecord) -> bool:
    """Leave out lm-eval's advice on `--metadata`, which does not apply to rows that are given."""
    return "Custom kwargs can be passed" not in record.getMessage()


def lm_eval_rows(task: Located[TaskSpec], split: Dataset) -> Dataset:
    """Return lm-eval's documents with what it asks about each in additional columns.

    The columns are `lm_eval_text`, `lm_eval_description` and `lm_eval_images` (PNG), and for
    multiple choice `lm_eval_choices` and `lm_eval_target`.

    Raises:
        VlmbenchError: If the task's own code fails, because the data is other than it expects.
    """
    try:
        inner = task_over(shipped_config(task.spec), split)
        documents = inner.eval_docs
        rows = [_row(inner, document) for document in documents]
    except Exception as error:
        message = f"lm-eval's own code fails on the data with {type(error).__name__}: {error}"
        remedy = "The data has another layout than the task of this lm-eval expects."
        raise VlmbenchError(task.problem("dataset_path", message, remedy)) from error
    for name in rows[0]:
        documents = documents.add_column(name, [row[name] for row in rows])
    return documents


def _row(inner: ConfigurableTask, document: Mapping[str, Any]) -> dict[str, Any]:
    images = inner.doc_to_image(document)
    row = {
        "lm_eval_text": inner.doc_to_text(document),
        "lm_eval_description": inner.resolve_field(document, inner.config.description) or "",
        "lm_eval_images": [
            {"bytes": EncodedImage.from_pil(shown(image)).data, "path": None}
            for image in (images if isinstance(images, list) else [images])
            if image is not None
        ],
    }
    if inner.OUTPUT_TYPE == "multiple_choice":
        choices = inner.doc_to_choice(document)
        target = inner.doc_to_target(document)
        row["lm_eval_choices"] = choices
        row["lm_eval_target"] = choices.index(target) if target in choices else int(target)
    return row
