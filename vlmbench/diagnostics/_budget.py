"""Test 7, attention budget: does the image keep its influence as the text grows?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vlmbench.diagnostics._comparison import (
    LEAST_FLOOR,
    Comparison,
    compare,
    distances,
    exceeds,
    ratio_stat,
    rows_of,
    told,
)
from vlmbench.diagnostics._finding import Finding, Outcome
from vlmbench.metrics import credit, mean_stat
from vlmbench.types import GROUPS, ChoiceScores, ComparisonError, Internals, Stat

Floats = NDArray[np.float64]
Place = Literal["before", "after"]

WHOLE = [GROUPS.index(group) for group in ("image", "choices", "text")]
"""Positions of the groups that make up the whole prompt; regions are a part of image."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Context:
    """One length of context.

    Attributes:
        scores: Scores with each document's own images.
        internals: Attention mass and numbers of tokens of the same passes.
        other: Scores under the same text with another image in each one's place, if run.
    """

    scores: ChoiceScores
    internals: Internals
    other: ChoiceScores | None = None


def budget(
    plain: Context,
    filled: Mapping[tuple[Place, int], Context],
    *,
    floor: float | None,
    seed: int,
) -> Outcome:
    """Return where attention goes, and how the image's influence goes with the length of context.

    Attention mass is what the last position of the prompt gives to a group of tokens, averaged
    over heads; beside it stands the group's share of all tokens, which attention that makes no
    difference gives exactly. Influence is test 1's distance: TV between the distributions with
    the document's own image and with another, under the same text. Per place of the filler the
    figures at each length cover the documents that all its cells share. A slope per doubling is
    the least-squares slope over log2 of the tokens of the whole prompt, per document, then
    averaged.

    The test fails if for some place the interval of influence's slope lies wholly below 0, by more
    than the numeric floor, and holds if for none. It is open if influence was not measured, or
    does not exceed the numeric floor without filler: then there is none to lose.

    Args:
        plain: Without filler.
        filled: With filler, by its place and tokens asked for.
        floor: Numeric floor of test 1; None if not measured (then `LEAST_FLOOR`).
        seed: Seed of the bootstrap.

    Raises:
        ComparisonError: If cells do not cover the same documents, or filler adds no tokens.
    """
    findings = _attention(plain, seed)
    slopes: dict[Place, tuple[Stat, Stat]] = {}
    for place in ("before", "after"):
        lengths = {0: plain} | {
            tokens: filled[where, tokens] for where, tokens in sorted(filled) if where == place
        }
        if len(lengths) == 1:
            continue
        found, influence = _curves(place, lengths, seed)
        findings += found
        if influence is not None:
            slopes[place] = influence
    holds, reason = _decision(bool(filled), slopes, LEAST_FLOOR if floor is None else floor)
    return Outcome(test="budget", holds=holds, reason=reason, findings=tuple(findings))


def _decision(
    lengthened: bool, slopes: Mapping[Place, tuple[Stat, Stat]], floor: float
) -> tuple[bool | None, str]:
    """Return whether the test holds and why, from (influence without filler, slope) per place."""
    if not lengthened:
        return None, "No cell lengthens the prompt, so only attention without filler was measured."
    if not slopes:
        return None, "No cell changes the image under filler, so its influence was not measured."
    start = next(iter(slopes.values()))[0]
    if not all(exceeds(plain, floor) for plain, _ in slopes.values()):
        return None, (
            f"Without filler the image moves the distribution over choices by {told(start)}, not "
            f"more than the numeric floor of {floor:.2g}: there is no influence to lose."
        )
    holds = not any(slope.high < -floor for _, slope in slopes.values())
    each = " and ".join(
        f"by {told(slope)} with filler {place} the image" for place, (_, slope) in slopes.items()
    )
    return holds, (
        f"From {told(start)} without filler, the image's influence in total variation changes per "
        f"doubling of the prompt {each}, on {start.n} documents."
    )


def _attention(plain: Context, seed: int) -> list[Finding]:
    """Return attention mass per layer and group without filler, and each group's token share."""
    shared = compare(plain.scores)
    mass, tokens = _inside(plain, shared)
    findings = []
    for index, group in enumerate(GROUPS):
        known = ~np.isnan(mass[:, :, index]).any(axis=1)
        if not known.any():
            continue
        share = tokens[known, index] / tokens[known][:, WHOLE].sum(axis=1)
        coverage = shared.coverage * float(known.mean())
        stat = _mean(share, coverage, seed)
        findings.append(_finding("uniform share", stat, "share", group=group))
        for layer in range(mass.shape[1]):
            stat = _mean(mass[known, layer, index], coverage, seed)
            findings.append(_finding("attention mass", stat, "share", group=group, layer=layer + 1))
    return findings


