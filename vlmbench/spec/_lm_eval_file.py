"""What an lm-eval task file must have if vlmbench knows nothing else about the task."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain

from vlmbench.spec._checks import BENCH, Flaw
from vlmbench.spec._nearest import nearest
from vlmbench.spec._task import TaskSpec, VlmbenchTask

FREE_TEXT_METRIC = "exact_match"
"""The one metric of lm-eval's own that credits each generated answer by itself."""

LONGEST_PATTERN = 10_000
"""Characters of a filter's regular expression."""


def check_lm_eval_file(spec: TaskSpec) -> Iterator[Flaw]:
    """Yield what is missing for reading answers, and settings that nothing would read."""
    return chain(_choices(spec), _free_text(spec), _patterns(spec), _unread(spec))


def _choices(spec: TaskSpec) -> Iterator[Flaw]:
    if spec.doc_to_choice is None and spec.output_type == "multiple_choice":
        remedy = "Give the choices, or `output_type: generate_until` for free text."
        yield Flaw(("doc_to_choice",), "the key `doc_to_choice` is missing", remedy)


def _free_text(spec: TaskSpec) -> Iterator[Flaw]:
    """Free text needs a metric that credits each answer, and has no places to choose between."""
    if not spec.is_free_text or spec.bench.lm_eval is not None:
        return
    given = {metric.metric: metric.aggregation for metric in spec.metric_list or ()}
    if given and given.get(FREE_TEXT_METRIC, "absent") not in (None, "mean"):
        message = f"{', '.join(given)} cannot credit each free-text answer by itself"
        remedy = (
            f"Add `{{metric: {FREE_TEXT_METRIC}, aggregation: mean}}`; lm-eval's other metrics "
        )
        remedy += "run with `vlmbench lm-eval`."
        yield Flaw(("metric_list",), message, remedy)
    for name in ("regions", "probe"):
        if getattr(spec.bench, name) is not None:
            message = "an encoder picks one of the choices, and free text has none"
            yield Flaw((*BENCH, name), message, "Give `doc_to_choice`.")


def _patterns(spec: TaskSpec) -> Iterator[Flaw]:
    """Find patterns that Python does not take, before anybody has been asked."""
    for i, pipeline in enumerate(spec.filter_list or ()):
        for j, step in enumerate(pipeline.filter):
            pattern = (step.model_extra or {}).get("regex_pattern", "")
            keys = ("filter_list", i, "filter", j, "regex_pattern")
            if isinstance(pattern, str) and len(pattern) > LONGEST_PATTERN:
                message = f"{len(pattern):,} characters are too many for a pattern"
                yield Flaw(keys, message, f"It has at most {LONGEST_PATTERN:,}.")
                continue
            try:
                re.compile(pattern)
            except (re.error, TypeError, RecursionError, OverflowError) as error:
                yield Flaw(keys, f"is not a regular expression: {error}")


def _unread(spec: TaskSpec) -> Iterator[Flaw]:
    """Find our block misspelt, or its keys one level too high: lm-eval ignores `metadata`."""
    for key, value in (spec.metadata.model_extra or {}).items():
        keys = ("metadata", key)
        if nearest(key, ("vlmbench",)):
            yield Flaw(keys, f"nothing reads `{key}`", "Did you mean `vlmbench`?")
        elif key in VlmbenchTask.model_fields and key != "source" and not isinstance(value, str):
            message = f"`{key}` is not read here"
            yield Flaw(keys, message, "It belongs under `metadata: {vlmbench: ...}`.")
