"""Where the answer is lost: the task's probe at every stage, and the gap taken apart."""

from __future__ import annotations

from collections.abc import Mapping

from vlmbench.diagnostics._evidence import Evidence
from vlmbench.diagnostics._outcome import Analysis, Finding, Measurement, Quantity
from vlmbench.metrics import (
    ENCODER,
    PROMPTED,
    accuracy,
    chance,
    clear_of_zero,
    gap,
    losses,
    told,
)
from vlmbench.spec import Condition, Hidden
from vlmbench.types import ChoiceScores, Stat

ACCURACY = Quantity("accuracy by stage", "accuracy")
ENCODER_ACCURACY = Quantity("accuracy of the encoder's best view", "accuracy")
ANSWER_ACCURACY = Quantity("accuracy of the answer", "accuracy")
CHANCE = Quantity("chance", "accuracy")
LOST = Quantity("accuracy lost", "accuracy")
LATE_DROP = Quantity("accuracy lost in the last quarter of the layers", "accuracy")

HIDDEN = Hidden().label


def outcome(own: Mapping[str, ChoiceScores]) -> Finding | None:
    """Return the accuracy of a task's probe at every stage, and what is lost between them.

    `losses` takes the gap apart. *Late drop* is what the image's positions lose between the layer
    at three quarters of the language model's depth and the last; the paper finds the answer lost
    there. It is one fixed comparison: no layer is chosen by what it reads.

    Args:
        own: Scores under the condition `own`, by readout label.

    Returns:
        The finding; None without stages.
    """
    stages = {
        label.removeprefix(f"{HIDDEN}-"): scores
        for label, scores in own.items()
        if label.startswith(f"{HIDDEN}-") and Hidden.options_from(label.removeprefix(f"{HIDDEN}-"))
    }
    if not stages:
        return None
    found = [_at(stage, accuracy(scores)) for stage, scores in stages.items()]
    first = next(iter(stages.values()))
    found.append(CHANCE.measured(Stat(value=chance(first), n=len(first))))
    for quantity, label in ((ENCODER_ACCURACY, ENCODER), (ANSWER_ACCURACY, PROMPTED)):
        if label in own:
            found.append(quantity.measured(accuracy(own[label])))
    lost = losses(own)
    found += [LOST.measured(stat, of=name) for name, _, stat in lost]
    late = _late_drop(stages)
    if late is not None:
        found.append(LATE_DROP.measured(late))
    return Finding(
        analysis=ANALYSIS, says=" ".join([*_gap_said(lost), *_late_said(late)]),
        measurements=tuple(found),
    )  # fmt: skip


def _at(stage: str, stat: Stat) -> Measurement:
    part, _, number = stage.partition("-")
    return ACCURACY.measured(stat, part=part, layer=int(number or 0))


def _late_drop(stages: Mapping[str, ChoiceScores]) -> Stat | None:
    layers = [int(name.removeprefix("language-")) for name in stages if name.startswith("language")]
    if len(layers) < 2:
        return None
    last = max(layers)
    early = round(0.75 * last)
    if early == last:
        return None
    return gap(stages[f"language-{early}"], stages[f"language-{last}"])


def _gap_said(lost: list[tuple[str, str, Stat]]) -> list[str]:
    if not lost:
        return ["Without encoder and answer there is no gap to take apart."]
    parts = ", ".join(f"{name} {told(stat)}" for name, _, stat in lost)
    clear = [name for name, _, stat in lost if clear_of_zero(stat) and stat.value > 0]
    where = f"Clearly lost at: {', '.join(clear)}." if clear else "No part is clear of 0 by itself."
    return [f"The gap of {sum(stat.value for _, _, stat in lost):+.3f} is made of {parts}. {where}"]


def _late_said(late: Stat | None) -> list[str]:
    if late is None:
        return []
    drops = clear_of_zero(late) and late.value > 0
    says = "lose" if drops else "do not clearly lose"
    return [f"The last quarter of the layers {says} it at the image's positions: {told(late)}."]


def _run(evidence: Evidence, seed: int) -> Finding | None:
    del seed
    own = {
        readout: scores
        for (readout, condition), scores in evidence.scores.items()
        if condition == Condition()
    }
    return outcome(own)


ANALYSIS = Analysis(name="stages", title="where the answer is lost", run=_run)
