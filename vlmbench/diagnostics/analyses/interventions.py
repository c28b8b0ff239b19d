"""What an answer loses when attention to the image is cut, and what another image's states do.

Everything is paired with the intact forward pass, on the same documents.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vlmbench.diagnostics._comparison import Comparison, compare, distributions
from vlmbench.diagnostics._evidence import Evidence
from vlmbench.diagnostics._outcome import Analysis, Finding, Measurement, Quantity
from vlmbench.metrics import PROMPTED, answers, credit, told
from vlmbench.spec import Condition, Knockout, Patch, PatchImage
from vlmbench.types import ChoiceScores

GOLD = Quantity("change of p(gold)", "probability")
ACCURACY = Quantity("change of accuracy", "accuracy")
FLIPPED = Quantity("answers changed", "share")
TARGET = Quantity("answers for the other image's choice", "share")
ALIKE = Quantity("answers moved as by the other image", "share")
BEYOND = Quantity("answers changed beyond random directions", "share")

Floats = NDArray[np.float64]
Place = dict[str, str | float]


def measured(
    own: ChoiceScores, changed: ChoiceScores, place: Place, *, seed: int
) -> list[Measurement]:
    """Return what a change of the forward pass does to p(gold), accuracy and answers.

    p(gold) is the softmax of the log-likelihoods of a document's choices. An answer is the
    likeliest choice; where choices tie they share it, and the share of answers changed is the total
    variation between the shares before and after.

    Args:
        own: Scores of the intact forward pass.
        changed: Scores under the change, of the same documents or the first of them.
        place: Which change.
        seed: Seed of the bootstrap.
    """
    pair = compare(own, changed)
    before, after = (_gold(cell) for cell in pair.cells)
    right, still = (credit(cell) for cell in pair.cells)
    return [
        GOLD.measured(pair.mean(after - before, seed=seed), **place),
        ACCURACY.measured(pair.difference(still - right), **place),
        FLIPPED.measured(pair.share(_flipped(*pair.cells)), **place),
    ]


def followed(changed: ChoiceScores, targets: NDArray[np.int64], place: Place) -> list[Measurement]:
    """Return the share of answers that are right for the other image, where that is known.

    Args:
        changed: Scores under a patch.
        targets: (n,) the choice that is right for the image whose states were given; -1 unknown.
        place: Which patch.
    """
    known = targets >= 0
    if not known.any():
        return []
    pair = compare(changed.take(known))
    held = pair.cells[0]
    chosen = targets[known][~(changed.failed | changed.abstained)[known]]
    shares = answers(held)[np.arange(len(held)), chosen]
    return [TARGET.measured(pair.share(shares), **place)]


def alike(
    own: ChoiceScores, other: ChoiceScores, changed: ChoiceScores, place: Place
) -> list[Measurement]:
    """Return how many of the answers that another image changes are changed alike by a patch.

    Args:
        own: Scores of the intact forward pass.
        other: Scores with all image states replaced before the first layer, which is the other
            image shown.
        changed: Scores under a patch.
        place: Which patch.
    """
    shared = compare(own, other, changed)
    moves = _flipped(*shared.cells[:2]) == 1
    if not moves.any():
        return []
    subset = shared.only(moves)
    agree = 1 - _flipped(subset.cells[1], subset.cells[2])
    return [ALIKE.measured(subset.share(agree), **place)]


def _gold(cell: ChoiceScores) -> Floats:
    gold: Floats = distributions(cell)[np.arange(len(cell)), cell.gold]
    return gold


def _flipped(one: ChoiceScores, other: ChoiceScores) -> Floats:
    """Return per document the total variation between two shares of answers: (n,) in [0, 1]."""
    flipped: Floats = np.abs(answers(one) - answers(other)).sum(axis=1) / 2
    return flipped


def _cells(evidence: Evidence) -> Iterator[tuple[Condition, ChoiceScores]]:
    """Yield prompted cells in which the forward pass alone is changed."""
    for condition, scores in evidence.prompted():
        if condition.forward.intervenes and condition == Condition(forward=condition.forward):
            yield condition, scores


def _place(patch: Patch) -> Place:
    position = "image" if isinstance(patch, PatchImage) else "last"
    return {"position": position, "source": patch.source, "depth": patch.depth}


def _patched(evidence: Evidence, seed: int) -> Finding | None:
    """Return what is measured of all patches."""
    cells = [cell for cell in _cells(evidence) if isinstance(cell[0].forward, Patch)]
    if not cells:
        return None
    own, other = evidence.need(PROMPTED), evidence.get(PROMPTED, "own+patch-other-0")
    found: list[Measurement] = []
    for condition, scores in cells:
        patch = condition.forward
        assert isinstance(patch, Patch), "chosen above"
        place = _place(patch)
        found += measured(own, scores, place, seed=seed)
        if patch.source != "other":
            continue
        found += followed(scores, evidence.image_targets[PROMPTED, condition], place)
        if other is not None:
            found += alike(own, other, scores, place)
        control = condition.model_copy(
            update={"forward": patch.model_copy(update={"source": "random"})}
        )
        random = evidence.scores.get((PROMPTED, control))
        if random is not None:
            found.append(_beyond(own, scores, random, place))
    finding = Finding(analysis=PATCHING, says="", measurements=tuple(found))
    return replace(finding, says=_says_patched(finding))


def _beyond(
    own: ChoiceScores, scores: ChoiceScores, random: ChoiceScores, place: Place
) -> Measurement:
    """Return how many more answers another image's states change than random directions do."""
    shared: Comparison = compare(own, scores, random)
    plain, patched, control = shared.cells
    more = _flipped(plain, patched) - _flipped(plain, control)
    return BEYOND.measured(shared.difference(more), **place)


