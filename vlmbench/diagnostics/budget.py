"""Attention budget: does the image keep its influence as the text grows?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vlmbench.diagnostics._cells import OWN, UNMEASURED, floor_of
from vlmbench.diagnostics._comparison import (
    Comparison,
    compare,
    distances,
    every,
    exceeds,
    ratio_of,
    restricted,
    rows_of,
)
from vlmbench.diagnostics._evidence import Evidence
from vlmbench.diagnostics._outcome import Measurement, Outcome, Quantity, Test
from vlmbench.metrics import INTERNALS, PROMPTED, above, brief, credit, told
from vlmbench.spec import Condition, Filler
from vlmbench.types import GROUPS, ChoiceScores, ComparisonError, Internals, Stat

ATTENTION = Quantity("attention mass", "share")
UNIFORM = Quantity("uniform share", "share")
ATTENTION_BY_LENGTH = Quantity("attention mass by length", "share")
LENGTH = Quantity("length of the prompt", "tokens")
ACCURACY = Quantity("accuracy", "accuracy")
IMAGE_ATTENTION = Quantity("image mass", "share")
IMAGE_UNIFORM = Quantity("uniform image share", "share")
INFLUENCE = Quantity("influence", "TV")
CHANGE = Quantity("change of influence", "TV")
LOST = Quantity("share of influence lost", "share")

Floats = NDArray[np.float64]
Place = Literal["before", "after"]
OtherImage = Literal["swapped", "blank"]

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


def outcome(
    plain: Context,
    filled: Mapping[tuple[Place, int], Context],
    *,
    floor: float | None,
    seed: int,
) -> Outcome:
    """Return where attention goes, and how the image's influence changes with the prompt's length.

    Attention mass is what the last position of the prompt gives to a group of tokens, averaged over
    heads. It is given together with the group's share of all tokens, which is what uniform
    attention gives exactly. Influence is the distance of the dependency test: TV between the
    distributions with the document's own image and with another, under the same text. What is
    measured at each length covers the documents that all cells with the filler at that place share.
    A slope per doubling is the least-squares slope over log2 of the tokens of the whole prompt, per
    document, then averaged.

    The *change of influence* is influence under the longest filler minus that without, paired by
    document. The test fails if for some place its interval lies wholly below minus the numeric
    floor, and holds if for every place it lies wholly above. It is open if an interval reaches
    across, so few documents or a short filler cannot make it hold. It is also open if influence or
    the floor was not measured, or if influence without filler does not exceed the floor, because
    then there is none to lose. A fall between the two lengths that has recovered at the longest is
    not seen.

    Args:
        plain: Without filler.
        filled: With filler, by its place and tokens asked for.
        floor: Numeric floor of the dependency test; None if not measured.
        seed: Seed of the bootstrap.

    Raises:
        ComparisonError: If cells do not cover the same documents, or filler adds no tokens.
    """
    found = _attention(plain, seed)
    changes: dict[Place, tuple[Stat, Stat]] = {}
    for place in ("before", "after"):
        lengths = {0: plain} | {
            tokens: filled[where, tokens] for where, tokens in sorted(filled) if where == place
        }
        if len(lengths) == 1:
            continue
        curves, influence = _curves(place, lengths, seed)
        found += curves
        if influence is not None:
            changes[place] = influence
    holds, reason = _decision(bool(filled), changes, floor)
    return Outcome(test=TEST, holds=holds, reason=reason, measurements=tuple(found))


def _decision(
    lengthened: bool, changes: Mapping[Place, tuple[Stat, Stat]], floor: float | None
) -> tuple[bool | None, str]:
    """Return whether the test holds and why, from (plain influence, its change) by place."""
    if not lengthened:
        return None, (
            "No cell makes the prompt longer, so only attention without filler was measured."
        )
    if not changes:
        return None, "No cell changes the image under filler, so its influence was not measured."
    start = next(iter(changes.values()))[0]
    if floor is None:
        return None, (
            f"Without filler the image moves the distribution over choices by {told(start)}, but "
            f"{UNMEASURED}."
        )
    if not all(exceeds(plain, floor) for plain, _ in changes.values()):
        return None, (
            f"Without filler the image moves the distribution over choices by {told(start)}, "
            f"which is not more than the numeric floor of {brief(floor)}: there is no "
            "influence to lose."
        )
    each = " and ".join(
        f"by {told(change)} with the longest filler {place} the image"
        for place, (_, change) in changes.items()
    )
    return every(*(_kept(change, floor) for _, change in changes.values())), (
        f"From {told(start)} without filler, the image's influence in total variation changes "
        f"{each}, on {start.n} documents; the numeric floor is {brief(floor)}."
    )


def _kept(change: Stat, floor: float) -> bool | None:
    """Tell whether influence fell by no more than the floor: None if the interval reaches across.

    A change of exactly minus the floor is not a fall beyond it.
    """
    if above(-floor, change.high):
        return False
    return None if math.isnan(change.low) or above(-floor, change.low) else True


def _attention(plain: Context, seed: int) -> list[Measurement]:
    """Return attention mass per layer and group without filler, and each group's token share."""
    shared = compare(plain.scores)
    mass, tokens = _inside(plain, shared)
    found = []
    for index, group in enumerate(GROUPS):
        known = np.asarray(~np.isnan(mass[:, :, index]).any(axis=1), dtype=np.bool_)
        if not known.any():
            continue
        share = tokens[known, index] / tokens[known][:, WHOLE].sum(axis=1)
        subset = shared.only(known)
        found.append(UNIFORM.measured(subset.mean(share, seed=seed), group=group))
        for layer in range(mass.shape[1]):
            stat = subset.mean(mass[known, layer, index], seed=seed)
            found.append(ATTENTION.measured(stat, group=group, layer=layer + 1))
    return found


