"""Which of a run's numbers are published as results, what they mean, and what goes with each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from vlmbench.metrics import LOSSES, PROMPTED, RANGES, StatRow
from vlmbench.store import Run

_CLUSTERS = "at the effective number of documents where they come in clusters"
_WILSON = f"Wilson score interval, {_CLUSTERS}"
_TANGO = f"Tango score interval of a paired difference, {_CLUSTERS}"
_UNBOUNDED = 1e8


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What a metric says to people who do not know this package.

    Attributes:
        name: Its name.
        says: What it is.
        interval: How its 95% interval is computed.
        lower_is_better: Whether a model is better where it is lower.
    """

    name: str
    says: str
    interval: str
    lower_is_better: bool = False


_ANSWERED = "over the documents that were answered alone"

MEASURES: Mapping[str, Measure] = {
    "accuracy": Measure(
        name="Accuracy",
        says="mean credit; choices that tie share it, and an abstention earns none",
        interval=_WILSON,
    ),
    "accuracy_answered": Measure(
        name="Accuracy of the answered", says=f"mean credit {_ANSWERED}", interval=_WILSON
    ),
    "accuracy_corrected": Measure(
        name="Chance-corrected accuracy",
        says="(accuracy - chance) / (1 - chance)",
        interval=f"{_WILSON}, corrected alike",
    ),
    "gap": Measure(
        name="Gap",
        says="accuracy of the vision encoder's own readout minus that of the prompted model, on "
        "the same documents: positive if the encoder knows what the model does not say",
        interval=_TANGO,
        lower_is_better=True,
    ),
    "gap_answered": Measure(
        name="Gap of the answered",
        says=f"the gap {_ANSWERED}",
        interval=_TANGO,
        lower_is_better=True,
    ),
    "gap_corrected": Measure(
        name="Chance-corrected gap",
        says="the gap over (1 - chance)",
        interval=f"{_TANGO}, corrected alike",
        lower_is_better=True,
    ),
    **{
        f"lost_{name.replace(' ', '_')}": Measure(
            name=f"Gap of the {name}",
            says=f"the part of the gap that arises at the {name}",
            interval=_TANGO,
            lower_is_better=True,
        )
        for name in LOSSES.values()
    },
}
"""Metrics that are results of their own. The others go along with the result of their cell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One number that is published.

    Attributes:
        row: The number.
        measure: What it is.
        along: Further numbers of its cell, or of the cells that it compares, by their name.
    """

    row: StatRow
    measure: Measure
    along: Mapping[str, StatRow]

    @property
    def name(self) -> str:
        """What it is called within its model and task: `own/prompted/accuracy`."""
        return f"{self.row.condition}/{self.row.readout}/{self.row.metric}"

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the largest value that the metric can have; infinite where unbounded."""
        low, high = RANGES[self.row.metric]
        return (
            -math.inf if low < -_UNBOUNDED else low,
            math.inf if high > _UNBOUNDED else high,
        )

    def details(self) -> dict[str, str]:
        """Return everything that goes along, as text that reads back to the same numbers."""
        row = self.row
        found = {} if row.n is None else {"n": str(row.n)}
        found["coverage"] = repr(row.coverage)
        for name, one in self.along.items():
            if one.metric == "failed":
                found[name] = str(round(one.value))
            elif not math.isnan(one.value):
                found[name] = repr(one.value)
            if name.endswith("abstention") and one.n is not None:
                found[name.replace("abstention", "abstained")] = str(round(one.value * one.n))
        return found


def results(run: Run, model: str, task: str) -> list[Result]:
    """Return what is published of a model on a task, in the order of its statistics.

    A number that is not defined (NaN) is left out: no format can say so.
    """
    rows = [row for row in run.rows if (row.model, row.task) == (model, task)]
    return [
        Result(row=row, measure=MEASURES[row.metric], along=_along(row, rows))
        for row in rows
        if row.metric in MEASURES and not math.isnan(row.value)
    ]


def _along(row: StatRow, rows: list[StatRow]) -> dict[str, StatRow]:
    """Return what stands beside a number: of its own place, and of both cells that it compares."""
    found = {
        one.metric: one
        for one in rows
        if (one.condition, one.readout) == (row.condition, row.readout)
        and one.metric not in MEASURES
    }
    for readout in _compared(row.readout):
        for one in rows:
            here = (one.condition, one.readout) == (row.condition, readout)
            if here and one.metric in ("failed", "abstention"):
                found[f"{readout} {one.metric}"] = one
    return found


def _compared(readout: str) -> tuple[str, ...]:
    """Return the two readouts that a number compares; none where it is of one."""
    if "|" in readout:
        return tuple(readout.split("|"))
    direct = readout.removesuffix(f"-{PROMPTED}")
    return () if direct == readout else (direct, PROMPTED)
