"""lm-eval's filters and exact match, whose patterns are a stranger's: for a helper process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lm_eval.api.metrics import exact_match_fn
from lm_eval.filters import get_filter


def matches(
    steps: Sequence[tuple[str, Mapping[str, Any]]],
    options: Mapping[str, Any],
    texts: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    choices: Sequence[Sequence[str]],
) -> list[list[bool]]:
    """Return which choices lm-eval's `exact_match` finds in each text once it is filtered.

    Args:
        steps: Names and arguments of the filters, in their order.
        options: Of `exact_match`.
        texts: The generated texts.
        rows: The data row of each, which some filters look into.
        choices: What each is compared with.
    """
    found: list[Any] = [[text] for text in texts]
    for name, arguments in steps:
        found = list(get_filter(name)(**arguments).apply(found, list(rows)))
    kept = [one if isinstance(one, str) else one[0] for one in found]
    return [
        [
            bool(exact_match_fn(predictions=[text], references=[name], **options)["exact_match"])
            for name in names
        ]
        for text, names in zip(kept, choices, strict=True)
    ]
