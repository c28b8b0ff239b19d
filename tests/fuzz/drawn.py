"""Cases that hypothesis draws, each tried under the guard and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from guard import Outcome
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

CaseT = TypeVar("CaseT")


def counted(
    cases: SearchStrategy[CaseT],
    examples: int,
    run: Callable[[CaseT], Outcome],
    sound: Callable[[Outcome], None],
) -> Counter[str]:
    """Try so many cases; return how many were accepted and refused.

    Args:
        cases: What is drawn, the same every time.
        examples: How many.
        run: Tries one.
        sound: Fails where an outcome is none that may be.
    """
    counts: Counter[str] = Counter()

    @settings(
        max_examples=examples, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate],
    )  # fmt: skip
    @given(cases)
    def once(case: CaseT) -> None:
        outcome = run(case)
        counts["accepted" if outcome.refused is None else "refused"] += 1
        sound(outcome)

    once()
    return counts
