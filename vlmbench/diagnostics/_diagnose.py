"""All tests on the evidence of one model and task."""

from __future__ import annotations

from vlmbench.diagnostics import (
    budget,
    certainty,
    consistency,
    contribution,
    dependency,
    override,
    sensitivity,
)
from vlmbench.diagnostics._evidence import Evidence
from vlmbench.diagnostics._outcome import Outcome, Test
from vlmbench.types import VlmbenchError

TESTS: tuple[Test, ...] = (
    dependency.TEST,
    override.TEST,
    consistency.TEST,
    sensitivity.TEST,
    contribution.TEST,
    certainty.TEST,
    budget.TEST,
)
"""All tests, in the order in which they are run, numbered and reported."""


def diagnose(evidence: Evidence, *, seed: int = 0) -> tuple[Outcome, ...]:
    """Return the outcomes of all tests, in the order of `TESTS`.

    A pure function of what was stored: no model, and the same outcomes every time. A test whose
    cells are missing, have no log-likelihoods, or do not cover the same documents gives an outcome
    that says so, and the others still run.

    Args:
        evidence: The stored cells.
        seed: Seed of bootstraps, permutations and folds.
    """
    outcomes = []
    for test in TESTS:
        try:
            outcomes.append(test.run(evidence, seed))
        except VlmbenchError as error:
            outcomes.append(test.could_not_run(error.problems[0].message.rstrip(".")))
    return tuple(outcomes)
