"""Credit of generated text as lm-eval's own task gives it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmbench.spec import FREE_TEXT_METRIC, TaskSpec
from vlmbench.tasks import scored_row, scoring_task
from vlmbench.types import Document, Problem, VlmbenchError


def lm_eval_credit(
    spec: TaskSpec, documents: Sequence[Document], responses: Sequence[str]
) -> list[NDArray[np.float64] | None]:
    """Return the credit that lm-eval's task gives each response, or None if it guessed.

    The task's first filter pipeline and its `process_results` are run by lm-eval itself. The
    credit is the metric `metadata.vlmbench.lm_eval.metric` of its result for a task that ships
    with lm-eval, and `exact_match` for a task file of one's own. Deviation: some tasks
    (MMMU, PISA) draw a letter at random where they can read none. Such an answer is abstained on
    here: nothing is guessed, and no number depends on the order of documents. The draw is
    noticed by the state of the global generators, which are left as they were.

    Args:
        spec: A task whose answers are free text.
        documents: Documents in order.
        responses: Generated text, one per document.

    Returns:
        Per document, (2,) float64: credit in [0, 1] and 1 minus that credit; or None.

    Raises:
        VlmbenchError: If the metric is not a number in [0, 1], or the task's code fails.
    """
    from datasets import Dataset
    from lm_eval.api.instance import Instance

    rows = [scored_row(spec, document.row) for document in documents]
    task = scoring_task(spec, Dataset.from_list(rows[:1]))
    instances = [
        Instance("generate_until", row, ("",), 0, (spec.task, index, 1), resps=[response])
        for index, (row, response) in enumerate(zip(rows, responses, strict=True))
    ]
    pipeline = task._filters[0]
    pipeline.apply(instances)
    return [
        _credit(spec, document, task, instance.doc, instance.filtered_resps[pipeline.name])
        for document, instance in zip(documents, instances, strict=True)
    ]


def _credit(
    spec: TaskSpec, document: Document, task: Any, row: Mapping[str, Any], answer: Any
) -> NDArray[np.float64] | None:
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 (lm-eval's tasks draw from it)
    try:
        results = task.process_results(row, [answer])
    except Exception as error:
        message = f"lm-eval's own scoring fails with {type(error).__name__}: {error}"
        raise VlmbenchError(_problem(spec, document, message)) from error
    finally:
        drew = random.getstate() != states[0] or _moved(states[1])
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
    metric = spec.bench.lm_eval.metric if spec.bench.lm_eval else FREE_TEXT_METRIC
    value = results.get(metric)
    if not isinstance(value, bool | int | float | np.number) or not 0 <= float(value) <= 1:
        message = f"lm-eval's metric `{metric}` gives {value!r}, which is not a credit in [0, 1]"
        raise VlmbenchError(_problem(spec, document, message))
    return None if drew else np.array([float(value), 1.0 - float(value)])


def _moved(before: Any) -> bool:
    after: Any = np.random.get_state()  # noqa: NPY002
    return bool(after[2] != before[2] or (after[1] != before[1]).any())


def _problem(spec: TaskSpec, document: Document, message: str) -> Problem:
    return Problem(field=spec.task, message=f"document {document.doc_id!r}: {message}")
