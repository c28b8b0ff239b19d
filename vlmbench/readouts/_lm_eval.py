"""Credit of generated text as lm-eval's own task gives it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vlmbench.spec import FREE_TEXT_METRIC, TaskSpec
from vlmbench.tasks import Scored, scored, scored_row
from vlmbench.templates import CallError, Limited
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
        VlmbenchError: If the metric is not a number in [0, 1], the task's code fails, or a pattern
            of a file takes longer than a helper process may.
    """
    rows = [scored_row(spec, document.row) for document in documents]
    try:
        # lm-eval's own tasks are trusted; a file's patterns may take for ever.
        judge = _SCORED if spec.bench.lm_eval is None else scored
        found = judge(spec, rows, list(responses))
    except CallError as error:
        message = f"lm-eval's filters and `{FREE_TEXT_METRIC}` fail: {error.message}"
        raise VlmbenchError(Problem(field=spec.task, message=message)) from error
    return [_credit(spec, *one) for one in zip(documents, found, strict=True)]


_SCORED = Limited(
    "vlmbench.tasks._lm_eval:scored", seconds=5.0, imports=("datasets", "lm_eval.api.task")
)


def _credit(spec: TaskSpec, document: Document, one: Scored) -> NDArray[np.float64] | None:
    if one.error:
        message = f"lm-eval's own scoring fails with {one.error}"
        raise VlmbenchError(_problem(spec, document, message))
    value = one.value
    if not isinstance(value, bool | int | float | np.number) or not 0 <= float(value) <= 1:
        message = (
            f"lm-eval's metric `{one.metric}` gives {value!r}, which is not a credit in [0, 1]"
        )
        raise VlmbenchError(_problem(spec, document, message))
    return None if one.drew else np.array([float(value), 1.0 - float(value)])


def _problem(spec: TaskSpec, document: Document, message: str) -> Problem:
    return Problem(field=spec.task, message=f"document {document.doc_id!r}: {message}")
