"""Where the answer is lost: the task's probe at every stage, and the gap taken apart."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from vlmbench.diagnostics._comparison import restricted
from vlmbench.diagnostics._evidence import Evidence
from vlmbench.diagnostics._outcome import Analysis, Finding, Measurement, Quantity
from vlmbench.metrics import (
    ENCODER,
    PROMPTED,
    Loss,
    accuracy,
    chance,
    clear_of_zero,
    gap,
    holm,
    layers_of,
    losses,
    p_stat,
    told,
)
from vlmbench.spec import STAGE, Condition, Encoder, Hidden
from vlmbench.types import ChoiceScores, Stat

LINEAR = Encoder(head="linear").label
LEVEL = 0.05
ACCURACY = Quantity("accuracy by stage", "accuracy")
ENCODER_ACCURACY = Quantity("accuracy of the encoder's best view", "accuracy")
ANSWER_ACCURACY = Quantity("accuracy of the answer", "accuracy")
CHANCE = Quantity("chance", "accuracy")
LOST = Quantity("accuracy lost", "accuracy")
LATE_DROP = Quantity("accuracy lost in the last quarter of the layers", "accuracy")

HIDDEN = Hidden().label


def outcome(own: Mapping[str, ChoiceScores], *, seed: int) -> Finding | None:
    """Return the accuracy of a task's probe at every stage, and what is lost between them.

    `losses` takes the gap apart. *Late drop* is what the image's positions lose between the layer
    at three quarters of the language model's depth and the last; the paper finds the answer lost
    there. It is one fixed comparison: no layer is chosen by what it reads.

    Args:
        own: Scores under the condition `own`, by readout label. All are cut to the documents of
            the shortest.
        seed: Seed of flipped signs.

    Returns:
        The finding; None without stages.
    """
    stages = {
        label.removeprefix(f"{HIDDEN}-"): scores
        for label, scores in own.items()
        if re.fullmatch(rf"{HIDDEN}-({STAGE})", label)  # raw: centred stages are no part of the gap
    }
    if not stages:
        return None
    shortest = min((*stages.values(), *_ends(own)), key=len)
    own = {label: restricted(own[label], shortest.doc_ids) for label in own if _stands(label)}
    found = [_at(stage, accuracy(own[f"{HIDDEN}-{stage}"])) for stage in stages]
    first = own[f"{HIDDEN}-{next(iter(stages))}"]
    found.append(CHANCE.measured(Stat(value=chance(first), n=len(first))))
    for quantity, label in ((ENCODER_ACCURACY, ENCODER), (ANSWER_ACCURACY, PROMPTED)):
        if label in own:
            found.append(quantity.measured(accuracy(own[label])))
    lost = losses(own, seed=seed)
    found += [LOST.measured(part.stat, of=part.name) for part in lost]
    late = _late_drop(own, seed)
    if late is not None:
        found.append(LATE_DROP.measured(late[0]))
    return Finding(
        analysis=ANALYSIS, says=" ".join([*_gap_said(lost), *_late_said(late)]),
        measurements=tuple(found),
    )  # fmt: skip


def _ends(own: Mapping[str, ChoiceScores]) -> list[ChoiceScores]:
    return [own[label] for label in (ENCODER, LINEAR, PROMPTED) if label in own]


def _stands(label: str) -> bool:
    """Tell whether a readout stands somewhere on the way from the encoder to the answer."""
    ends = (ENCODER, LINEAR, PROMPTED)
    return label in ends or bool(re.fullmatch(rf"{HIDDEN}-({STAGE})", label))


def _at(stage: str, stat: Stat) -> Measurement:
    part, _, number = stage.partition("-")
    return ACCURACY.measured(stat, part=part, layer=int(number or 0))


def _late_drop(own: Mapping[str, ChoiceScores], seed: int) -> tuple[Stat, float] | None:
    """Return what the last quarter of the layers loses, and the p-value; None without layers."""
    layers = layers_of(own)
    early = round(0.75 * (len(layers) - 1))
    if not layers or early == len(layers) - 1:
        return None
    pair = own[layers[early]], own[layers[-1]]
    if (pair[0].failed | pair[1].failed).all():
        return None
    return gap(*pair), p_stat(*pair, seed=seed).value


def _gap_said(lost: list[Loss]) -> list[str]:
    """Return the parts, and which are lost for certain: by Holm's p over the parts of this gap."""
    if not lost:
        return ["Without encoder, answer and all layers there is no gap to take apart."]
    parts = ", ".join(f"{part.name} {told(part.stat)}" for part in lost)
    adjusted = holm(np.nan_to_num(np.array([part.p for part in lost]), nan=1.0))
    clear = [
        part.name
        for part, p in zip(lost, adjusted, strict=True)
        if part.stat.value > 0 and clear_of_zero(part.stat) and p < LEVEL
    ]
    where = f"Clearly lost at: {', '.join(clear)}." if clear else "No part is clear of 0 by itself."
    whole = sum(part.stat.value for part in lost)
    return [f"The gap of {whole:+.3f} is made of {parts}. {where}"]


def _late_said(late: tuple[Stat, float] | None) -> list[str]:
    if late is None:
        return []
    stat, p = late
    drops = clear_of_zero(stat) and stat.value > 0 and p < LEVEL
    says = "lose" if drops else "do not clearly lose"
    return [f"The last quarter of the layers {says} it at the image's positions: {told(stat)}."]


def _run(evidence: Evidence, seed: int) -> Finding | None:
    own = {
        readout: scores
        for (readout, condition), scores in evidence.scores.items()
        if condition == Condition()
    }
    return outcome(own, seed=seed)


ANALYSIS = Analysis(name="stages", title="where the answer is lost", run=_run)