def _curves(
    place: Place, lengths: Mapping[int, Context], seed: int
) -> tuple[list[Measurement], tuple[Stat, Stat] | None]:
    """Return what is measured by length at one place, and plain influence with its change."""
    contexts = list(lengths.values())
    others = [context.other for context in contexts if context.other is not None]
    measured = len(others) == len(contexts)
    shared = compare(*(context.scores for context in contexts), *(others if measured else []))
    owns = shared.cells[: len(contexts)]
    inside = [_inside(context, shared) for context in contexts]
    whole = np.stack([tokens[:, WHOLE].sum(axis=1) for _, tokens in inside], axis=1)
    curves = {
        ACCURACY: np.stack([credit(own) for own in owns], axis=1),
        IMAGE_ATTENTION: np.stack([mass[:, :, 0].mean(axis=1) for mass, _ in inside], axis=1),
        IMAGE_UNIFORM: np.stack([tokens[:, 0] for _, tokens in inside], axis=1) / whole,
    }
    if measured:
        moved = [distances(*pair) for pair in zip(owns, shared.cells[len(owns) :], strict=True)]
        curves[INFLUENCE] = np.stack(moved, axis=1)
    found = _by_layer(place, list(lengths), inside, shared, seed)
    by_length = {LENGTH: whole.astype(np.float64), **curves}
    found += [
        quantity.measured(shared.mean(values[:, column], seed=seed), place=place, tokens=tokens)
        for column, tokens in enumerate(lengths)
        for quantity, values in by_length.items()
    ]
    slopes = {
        quantity: shared.mean(_slopes(whole, values), seed=seed)
        for quantity, values in curves.items()
    }
    found += [
        per_doubling(quantity).measured(slope, place=place) for quantity, slope in slopes.items()
    ]
    if not measured:
        return found, None
    influence = curves[INFLUENCE]
    start = shared.mean(influence[:, 0], seed=seed)
    change = shared.mean(influence[:, -1] - influence[:, 0], seed=seed)
    found += [CHANGE.measured(change, place=place), *_lost(place, influence, shared, seed)]
    return found, (start, change)