def _cut(evidence: Evidence, seed: int) -> Finding | None:
    """Return what is measured of all cuts."""
    found: list[Measurement] = []
    for condition, scores in _cells(evidence):
        cut = condition.forward
        if isinstance(cut, Knockout):
            place: Place = {"to": cut.to, "window": cut.window, "of": cut.of}
            found += measured(evidence.need(PROMPTED), scores, place, seed=seed)
    finding = Finding(analysis=KNOCKOUT, says="", measurements=tuple(found))
    return replace(finding, says=_says_cut(finding)) if found else None


_WHO = {"last": "the last position", "question": "the question", "all": "all text"}


def _says_cut(finding: Finding) -> str:
    """Return what cutting attention in all layers does, and in which window it does most."""
    cuts = finding.every(GOLD)
    whole = [found for found in cuts if found.at["of"] == 1]
    windows = [found for found in cuts if found.at["of"] != 1]
    text = ""
    if whole:
        each = [f"of {_WHO[str(found.at['to'])]} by {told(found.stat)}" for found in whole]
        text = f"Cutting attention to the image in all layers changes p(gold), {', '.join(each)}. "
    if windows:
        most = max(windows, key=lambda found: abs(found.stat.value))
        text += (
            f"Of single windows, {most.at['window']:g} of {most.at['of']:g} for "
            f"{_WHO[str(most.at['to'])]} does most, {told(most.stat)}."
        )
    return text.strip()


def _says_patched(finding: Finding) -> str:
    """Return what another image's states change, against random directions, and where it ends."""
    curve = finding.curve(FLIPPED, "depth", position="image", source="other")
    if not curve:
        return ""
    first, stat = curve[0]
    text = f"Another image's states at depth {first:g} change {told(stat)} of the answers"
    random = dict(finding.curve(FLIPPED, "depth", position="image", source="random"))
    if first in random:
        text += f", random directions as long {told(random[first])}"
    fewer = next((depth for depth, found in curve if found.value < stat.value / 2), None)
    text += "" if fewer is None else f"; from depth {fewer:g} on, fewer than half as many"
    return f"{text}."


KNOCKOUT = Analysis(name="knockout", title="attention to the image cut", run=_cut)
PATCHING = Analysis(name="patching", title="image states replaced", run=_patched)
