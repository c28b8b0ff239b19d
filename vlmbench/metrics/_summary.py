"""Summary: every row that one model's readings of one task give."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise

from vlmbench.metrics._accuracy import (
    abstention,
    accuracy,
    chance,
    corrected,
    effective_n,
    failures,
    majority,
)
from vlmbench.metrics._answered import accuracy_answered, gap_answered, has_unread, p_stat
from vlmbench.metrics._distributions import (
    tv_between,
    tv_to_truth,
)
from vlmbench.metrics._lost import losses
from vlmbench.metrics._mass import choice_mass
from vlmbench.metrics._paired import gap, gap_corrected, mismatches
from vlmbench.metrics._power import gap_power
from vlmbench.metrics._rows import StatRow
from vlmbench.spec import Condition, Encoder, Hidden, Prompted, Readout
from vlmbench.types import ChoiceScores, ComparisonError, Stat

METRICS_VERSION = 2
"""Raised when a metric's meaning changes; numbers of different versions never share a table."""

Cell = tuple[Condition, Readout]

_Numbers = Iterator[tuple[str, str, str, Stat]]  # condition, readout, metric, stat

_OWN, _BLANK = Condition(), Condition.parse("blank")
_FIRST = (_OWN.label, _BLANK.label, Prompted.kind_of(), Encoder.kind_of())


def summarise(
    cells: Mapping[Cell, ChoiceScores],
    *,
    model: str,
    task: str,
    seed: int,
    partial: Collection[Cell] = (),
) -> list[StatRow]:
    """Return all rows of one model on one task, in an order that depends on names only.

    Each cell gives accuracy, accuracy_corrected, abstention, chance, majority and failed (a
    count); a cell in which every document failed gives only `failed`, and a stage of a model
    accuracy and failed. Likelihoods of a prompted
    model give choice_mass and choice_mass_p05. Free text (scale `credit`)
    has no choices, so there is no chance (nor anything based on it), no majority and no tv. Own
    images read by encoder and prompt give gap, gap_corrected, smallest_gap and mcnemar_p. Where
    answers were read from text, or some could not be read, accuracy_answered, gap_answered and
    mcnemar_p_answered leave out what was not answered. Where the stages of the model were read,
    lost_NAME says how much of the gap arises between each two of them (`losses`). Where documents
    share something, accuracies and gaps have an effective_n as well, and flip_p stands in the place
    of mcnemar_p. Prompted readings give tv: own against blank, and each against the truth.

    Args:
        cells: Scores by condition and readout.
        model: Name of the model.
        task: Name of the task.
        seed: Seed of every resampling; each interval starts from it afresh.
        partial: Cells that by plan cover only some of the task's documents. They get rows of their
            own and are not compared with anything.

    Raises:
        ComparisonError: If two whole cells do not cover identical documents in identical order.
    """
    ordered = {cell: cells[cell] for cell in sorted(cells, key=_rank)}
    whole = {cell: scores for cell, scores in ordered.items() if cell not in partial}
    _require_same_documents(whole)
    numbers = [
        *(row for cell, scores in ordered.items() for row in _single(cell, scores)),
        *_gaps(whole, seed=seed),
        *_losses(whole),
        *_variations(whole, seed=seed),
    ]
    return [
        StatRow.of(
            stat, model=model, task=task, condition=condition, readout=readout, metric=metric
        )
        for condition, readout, metric, stat in numbers
    ]


def summarise_recorded(
    *,
    model: str,
    task: str,
    readout: str,
    value: float,
    chance: float,
    low: float = math.nan,
    high: float = math.nan,
    n: int | None = None,
) -> list[StatRow]:
    """Return the rows of an accuracy that was measured elsewhere.

    Args:
        model: Name of the recorded model (`human`, a paper's).
        task: Name of the task.
        readout: What the number is a readout of.
        value: Accuracy in [0, 1].
        chance: Chance level of the task, in [0, 1].
        low: Lower end of its 95% interval, if published.
        high: Upper end, if published.
        n: Documents behind it, if published.
    """
    stat = Stat(value=value, low=low, high=high, n=1 if n is None else n)
    return [
        StatRow(
            model=model,
            task=task,
            condition="own",
            readout=readout,
            metric=metric,
            value=number.value,
            low=number.low,
            high=number.high,
            n=n,
            coverage=1.0,
        )
        for metric, number in (
            ("accuracy", stat),
            ("accuracy_corrected", corrected(stat, chance)),
        )
    ]