def _curves(
    place: Place, lengths: Mapping[int, Context], seed: int
) -> tuple[list[Finding], tuple[Stat, Stat] | None]:
    """Return figures by length at one place, and influence without filler with its slope."""
    contexts = list(lengths.values())
    others = [context.other for context in contexts if context.other is not None]
    measured = len(others) == len(contexts)
    shared = compare(*(context.scores for context in contexts), *(others if measured else []))
    owns = shared.cells[: len(contexts)]
    inside = [_inside(context, shared) for context in contexts]
    whole = np.stack([tokens[:, WHOLE].sum(axis=1) for _, tokens in inside], axis=1)
    curves = {
        ("accuracy", "accuracy"): np.stack([credit(own) for own in owns], axis=1),
        ("image mass", "share"): np.stack(
            [mass[:, :, 0].mean(axis=1) for mass, _ in inside], axis=1
        ),
        ("uniform image share", "share"): np.stack([t[:, 0] for _, t in inside], axis=1) / whole,
    }
    if measured:
        moved = [distances(*pair) for pair in zip(owns, shared.cells[len(owns) :], strict=True)]
        curves["influence", "TV"] = np.stack(moved, axis=1)
    findings = _by_layer(place, list(lengths), inside, shared, seed)
    for column, tokens in enumerate(lengths):
        at: dict[str, str | int] = {"place": place, "tokens": tokens}
        length = shared.mean(whole[:, column].astype(np.float64), seed=seed)
        findings.append(_finding("length of the prompt", length, "tokens", **at))
        for (figure, unit), values in curves.items():
            stat = shared.mean(values[:, column], seed=seed)
            findings.append(_finding(figure, stat, unit, **at))
    slopes = {
        figure: shared.mean(_slopes(whole, values), seed=seed)
        for (figure, _), values in curves.items()
    }
    for (figure, unit), slope in zip(curves, slopes.values(), strict=True):
        name = f"slope of {figure} per doubling"
        findings.append(_finding(name, slope, f"{unit} per doubling", place=place))
    if not measured:
        return findings, None
    start = shared.mean(curves["influence", "TV"][:, 0], seed=seed)
    findings += _lost(place, curves["influence", "TV"], shared, seed)
    return findings, (start, slopes["influence"])


def _by_layer(
    place: Place,
    lengths: Sequence[int],
    inside: Sequence[tuple[Floats, NDArray[np.int64]]],
    shared: Comparison,
    seed: int,
) -> list[Finding]:
    """Return the image's attention mass per layer and length."""
    return [
        _finding(
            "attention mass by length",
            shared.mean(mass[:, layer, 0], seed=seed),
            "share",
            place=place,
            tokens=tokens,
            layer=layer + 1,
        )
        for tokens, (mass, _) in zip(lengths, inside, strict=True)
        for layer in range(mass.shape[1])
    ]


def _lost(place: Place, influence: Floats, shared: Comparison, seed: int) -> list[Finding]:
    """Return the share of the image's influence that the longest filler takes away."""
    first, last = influence[:, 0], influence[:, -1]
    if first.mean() <= 0:
        return []
    kept = ratio_stat(last, first, coverage=shared.coverage, seed=seed)
    stat = Stat(
        value=1 - kept.value,
        low=1 - kept.high,
        high=1 - kept.low,
        n=kept.n,
        coverage=kept.coverage,
    )
    return [_finding("share of influence lost", stat, "share", place=place)]


def _slopes(whole: NDArray[np.int64], values: Floats) -> Floats:
    """Return each document's least-squares slope over log2 of its prompt's tokens: (n,)."""
    x = np.log2(whole)
    x = x - x.mean(axis=1, keepdims=True)
    spread = (x**2).sum(axis=1)
    if (spread <= 0).any():
        raise ComparisonError("filler makes some documents' prompts no longer")
    slopes: Floats = (x * values).sum(axis=1) / spread
    return slopes


def _inside(context: Context, shared: Comparison) -> tuple[Floats, NDArray[np.int64]]:
    """Return (n, layers, groups) mass and (n, groups) tokens of the compared documents."""
    rows = rows_of(context.internals.doc_ids, shared.cells[0])
    return context.internals.mass[rows], context.internals.tokens[rows]


def _mean(values: Floats, coverage: float, seed: int) -> Stat:
    stat = mean_stat(values, seed=seed)
    return Stat(value=stat.value, low=stat.low, high=stat.high, n=stat.n, coverage=coverage)


def _finding(figure: str, stat: Stat, unit: str, **at: str | int) -> Finding:
    return Finding(test="budget", figure=figure, at=at, stat=stat, unit=unit)
