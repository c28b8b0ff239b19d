"""Paired comparisons: two readouts of the same documents, in the same order, or an error."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from itertools import product

import numpy as np

from vlmbench.metrics._accuracy import chance, corrected
from vlmbench.metrics._clusters import Clusters
from vlmbench.metrics._credit import TIE_TOLERANCE, credit, kept
from vlmbench.metrics._intervals import difference_stat
from vlmbench.types import ChoiceScores, ComparisonError, Problem, Stat

EXACT = 13
"""Clusters of which every choice of signs is tried."""

FLIPS = 9999
"""Random choices of signs for more clusters."""


def mismatches(a: ChoiceScores, b: ChoiceScores, *, names: tuple[str, str]) -> list[Problem]:
    """Return what keeps two sets of scores from being compared; empty if nothing does.

    Ids are compared in order and never joined: an inner join would compare whatever happens to
    be in both and call it the task.
    """
    if a.doc_ids != b.doc_ids:
        return [_id_mismatch(a.doc_ids, b.doc_ids, names=names)]
    problems = []
    for field in ("gold", "n_choices"):
        left, right = getattr(a, field), getattr(b, field)
        differing = np.flatnonzero(left != right)
        if len(differing):
            first = differing[0]
            problems.append(
                Problem(
                    field=field,
                    message=(
                        f"{names[0]} and {names[1]} differ on {len(differing)} of {len(a)} "
                        f"documents, first on {a.doc_ids[first]!r}: {left[first]} against "
                        f"{right[first]}"
                    ),
                    remedy="Undo choice permutations, and read both from the same task.",
                )
            )
    if not np.array_equal(a.cluster_of, b.cluster_of):
        problems.append(
            Problem(
                field="clusters",
                message=f"{names[0]} and {names[1]} do not group the documents alike",
                remedy="read both with the same `metadata.vlmbench.cluster_by`",
            )
        )
    return problems


def aligned(a: ChoiceScores, b: ChoiceScores) -> tuple[ChoiceScores, ChoiceScores]:
    """Return both sets without the documents that failed in either.

    Raises:
        ComparisonError: If documents, their order, gold or numbers of choices differ.
        VlmbenchError: If no document is left.
    """
    problems = mismatches(a, b, names=("the first", "the second"))
    if problems:
        raise ComparisonError(problems)
    failed = a.failed | b.failed
    if failed.all():
        kept(a)
        kept(b)
        raise ComparisonError(f"each of the {len(a)} documents failed in one of the two readouts")
    return a.take(~failed), b.take(~failed)


def gap(encoder: ChoiceScores, prompted: ChoiceScores) -> Stat:
    """Return mean credit of the encoder minus that of the prompted model, on the same documents.

    The interval is Tango's, see `difference_stat`; with clusters it is that of the effective n.
    `coverage` is the share of documents that both answered.

    Raises:
        ComparisonError: If the two do not cover identical documents in identical order.
    """
    encoder, prompted = aligned(encoder, prompted)
    answered = ~encoder.abstained & ~prompted.abstained
    return difference_stat(
        credit(encoder) - credit(prompted),
        Clusters.among(encoder),
        coverage=float(answered.mean()),
    )


def gap_corrected(encoder: ChoiceScores, prompted: ChoiceScores) -> Stat:
    """Return the gap between chance-corrected accuracies: the gap over 1 - chance.

    Chance is the same on both sides and cancels in the difference. NaN where chance is 1.

    Raises:
        ComparisonError: If the two do not cover identical documents in identical order.
    """
    stat = gap(encoder, prompted)
    # corrected() subtracts chance once; in a difference it is on both sides.
    level = chance(aligned(encoder, prompted)[0])
    return corrected(stat.shifted(level), level)


@dataclass(frozen=True, slots=True, kw_only=True)
class McNemar:
    """An exact McNemar test and the table behind it.

    Attributes:
        p: Two-sided p-value; 1.0 where no document is discordant.
        only_a: Documents that only the first got right.
        only_b: Documents that only the second got right.
        tested: Documents in the table.
        fractional: Documents left out because a tie gave one of the two a credit strictly
            between 0 and 1.
    """

    p: float
    only_a: int
    only_b: int
    tested: int
    fractional: int


def mcnemar(a: ChoiceScores, b: ChoiceScores) -> McNemar:
    """Return the exact two-sided McNemar test of equal accuracy on the same documents.

    Documents with tie credit are left out and counted. Calling them wins or losses by their
    sign would be worse: a readout that ties everywhere has credit 1/4 on each document, loses to
    a guess on a quarter of them and beats it on the rest, at the same accuracy.

    Raises:
        ComparisonError: If the two do not cover identical documents in identical order.
    """
    a, b = aligned(a, b)
    credit_a, credit_b = credit(a), credit(b)
    whole = np.isin(credit_a, (0.0, 1.0)) & np.isin(credit_b, (0.0, 1.0))
    only_a = int((whole & (credit_a > credit_b)).sum())
    only_b = int((whole & (credit_b > credit_a)).sum())
    discordant = only_a + only_b
    # Both tails of a fair coin, in whole numbers: exact at any size.
    tail = sum(math.comb(discordant, wins) for wins in range(min(only_a, only_b) + 1))
    return McNemar(
        p=min(2 * tail / 2**discordant, 1.0),
        only_a=only_a,
        only_b=only_b,
        tested=int(whole.sum()),
        fractional=int((~whole).sum()),
    )


def flip_p(a: ChoiceScores, b: ChoiceScores, *, seed: int) -> float:
    """Return the two-sided p-value of equal accuracy where documents share something.

    If neither readout is the better one, the two may change places in any cluster: each cluster's
    summed difference of credit is as likely as its negative. The p-value is the share of all
    choices of signs, up to `EXACT` clusters with a difference, or of `FLIPS` random ones and the
    data itself, whose sum lies as far from 0. Where every document is a cluster of its own and no
    credit is shared, it is McNemar's exact test.

    Raises:
        ComparisonError: If the two do not cover identical documents in identical order.
    """
    a, b = aligned(a, b)
    sums = Clusters.among(a).sums(credit(a) - credit(b))
    sums = sums[np.abs(sums) > TIE_TOLERANCE]
    if len(sums) <= EXACT:
        signs = np.array(list(product((-1, 1), repeat=len(sums))), dtype=np.int8)
        extra = 0
    else:
        drawn = np.random.default_rng(seed).integers(0, 2, (FLIPS, len(sums)), dtype=np.int8)
        signs, extra = 2 * drawn - 1, 1
    flipped = np.abs(np.einsum("dc,c->d", signs, sums))
    reached = int((flipped >= abs(sums.sum()) - TIE_TOLERANCE).sum())
    return (reached + extra) / (len(signs) + extra)


def _id_mismatch(
    left: tuple[str, ...], right: tuple[str, ...], *, names: tuple[str, str]
) -> Problem:
    first = next(
        (i for i, pair in enumerate(zip(left, right, strict=False)) if pair[0] != pair[1]),
        min(len(left), len(right)),
    )
    seen = [repr(ids[first]) if first < len(ids) else "no document" for ids in (left, right)]
    only_left = (Counter(left) - Counter(right)).total()
    only_right = (Counter(right) - Counter(left)).total()
    return Problem(
        field="doc_ids",
        message=(
            f"{names[0]} and {names[1]} do not cover the same documents in the same order: at "
            f"position {first}, {seen[0]} against {seen[1]}; {len(left)} against {len(right)} "
            f"documents, {only_left} only in {names[0]}, {only_right} only in {names[1]}"
        ),
        remedy="Read both from the same task, split and limit.",
    )
