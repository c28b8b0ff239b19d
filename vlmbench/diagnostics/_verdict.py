"""The verdict: which failure signature the indicators show, on what evidence, and how firmly.

The criteria are in `_criteria.py`, in order of precedence. The order follows the signal on its
way from the pixels to the answer, and the first place where it is shown to be lost names the
failure:

1. *encoder-limited* first: nothing later can be blamed for what the encoder does not hold.
   The readout of an encoder can be too weak for its encoder, so the criterion also asks that the
   image does not help the model; if it does help, the encoder knows.
2. *readout bottleneck* second, although it lies at the far end: it rests on positive evidence.
   If late layers carry the answer, then the image was neither neglected nor left unfused.
3. *visual neglect*, the strong form (the dependency test fails): answers that do not depend on the
   image make every later test a test of the text alone.
4. *fusion bottleneck*: the encoder is high and answers move with the image, but image and text
   states share nothing that they do not share without the image.
5. *negative exchange rate*: the image arrives and does harm, under the plain prompt; this comes
   before what only shows under hints or filler.
6. *text dominance* and 7. *budget collapse*: the image counts until text competes, first by what
   it says, then by its length. Both ask that the image helps under the plain prompt: where it
   does not there is nothing to override, and a wrong hint outweighs a guess in any model.
8. *visual neglect*, the weak form (asked no better than blind): all that is left to say of a
   model whose answers move with the image to no use.
9. *uses its vision*: none of the above, and the image raises accuracy.

A clause is open if the interval of its indicator reaches across the threshold. A criterion that
is open might have been met, so it keeps later ones from giving a name, and the verdict is
*inconclusive*; the weak form of visual neglect yields only to encoder-limited, because the finer
names would only say more about the same failure. A criterion that needs an indicator that was not
measured is left out, and the verdict says so.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from vlmbench.diagnostics._criteria import (
    CRITERIA,
    INDICATORS,
    Clause,
    Criterion,
    IndicatorName,
    VerdictName,
)
from vlmbench.diagnostics._thresholds import Thresholds
from vlmbench.metrics import above, number, rate
from vlmbench.types import Stat

State = Literal["met", "open", "ruled out", "not measured"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Indicators:
    """What the criteria are applied to.

    Attributes:
        stats: The indicators that were measured, by name.
        floor: The measured numeric floor, which takes the place of a smaller threshold of `shift`.
    """

    stats: Mapping[IndicatorName, Stat]
    floor: float = 0.0

    def limit(self, clause: Clause, thresholds: Thresholds) -> float:
        """Return the threshold of a clause."""
        value = thresholds.value(clause.threshold)
        return max(value, self.floor) if clause.indicator == "shift" else value

    def judge(self, clause: Clause, thresholds: Thresholds) -> bool | None:
        """Tell whether a clause holds; None if it is open."""
        return clause.holds(self.stats[clause.indicator], self.limit(clause, thresholds))

    def moved(self, stats: Mapping[IndicatorName, Stat]) -> Indicators:
        """Return the same with some indicators in another place."""
        return Indicators(stats={**self.stats, **stats}, floor=self.floor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One indicator whose move would alter the verdict.

    Attributes:
        indicator: Which one.
        low: The verdict changes once the whole interval lies above this; -inf if there is no end.
        high: And at or below this; inf if there is no end.
        verdict: What the verdict would be.
    """

    indicator: IndicatorName
    low: float
    high: float
    verdict: VerdictName


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One line about a model on a task, and what it rests on.

    Attributes:
        name: Which failure, or none.
        reason: What the criterion that was met says, or what kept any from being met.
        seen: The indicators with their intervals, those of the criterion first.
        would_change: For each indicator that could alter the verdict: where it would have to lie.
        changes: The same as numbers.
        between: If inconclusive, what it could be with every indicator on one side of every
            threshold that its interval crosses; empty otherwise, or if that might meet no
            criterion.
    """

    name: VerdictName
    reason: str
    seen: tuple[str, ...]
    would_change: tuple[str, ...]
    changes: tuple[Change, ...] = field(repr=False)
    between: tuple[VerdictName, ...] = ()

    @property
    def alternatives(self) -> str:
        """What it could be, in words: `encoder-limited or visual neglect`; empty if settled."""
        *first, last = self.between or ("",)
        return f"{', '.join(first)} or {last}" if first else last


def verdict(indicators: Indicators, thresholds: Thresholds) -> Verdict:
    """Apply the criteria in order and say what decided."""
    met, states = _decide(indicators, thresholds)
    changes = _changes(indicators, thresholds)
    return Verdict(
        name="inconclusive" if met is None else met.verdict,
        reason=_why_not(indicators, thresholds, states) if met is None else met.says,
        seen=_seen(indicators, thresholds, met, states),
        would_change=tuple(_sentence(change, indicators) for change in changes),
        changes=changes,
        between=_between(indicators, thresholds) if met is None else (),
    )


def _state(criterion: Criterion, indicators: Indicators, thresholds: Thresholds) -> State:
    """Return what is known: one clause that fails rules a criterion out, whatever is missing."""
    held = [
        indicators.judge(clause, thresholds)
        for clause in criterion.clauses
        if clause.indicator in indicators.stats
    ]
    if False in held:
        return "ruled out"
    if len(held) < len(criterion.clauses):
        return "not measured"
    return "open" if None in held else "met"


def _decide(indicators: Indicators, thresholds: Thresholds) -> tuple[Criterion | None, list[State]]:
    """Return the criterion that gives the name, or None, and the state of every criterion."""
    states = [_state(criterion, indicators, thresholds) for criterion in CRITERIA]
    unsettled: set[VerdictName] = set()
    for criterion, state in zip(CRITERIA, states, strict=True):
        yields_to = unsettled if criterion.yields_to is None else set(criterion.yields_to)
        if state == "met" and not unsettled & yields_to:
            return criterion, states
        if state in ("met", "open"):
            unsettled.add(criterion.verdict)
    return None, states


def _name(indicators: Indicators, thresholds: Thresholds) -> VerdictName:
    met, _ = _decide(indicators, thresholds)
    return "inconclusive" if met is None else met.verdict


def _cuts(name: IndicatorName, indicators: Indicators, thresholds: Thresholds) -> list[float]:
    """Return the thresholds that an indicator is held against, in order."""
    clauses = (c for criterion in CRITERIA for c in criterion.clauses if c.indicator == name)
    return sorted({indicators.limit(clause, thresholds) for clause in clauses})


def _between(indicators: Indicators, thresholds: Thresholds) -> tuple[VerdictName, ...]:
    """Return the names that the intervals allow, in order of precedence."""
    sides: list[list[Stat]] = []
    for name, stat in indicators.stats.items():
        cuts = _cuts(name, indicators, thresholds)
        open_at = [cut for cut in cuts if not above(stat.low, cut) and above(stat.high, cut)]
        ends = [*open_at, stat.high] if open_at else [stat.value]
        sides.append([Stat(value=end, n=stat.n) for end in ends])
    names = {
        _name(indicators.moved(dict(zip(indicators.stats, stats, strict=True))), thresholds)
        for stats in itertools.product(*sides)
    }
    if "inconclusive" in names:
        return ()
    ordered = dict.fromkeys(criterion.verdict for criterion in CRITERIA)
    return tuple(name for name in ordered if name in names)


def _changes(indicators: Indicators, thresholds: Thresholds) -> tuple[Change, ...]:
    """Try every indicator on every side of its thresholds, the others left as they are."""
    current = _name(indicators, thresholds)
    found: list[Change] = []
    for indicator in INDICATORS:
        edges = [-math.inf, *_cuts(indicator, indicators, thresholds), math.inf]
        for low, high in itertools.pairwise(edges):
            stat = Stat(value=high if math.isfinite(high) else low + 1.0, n=1)
            name = _name(indicators.moved({indicator: stat}), thresholds)
            if name == current:
                continue
            last = found[-1] if found else None
            if last and (last.indicator, last.verdict, last.high) == (indicator, name, low):
                low = found.pop().low  # noqa: PLW2901  (two neighbouring ranges say one thing)
            found.append(Change(indicator=indicator, low=low, high=high, verdict=name))
    return tuple(found)


def _sentence(change: Change, indicators: Indicators) -> str:
    ends = []
    if math.isfinite(change.low):
        ends.append(f"above {rate(change.low)}")
    if math.isfinite(change.high):
        ends.append(f"at most {rate(change.high)}")
    where = " and ".join(ends) or "known more exactly"
    stat = indicators.stats.get(change.indicator)
    now = "was not measured" if stat is None else f"it is {number(stat)}"
    return f"{change.verdict}, if {INDICATORS[change.indicator]} were {where} ({now})"


def _seen(
    indicators: Indicators, thresholds: Thresholds, met: Criterion | None, states: list[State]
) -> tuple[str, ...]:
    deciding = () if met is None else met.clauses
    others = (clause for criterion in CRITERIA for clause in criterion.clauses)
    clauses: dict[IndicatorName, Clause] = {}
    for clause in (*deciding, *others):
        clauses.setdefault(clause.indicator, clause)
    lines = [
        _observed(indicators.stats[name], clause, indicators.limit(clause, thresholds))
        for name, clause in clauses.items()
        if name in indicators.stats
    ]
    lines += [
        f"not measured: {words}"
        for name, words in INDICATORS.items()
        if name not in indicators.stats
    ]
    left_out = [
        criterion.verdict
        for criterion, state in zip(CRITERIA, states, strict=True)
        if state == "not measured"
    ]
    if left_out:
        lines.append(f"left out for lack of measurements: {', '.join(dict.fromkeys(left_out))}")
    return tuple(lines)


def _observed(stat: Stat, clause: Clause, limit: float) -> str:
    above = Clause(clause.indicator, "above", clause.threshold).holds(stat, limit)
    side = {True: "above", False: "at most", None: "on either side of"}[above]
    return f"{INDICATORS[clause.indicator]} is {number(stat)}, {side} {rate(limit)} (n {stat.n})"


def _why_not(indicators: Indicators, thresholds: Thresholds, states: list[State]) -> str:
    """Say what kept every criterion from being met."""
    opened = [
        f"{INDICATORS[clause.indicator]} {number(indicators.stats[clause.indicator])} reaches "
        f"across {rate(indicators.limit(clause, thresholds))}"
        for criterion, state in zip(CRITERIA, states, strict=True)
        if state == "open"
        for clause in criterion.clauses
        if indicators.judge(clause, thresholds) is None
    ]
    if not opened:
        return "what was measured does not meet any criterion"
    return "; ".join(dict.fromkeys(opened))