def per_doubling(quantity: Quantity) -> Quantity:
    """Return the slope of a quantity per doubling of the prompt."""
    return Quantity(f"slope of {quantity.name} per doubling", f"{quantity.unit} per doubling")


def _by_layer(
    place: Place,
    lengths: Sequence[int],
    inside: Sequence[tuple[Floats, NDArray[np.int64]]],
    shared: Comparison,
    seed: int,
) -> list[Measurement]:
    """Return the image's attention mass per layer and length."""
    return [
        ATTENTION_BY_LENGTH.measured(
            shared.mean(mass[:, layer, 0], seed=seed), place=place, tokens=tokens, layer=layer + 1
        )
        for tokens, (mass, _) in zip(lengths, inside, strict=True)
        for layer in range(mass.shape[1])
    ]


def _lost(place: Place, influence: Floats, shared: Comparison, seed: int) -> list[Measurement]:
    """Return the share of the image's influence that the longest filler takes away."""
    first, last = influence[:, 0], influence[:, -1]
    if first.mean() <= 0:
        return []
    kept = ratio_of(last, first, shared.clusters, coverage=shared.coverage, seed=seed)
    return [LOST.measured(kept.reversed().shifted(1.0), place=place)]


def _slopes(whole: NDArray[np.int64], values: Floats) -> Floats:
    """Return each document's least-squares slope over log2 of its prompt's tokens: (n,)."""
    x = np.log2(whole)
    x = x - x.mean(axis=1, keepdims=True)
    spread = (x**2).sum(axis=1)
    if (spread <= 0).any():
        raise ComparisonError("filler does not make the prompts of some documents longer")
    slopes: Floats = (x * values).sum(axis=1) / spread
    return slopes


def _inside(context: Context, shared: Comparison) -> tuple[Floats, NDArray[np.int64]]:
    """Return (n, layers, groups) mass and (n, groups) tokens of the compared documents."""
    rows = rows_of(context.internals.doc_ids, shared.cells[0])
    return context.internals.mass[rows], context.internals.tokens[rows]


def _run(evidence: Evidence, seed: int) -> Outcome:
    if OWN not in evidence.internals:
        return TEST.could_not_run("the run has no internals under the condition own")
    lengths: dict[tuple[Place, int], Condition] = {}
    for condition in evidence.internals:
        text = condition.text
        if not isinstance(text, Filler) or condition != Condition(text=text):
            continue
        lengths[text.place, text.tokens] = condition
    run = [
        image
        for image in get_args(OtherImage)
        if _pair(evidence, OWN, image)
        and any(_pair(evidence, condition, image) for condition in lengths.values())
    ]
    image = run[0] if run else None
    filled = {at: _context(evidence, condition, image) for at, condition in lengths.items()}
    plain = _context(evidence, OWN, image)
    return outcome(plain, filled, floor=floor_of(evidence), seed=seed)


def _context(evidence: Evidence, condition: Condition, image: OtherImage | None) -> Context:
    """Return one length of context, with another image's scores beside its own where run."""
    pair = None if image is None else _pair(evidence, condition, image)
    scores, other = pair or (evidence.scores[INTERNALS, condition], None)
    internals = evidence.internals[condition]
    # Prompted cells hold more documents than internals, which cost more.
    scores = restricted(scores, internals.doc_ids)
    return Context(scores=scores, internals=internals, other=other)


def _pair(
    evidence: Evidence, condition: Condition, image: OtherImage
) -> tuple[ChoiceScores, ChoiceScores] | None:
    """Return scores under a condition and under the same text with another image.

    Both of one readout: the two differ by rounding, which must not pass for influence.
    """
    changed = condition.model_copy(update={"image": Condition.parse(image).image})
    for readout in (PROMPTED, INTERNALS):
        own = evidence.scores.get((readout, condition))
        other = evidence.scores.get((readout, changed))
        if own is not None and other is not None:
            return own, other
    return None


TEST = Test(name="budget", title="attention budget", head="budget", run=_run)
