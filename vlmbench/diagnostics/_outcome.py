"""What a diagnostic is and what it says: measurements with their uncertainty, and whether it holds.

Every test is a module of its own in this room, with its quantities, the function `outcome` that
computes them from scores, and `TEST`; the tuple `TESTS` lists them all.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vlmbench.diagnostics._evidence import Evidence
from vlmbench.types import Stat


@dataclass(frozen=True, slots=True)
class Quantity:
    """Something that a test measures.

    Attributes:
        name: What it is, in words: "total variation", "usable information".
        unit: "TV", "share", "bits", "log-odds (nats)", "accuracy", "p", ...
    """

    name: str
    unit: str

    def measured(self, stat: Stat, **at: str | float) -> Measurement:
        """Return the measurement of this quantity at one place."""
        return Measurement(quantity=self, at=at, stat=stat)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The value of one quantity.

    Attributes:
        quantity: What was measured.
        at: Where it was measured: {"against": "swapped"}, {"layer": 3}, {"by": "blur",
            "strength": 0.5}; empty if there is only one.
        stat: Value, 95% interval, number of documents, and coverage: the share of the documents
            that the comparison could use.
    """

    quantity: Quantity
    at: Mapping[str, str | float]
    stat: Stat


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """A diagnostic.

    Attributes:
        name: What files and the terminal call it: "override".
        title: Its full name: "counterfactual override".
        head: The name as the head of a narrow column, with hyphens and line breaks.
        run: Returns the outcome from a run's evidence and the seed of bootstraps, permutations
            and folds. May raise a VlmbenchError, which says why the test could not be run.
    """

    name: str
    title: str
    head: str
    run: Callable[[Evidence, int], Outcome]

    def could_not_run(self, why: str) -> Outcome:
        """Return the outcome where cells are missing or cannot be compared."""
        return Outcome(test=self, holds=None, reason=f"Could not be run: {why}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Something that was measured of one model and task.

    Attributes:
        measurements: Everything that was measured.
    """

    measurements: tuple[Measurement, ...] = ()

    def every(self, quantity: Quantity, **at: str | float) -> tuple[Measurement, ...]:
        """Return all measurements of a quantity whose place includes `at`, in their order."""
        return tuple(
            found
            for found in self.measurements
            if found.quantity == quantity and at.items() <= found.at.items()
        )

    def curve(self, quantity: Quantity, over: str, **at: str | float) -> list[tuple[float, Stat]]:
        """Return a quantity as measured at exactly `at` and each value of `over`, by that value."""
        points = [
            (float(found.at[over]), found.stat)
            for found in self.every(quantity, **at)
            if found.at.keys() == {over, *at}
        ]
        return sorted(points, key=lambda point: point[0])

    def find(self, quantity: Quantity, **at: str | float) -> Stat | None:
        """Return the quantity as measured at exactly `at`, or None if it was not."""
        for found in self.measurements:
            if found.quantity == quantity and found.at == at:
                return found.stat
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Measured):
    """What one test says about one model and task.

    Attributes:
        test: Which test.
        holds: Whether the test holds; None if it is inconclusive or could not be run.
        reason: One sentence with the numbers that decided, or why the test could not be run.
        measurements: Everything that the test measured; empty if it could not be run.
    """

    test: Test
    holds: bool | None
    reason: str

    @property
    def word(self) -> str:
        """What is said of the test: holds, fails, inconclusive or not run."""
        if self.holds is None:
            return "inconclusive" if self.measurements else "not run"
        return "holds" if self.holds else "fails"


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """Something that is measured without a verdict of its own.

    Attributes:
        name: What files and plots call it: "stages".
        title: Its full name: "where the answer is lost".
        run: Returns the finding from a run's evidence and the seed of resampling; None where the
            run has no cells for it. May raise a VlmbenchError, which says why it cannot be made.
    """

    name: str
    title: str
    run: Callable[[Evidence, int], Finding | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding(Measured):
    """What one analysis says about one model and task.

    Attributes:
        analysis: Which analysis.
        says: One to three sentences with the numbers that matter most.
        measurements: Everything that it measured; empty if it could not be made.
    """

    analysis: Analysis
    says: str


def dump_outcomes(outcomes: tuple[Outcome, ...]) -> str:
    """Return outcomes as JSON, the same bytes for the same outcomes; NaN becomes null."""
    data = [
        {
            "test": outcome.test.name,
            "holds": outcome.holds,
            "reason": outcome.reason,
            "measurements": [_as_json(measurement) for measurement in outcome.measurements],
        }
        for outcome in outcomes
    ]
    return json.dumps(data, indent=1, allow_nan=False) + "\n"


def dump_findings(findings: tuple[Finding, ...]) -> str:
    """Return findings as JSON, the same bytes for the same findings; NaN becomes null."""
    data = [
        {
            "analysis": finding.analysis.name,
            "says": finding.says,
            "measurements": [_as_json(measurement) for measurement in finding.measurements],
        }
        for finding in findings
    ]
    return json.dumps(data, indent=1, allow_nan=False) + "\n"


def _as_json(measurement: Measurement) -> dict[str, object]:
    """Return one measurement as plain data."""
    stat = measurement.stat
    numbers = {"value": stat.value, "low": stat.low, "high": stat.high}
    return {
        "quantity": measurement.quantity.name,
        "at": dict(measurement.at),
        **{name: None if math.isnan(number) else number for name, number in numbers.items()},
        "n": stat.n,
        "coverage": stat.coverage,
        "unit": measurement.quantity.unit,
    }
