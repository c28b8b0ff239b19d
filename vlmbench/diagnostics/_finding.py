"""What a diagnostic says: figures with their uncertainty, and whether the test holds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from vlmbench.types import Stat

TestName = Literal[
    "dependency",
    "override",
    "consistency",
    "sensitivity",
    "contribution",
    "certainty",
    "budget",
]

TEST_NAMES: tuple[TestName, ...] = get_args(TestName)
"""The seven tests, in the order in which they are reported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One figure of one test.

    Attributes:
        test: Test that the figure belongs to.
        figure: What was measured, in words ("total variation", "usable information").
        at: Where it was measured: {"against": "swapped"}, {"layer": 3}, {"by": "blur",
            "strength": 0.5}; empty if there is only one.
        stat: Value, 95% interval, number of documents, and coverage: the share of the documents
            that the comparison could use.
        unit: "TV", "share", "bits", "log-odds (nats)", "accuracy", "p", ...
    """

    test: TestName
    figure: str
    at: Mapping[str, str | float | int] = field(default_factory=dict)
    stat: Stat
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One test on one model and task.

    Attributes:
        test: Which test.
        holds: Whether the test holds; None if it is inconclusive or could not be run.
        reason: One sentence with the figures that decided, or why the test could not be run.
        findings: Every figure of the test; empty if it could not be run.
    """

    test: TestName
    holds: bool | None
    reason: str
    findings: tuple[Finding, ...] = ()

    def find(self, figure: str, **at: str | float | int) -> Finding | None:
        """Return the figure of that name measured at exactly `at`, or None if there is none."""
        for finding in self.findings:
            if finding.figure == figure and dict(finding.at) == at:
                return finding
        return None


def could_not_run(test: TestName, why: str) -> Outcome:
    """Return the outcome of a test whose cells are missing or cannot be compared."""
    return Outcome(test=test, holds=None, reason=f"Could not be run: {why}.")


def dump_outcomes(outcomes: tuple[Outcome, ...]) -> str:
    """Return outcomes as JSON, the same bytes for the same outcomes; NaN becomes null."""
    return (
        json.dumps(
            [
                {
                    "test": outcome.test,
                    "holds": outcome.holds,
                    "reason": outcome.reason,
                    "findings": [_as_json(finding) for finding in outcome.findings],
                }
                for outcome in outcomes
            ],
            indent=1,
            allow_nan=False,
        )
        + "\n"
    )


def _as_json(finding: Finding) -> dict[str, object]:
    """Return one figure as plain data."""
    stat = finding.stat
    numbers = {"value": stat.value, "low": stat.low, "high": stat.high}
    return {
        "figure": finding.figure,
        "at": dict(finding.at),
        **{name: None if math.isnan(number) else number for name, number in numbers.items()},
        "n": stat.n,
        "coverage": stat.coverage,
        "unit": finding.unit,
    }
