"""Reading an answer out of generated text: lm-eval's filters, then an exact match."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmbench.readouts._lm_eval import lm_eval_credit
from vlmbench.spec import TaskSpec
from vlmbench.types import Document, Scale


def extract(
    spec: TaskSpec, documents: Sequence[Document], responses: Sequence[str]
) -> list[NDArray[np.float64] | None]:
    """Return a vote for the choice that each response names, or None where it names none.

    The task's first filter pipeline is applied by lm-eval's own filters; its result must then
    equal exactly one choice under lm-eval's `exact_match` with the task's options. Anything
    else is an abstention: nothing is guessed, and no closest choice is taken. Tasks that ship
    with lm-eval are credited by their own code instead (`lm_eval_credit`).

    Args:
        spec: The task.
        documents: Documents in order.
        responses: Generated text, one per document.

    Returns:
        Per document, (n choices,) float64 with a single 1, or None.
    """
    if spec.is_free_text:
        return lm_eval_credit(spec, documents, responses)
    from lm_eval.filters import get_filter

    texts: list[Any] = [[response] for response in responses]
    rows = [dict(document.row) for document in documents]
    for step in spec.filter_list[0].filter if spec.filter_list else ():
        instance = get_filter(step.function)(**(step.model_extra or {}))
        texts = list(instance.apply(texts, rows))
    options = _match_options(spec)
    votes: list[NDArray[np.float64] | None] = []
    for document, text in zip(documents, texts, strict=True):
        found = text if isinstance(text, str) else text[0]
        hits = [
            index for index, choice in enumerate(document.choices) if _equal(found, choice, options)
        ]
        votes.append(np.eye(len(document.choices))[hits[0]] if len(hits) == 1 else None)
    return votes


def text_scale(spec: TaskSpec) -> Scale:
    """Return what the numbers of `extract` are."""
    return "credit" if spec.is_free_text else "vote"


def _match_options(spec: TaskSpec) -> dict[str, Any]:
    for metric in spec.metric_list or ():
        if metric.metric == "exact_match":
            return dict(metric.model_extra or {})
    return {}


def _equal(text: str, choice: str, options: Mapping[str, Any]) -> bool:
    from lm_eval.api.metrics import exact_match_fn

    result = exact_match_fn(predictions=[text], references=[choice], **options)
    return bool(result["exact_match"])