def _rank(cell: Cell) -> tuple[tuple[int, str], ...]:
    return tuple(
        (_FIRST.index(part.label) if part.label in _FIRST else len(_FIRST), part.label)
        for part in cell
    )


def _where(cell: Cell) -> tuple[str, str]:
    condition, readout = cell
    return condition.label, readout.label


def _require_same_documents(cells: Mapping[Cell, ChoiceScores]) -> None:
    problems = [
        problem
        for (cell_a, a), (cell_b, b) in pairwise(cells.items())
        for problem in mismatches(a, b, names=("/".join(_where(cell_a)), "/".join(_where(cell_b))))
    ]
    if problems:
        raise ComparisonError(problems)


def _single(cell: Cell, scores: ChoiceScores) -> _Numbers:
    where = _where(cell)
    if not scores.failed.all():
        stat = accuracy(scores)
        guessable = scores.scale != "credit"
        level = chance(scores)
        yield *where, "accuracy", stat
        if isinstance(cell[1], Hidden):  # of dozens of stages, what is the stage's alone
            yield *where, "failed", Stat(value=float(failures(scores)), n=len(scores))
            return
        if guessable:
            yield *where, "accuracy_corrected", corrected(stat, level)
        yield *where, "abstention", abstention(scores)
        if scores.clusters is not None:
            yield *where, "effective_n", Stat(value=effective_n(scores), n=stat.n)
        if has_unread(scores):
            yield *where, "accuracy_answered", accuracy_answered(scores)
        if guessable:
            yield *where, "chance", Stat(value=level, n=stat.n)
            yield *where, "majority", Stat(value=majority(scores), n=stat.n)
        if scores.scale == "logprob" and cell[1] == Prompted():
            for metric, mass in choice_mass(scores).items():
                yield *where, metric, mass
    yield *where, "failed", Stat(value=float(failures(scores)), n=len(scores))


def _comparable(a: ChoiceScores | None, b: ChoiceScores | None) -> bool:
    return a is not None and b is not None and not (a.failed | b.failed).all()


def _has_letters(a: ChoiceScores, b: ChoiceScores) -> bool:
    """Tell whether two readings answered with choices, so that their distributions compare."""
    return _comparable(a, b) and "credit" not in (a.scale, b.scale)


def _gaps(cells: Mapping[Cell, ChoiceScores], *, seed: int) -> _Numbers:
    """Yield how far each direct readout is ahead of the prompted one, on the task as it is."""
    prompted = cells.get((_OWN, Prompted()))
    for (condition, readout), direct in cells.items():
        if condition != _OWN or not readout.is_direct:
            continue
        if prompted is None or not _comparable(direct, prompted):
            continue
        where = (_OWN.label, f"{readout.label}-{Prompted.kind_of()}")
        p = "mcnemar_p" if direct.clusters is None else "flip_p"
        yield *where, "gap", gap(direct, prompted)
        yield *where, "gap_corrected", gap_corrected(direct, prompted)
        smallest, effective = gap_power(direct, prompted)
        yield *where, "smallest_gap", smallest
        if direct.clusters is not None:
            yield *where, "effective_n", Stat(value=effective, n=smallest.n)
        yield *where, p, p_stat(direct, prompted, seed=seed)
        if has_unread(direct) or has_unread(prompted):
            found, p_answered = gap_answered(direct, prompted, seed=seed)
            yield *where, "gap_answered", found
            yield *where, f"{p}_answered", p_answered


def _losses(cells: Mapping[Cell, ChoiceScores]) -> _Numbers:
    """Yield how much of the gap arises between each two stages of the model."""
    own = {readout.label: scores for (of, readout), scores in cells.items() if of == _OWN}
    for lost in losses(own):
        yield _OWN.label, lost.pair, f"lost_{lost.name.replace(' ', '_')}", lost.stat


def _variations(cells: Mapping[Cell, ChoiceScores], *, seed: int) -> _Numbers:
    asked = Prompted()
    own, blank = cells.get((_OWN, asked)), cells.get((_BLANK, asked))
    if own is not None and blank is not None and _has_letters(own, blank):
        pair = f"{_OWN.label}|{_BLANK.label}"
        yield pair, asked.label, "tv", tv_between(own, blank, seed=seed)
    for condition, scores in ((_OWN, own), (_BLANK, blank)):
        if scores is not None and scores.scale != "credit" and not scores.failed.all():
            where = f"{condition.label}|truth"
            yield where, asked.label, "tv", tv_to_truth(scores, seed=seed)
