"""The verdict: which failure signature the figures show, on what evidence, and how firmly.

The rules stand in `_rules.py`, in order of precedence. The order follows the signal on its way
from the pixels to the answer, and the first place where it is shown to be lost gives the name:

1. *encoder-limited* first: what the encoder does not hold, nothing after it can be blamed for.
   The readout of an encoder can be too weak for its encoder, so the rule also asks that the
   image does not help the model; otherwise the encoder evidently knows.
2. *readout bottleneck* second, although it lies at the far end: it rests on positive evidence.
   If late layers carry the answer, then the image was neither neglected nor left unfused.
3. *visual neglect*, the strong form (test 1 fails): answers that do not depend on the image make
   every later test a test of the text alone.
4. *fusion bottleneck*: the encoder is high and answers move with the image, but image and text
   states share nothing.
5. *negative exchange rate*: the image arrives and does harm, under the plain prompt; this comes
   before what only shows under hints or filler.
6. *text dominance* and 7. *budget collapse*: the image counts until text competes, first by what
   it says, then by its length. Both ask that the image helps under the plain prompt: where it
   does not there is nothing to override, and a wrong hint outweighs a guess in any model.
8. *visual neglect*, the weak form (asked no better than blind): all that is left to say of a
   model whose answers move with the image to no use.
9. *uses its vision*: none of the above, and the image raises accuracy.

A clause is open where the interval of its figure reaches over the threshold. A rule that is open
might have fired, so it keeps later rules from giving a name, and the verdict is *inconclusive*;
the weak form of visual neglect yields only to encoder-limited, because the finer names would
merely say more about the same failure. A rule that needs a figure nobody measured is left out,
and the verdict says so.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from vlmbench.diagnostics._rules import FIGURES, RULES, Clause, FigureName, Rule, VerdictName
from vlmbench.diagnostics._thresholds import Thresholds
from vlmbench.types import Stat

State = Literal["fires", "open", "ruled out", "not measured"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What the rules are applied to.

    Attributes:
        stats: The figures that were measured, by name.
        floor: Test 1's measured floor, which takes the place of a smaller threshold of `shift`.
    """

    stats: Mapping[FigureName, Stat]
    floor: float = 0.0

    def limit(self, clause: Clause, thresholds: Thresholds) -> float:
        """Return the threshold of a clause."""
        value = thresholds.value(clause.threshold)
        return max(value, self.floor) if clause.figure == "shift" else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One figure whose move would alter the verdict.

    Attributes:
        figure: Which one.
        low: The verdict changes once the whole interval lies above this; -inf if there is no end.
        high: And at or below this; inf if there is no end.
        verdict: What the verdict would be.
    """

    figure: FigureName
    low: float
    high: float
    verdict: VerdictName


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One line about a model on a task, and what it rests on.

    Attributes:
        name: Which failure, or none.
        rule: The rule that fired, or what kept any from firing.
        seen: The figures with their intervals, those of the rule first.
        would_change: For each figure that could alter the verdict: where it would have to lie.
        changes: The same as numbers.
        between: If inconclusive, what it could be with every figure on one side of every
            threshold that its interval reaches over; else, or if that might fit no rule, empty.
    """

    name: VerdictName
    rule: str
    seen: tuple[str, ...]
    would_change: tuple[str, ...]
    changes: tuple[Change, ...] = field(repr=False)
    between: tuple[VerdictName, ...] = ()

    @property
    def alternatives(self) -> str:
        """What it could be, in words: `encoder-limited or visual neglect`; empty if settled."""
        *first, last = self.between or ("",)
        return f"{', '.join(first)} or {last}" if first else last


def verdict(figures: Figures, thresholds: Thresholds) -> Verdict:
    """Apply the rules in order and say what decided."""
    rule, states = _decide(figures, thresholds)
    changes = _changes(figures, thresholds)
    return Verdict(
        name="inconclusive" if rule is None else rule.verdict,
        rule=_why_not(figures, thresholds, states) if rule is None else rule.says,
        seen=_seen(figures, thresholds, rule, states),
        would_change=tuple(_sentence(change, figures) for change in changes),
        changes=changes,
        between=_between(figures, thresholds) if rule is None else (),
    )


def number(value: float) -> str:
    """Write a figure with three decimals and no leading zero: `.004`, `-1.250`."""
    text = f"{value:.3f}"
    text = "0.000" if text == "-0.000" else text
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def interval(stat: Stat) -> str:
    """Write a stat with its interval, if it has one: `.004 [.001, .008]`."""
    if math.isnan(stat.low) or math.isnan(stat.high):
        return number(stat.value)
    return f"{number(stat.value)} [{number(stat.low)}, {number(stat.high)}]"


def _state(rule: Rule, figures: Figures, thresholds: Thresholds) -> State:
    """Return what is known of a rule: one clause that fails rules it out, whatever is missing."""
    held = [
        clause.holds(stat, figures.limit(clause, thresholds))
        for clause in rule.clauses
        if (stat := figures.stats.get(clause.figure)) is not None
    ]
    if False in held:
        return "ruled out"
    if len(held) < len(rule.clauses):
        return "not measured"
    return "open" if None in held else "fires"


