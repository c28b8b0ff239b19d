"""Where every cheap rule fails: documents joined by their ids, from the records of several runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from vlmbench.metrics import (
    ENCODER,
    MISSING,
    PROMPTED,
    RULE,
    accuracy,
    answers,
    gap,
    kept,
    number,
    rate,
)
from vlmbench.report._board import Board
from vlmbench.report._format import markdown_table
from vlmbench.report._tables import measured, model_name, task_name
from vlmbench.spec import CHEAP_RULES
from vlmbench.store import Run
from vlmbench.types import ChoiceScores, Stat

_EYES = ("points", "reference", "images")
_OWN, _RANDOM = "own", "own+random"
_SAME = 1e-9
_TEXT = (
    "The documents on which no cheap rule that looks at the image does better than a guess (it is "
    "wrong, or all choices tie). They were **selected by their answers**, so nothing here is an "
    "accuracy on the task. A readout that has nothing to do with the rules is still at **chance**; "
    "one that does what a rule does falls below it, whatever else it knows. One that takes any "
    "choice but those that rules pick reaches **shunning**: only what is clear of that is sure to "
    "know more, and with two choices it is 1. So read the trained encoder beside the random one, "
    "on the same documents. Rules of order and wording do not select: without the documents whose "
    "answer is A, a model that prefers B would look good."
)

Cells = Mapping[tuple[str, str, str], ChoiceScores]
"""Scores by model, task and the rest of the cell's name, `READOUT-CONDITION`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRules:
    """The documents of a task on which every rule fails.

    Attributes:
        ids: Their ids.
        of: Documents on which all rules ran.
        shunning: Expected accuracy on them of a guess among the choices that no rule picks.
    """

    ids: frozenset[str]
    of: int
    shunning: float


def past_rules_sections(board: Board, runs: Sequence[Run]) -> Iterator[str]:
    """Yield the section on documents where rules fail; nothing where no records of rules are."""
    cells = _cells(runs)
    lines = [line for task in board.tasks for line in _lines(board, task, cells)]
    if lines:
        head = ["Task", "Model", "n", "Chance", "Shunning", "VQA", "Encoder", "Random encoder"]
        yield from ("## Where every cheap rule fails", _TEXT)
        yield markdown_table([*head, "Gap"], lines, left=2)


def where_rules_fail(rules: Sequence[ChoiceScores]) -> PastRules | None:
    """Return the documents on which none of the rules does better than a guess.

    A document counts where all rules ran. A rule picks the choices that it gives a larger share of
    its answer than a guess would; it fails where gold is none of them.

    Args:
        rules: Scores of each rule on the same task.

    Returns:
        Them; None if there are none.
    """
    picked: dict[str, NDArray[np.bool_]] = {}
    gold = {}
    shared = reduce(frozenset.intersection, (frozenset(kept(one).doc_ids) for one in rules))
    for scores in map(kept, rules):
        shares = answers(scores)[:, :-1]
        picks = shares > 1 / scores.n_choices[:, None] + _SAME
        for at, name in enumerate(scores.doc_ids):
            mine = picks[at, : scores.n_choices[at]]
            picked[name] = picked.get(name, np.zeros_like(mine)) | mine
            gold[name] = int(scores.gold[at])
    failed = sorted(name for name in shared if not picked[name][gold[name]])
    if not failed:
        return None
    guesses = [1 / int((~picked[name]).sum()) for name in failed]
    return PastRules(ids=frozenset(failed), of=len(shared), shunning=float(np.mean(guesses)))


def _cells(runs: Sequence[Run]) -> Cells:
    """Return the scores that the section is made of, of runs that still have their records."""
    wanted = {f"{RULE}-{_OWN}", *(f"{name}-{_OWN}" for name in (PROMPTED, ENCODER))}
    wanted.add(f"{ENCODER}-{_RANDOM}")
    found = {}
    for run in runs:
        for name in run.manifest.cells:
            model, task, rest = name.rsplit("/", 2)
            record = run.folder.record(name)
            if rest in wanted and record.path.is_file():
                found[model, task, rest] = record.scores()
    return found


def _lines(board: Board, task: str, cells: Cells) -> Iterator[list[str]]:
    """Yield a line per measured model on a task."""
    looking = [rule for rule, looks_at in CHEAP_RULES.items() if looks_at in _EYES]
    names = [name for name, record in board.models.items() if record.rule in looking]
    rules = [
        scores
        for name in names
        if (scores := cells.get((name, task, f"{RULE}-{_OWN}"))) is not None
        and not scores.failed.all()
    ]
    past = where_rules_fail(rules) if rules else None
    if past is None:
        return
    for model in measured(board):
        asked, seen, _ = read = [
            _within(cells.get((model, task, rest)), past)
            for rest in (f"{PROMPTED}-{_OWN}", f"{ENCODER}-{_OWN}", f"{ENCODER}-{_RANDOM}")
        ]
        if asked is None and seen is None:
            continue
        yield [
            task_name(board, task),
            model_name(board, model),
            f"{len(past.ids)} of {past.of}",
            rate(board.tasks[task].chance),
            rate(past.shunning),
            *(_told(None if scores is None else accuracy(scores), past) for scores in read),
            _told(_gap(seen, asked), past, sign=True),
        ]


def _within(scores: ChoiceScores | None, past: PastRules) -> ChoiceScores | None:
    """Return the scores of a subset's documents; None if none of them ran."""
    if scores is None:
        return None
    held = scores.take(np.array([name in past.ids for name in scores.doc_ids]))
    return None if held.failed.all() else held


def _gap(seen: ChoiceScores | None, asked: ChoiceScores | None) -> Stat | None:
    """Return the encoder's lead; None where no document was read in both ways."""
    if seen is None or asked is None or (seen.failed | asked.failed).all():
        return None
    return gap(seen, asked)


def _told(stat: Stat | None, past: PastRules, *, sign: bool = False) -> str:
    """Write a number, with its n where some of the documents failed."""
    if stat is None:
        return MISSING
    fewer = f" (n = {stat.n})" if stat.n < len(past.ids) else ""
    return number(stat, sign=sign) + fewer
