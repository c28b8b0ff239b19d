"""Documents of tasks that ship with lm-eval, rendered by lm-eval's own code."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

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