def _decide(figures: Figures, thresholds: Thresholds) -> tuple[Rule | None, list[State]]:
    """Return the rule that gives the name, or None, and the state of every rule."""
    states = [_state(rule, figures, thresholds) for rule in RULES]
    for place, rule in enumerate(RULES):
        if states[place] != "fires":
            continue
        unsettled = {
            RULES[earlier].verdict
            for earlier in range(place)
            if states[earlier] in ("open", "fires")
        }
        if not (unsettled if rule.yields_to is None else unsettled & set(rule.yields_to)):
            return rule, states
    return None, states


def _name(figures: Figures, thresholds: Thresholds) -> VerdictName:
    rule, _ = _decide(figures, thresholds)
    return "inconclusive" if rule is None else rule.verdict


def _cuts(figure: FigureName, figures: Figures, thresholds: Thresholds) -> list[float]:
    """Return the thresholds that a figure is held against, in order."""
    clauses = (clause for rule in RULES for clause in rule.clauses if clause.figure == figure)
    return sorted({figures.limit(clause, thresholds) for clause in clauses})


def _between(figures: Figures, thresholds: Thresholds) -> tuple[VerdictName, ...]:
    """Return the names that the intervals allow, in order of precedence."""
    sides: list[list[Stat]] = []
    for figure, stat in figures.stats.items():
        open_at = [c for c in _cuts(figure, figures, thresholds) if stat.low <= c < stat.high]
        ends = [*open_at, stat.high] if open_at else [stat.value]
        sides.append([Stat(value=end, n=stat.n) for end in ends])
    names = {
        _name(
            Figures(stats=dict(zip(figures.stats, stats, strict=True)), floor=figures.floor),
            thresholds,
        )
        for stats in itertools.product(*sides)
    }
    if "inconclusive" in names:
        return ()
    return tuple(name for name in dict.fromkeys(rule.verdict for rule in RULES) if name in names)


def _changes(figures: Figures, thresholds: Thresholds) -> tuple[Change, ...]:
    """Try every figure on every side of its thresholds, the others left as they are."""
    current = _name(figures, thresholds)
    found: list[Change] = []
    for figure in FIGURES:
        edges = [-math.inf, *_cuts(figure, figures, thresholds), math.inf]
        for low, high in itertools.pairwise(edges):
            moved = Stat(value=high if math.isfinite(high) else low + 1.0, n=1)
            name = _name(
                Figures(stats={**figures.stats, figure: moved}, floor=figures.floor), thresholds
            )
            if name == current:
                continue
            last = found[-1] if found else None
            if last and (last.figure, last.verdict, last.high) == (figure, name, low):
                low = found.pop().low  # noqa: PLW2901  (two neighbouring ranges say one thing)
            found.append(Change(figure=figure, low=low, high=high, verdict=name))
    return tuple(found)


def _sentence(change: Change, figures: Figures) -> str:
    ends = []
    if math.isfinite(change.low):
        ends.append(f"above {number(change.low)}")
    if math.isfinite(change.high):
        ends.append(f"at most {number(change.high)}")
    stat = figures.stats.get(change.figure)
    now = "was not measured" if stat is None else f"it is {interval(stat)}"
    return f"{change.verdict}, if {FIGURES[change.figure]} were {' and '.join(ends)} ({now})"


def _seen(
    figures: Figures, thresholds: Thresholds, rule: Rule | None, states: list[State]
) -> tuple[str, ...]:
    deciding = () if rule is None else rule.clauses
    others = (clause for other in RULES for clause in other.clauses)
    clauses: dict[FigureName, Clause] = {}
    for clause in (*deciding, *others):
        clauses.setdefault(clause.figure, clause)
    lines = [
        _observed(figures.stats[name], clause, figures.limit(clause, thresholds))
        for name, clause in clauses.items()
        if name in figures.stats
    ]
    left_out = [
        rule.verdict for rule, state in zip(RULES, states, strict=True) if state == "not measured"
    ]
    lines += [
        f"not measured: {words}" for name, words in FIGURES.items() if name not in figures.stats
    ]
    if left_out:
        lines.append(f"left out for want of figures: {', '.join(dict.fromkeys(left_out))}")
    return tuple(lines)


def _observed(stat: Stat, clause: Clause, limit: float) -> str:
    above = Clause(clause.figure, "above", clause.threshold).holds(stat, limit)
    side = {True: "above", False: "at most", None: "on either side of"}[above]
    return f"{FIGURES[clause.figure]} is {interval(stat)}, {side} {number(limit)} (n {stat.n})"


def _why_not(figures: Figures, thresholds: Thresholds, states: list[State]) -> str:
    """Say what kept every rule from giving a name."""
    opened = []
    for rule, state in zip(RULES, states, strict=True):
        if state != "open":
            continue
        for clause in rule.clauses:
            stat, limit = figures.stats[clause.figure], figures.limit(clause, thresholds)
            if clause.holds(stat, limit) is None:
                opened.append(
                    f"{FIGURES[clause.figure]} {interval(stat)} reaches over {number(limit)}"
                )
    if not opened:
        return "the figures that were measured fit no rule"
    return "; ".join(dict.fromkeys(opened))
