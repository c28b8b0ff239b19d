"""Which part holds the answer back: low-rank updates of equal size in each part of the model."""

from __future__ import annotations

from collections.abc import Mapping

from vlmbench.diagnostics._evidence import Evidence
from vlmbench.diagnostics._outcome import Analysis, Finding, Measurement, Quantity
from vlmbench.diagnostics.analyses._seeds import (
    Cells,
    has_letters,
    mean_accuracy,
    mean_distance,
    mean_gain,
    shared,
    spread,
    trained_cells,
)
from vlmbench.metrics import ENCODER, PROMPTED, above, accuracy, chance, rate, told
from vlmbench.spec import Lora
from vlmbench.types import ChoiceScores, Stat

ACCURACY = Quantity("accuracy", "accuracy")
GAIN = Quantity("gain by training", "accuracy")
SPREAD = Quantity("standard deviation over seeds", "accuracy")
DISTANCE = Quantity("total variation of answers from the truth", "TV")
LEAD = Quantity("lead of the language model", "accuracy")
PARTS = {"tower": "vision tower", "projector": "projector", "language": "language model"}
"""The parts, as labels name them and in words."""
BASE = "untrained"


def outcome(
    base: ChoiceScores,
    arms: Mapping[str, Mapping[int, ChoiceScores]],
    levels: Mapping[str, ChoiceScores],
    *,
    seed: int,
) -> Finding:
    """Return what training each part of a model gains, and whether the language model gains most.

    Measured are *accuracy* before and after, as a mean over seeds with its standard deviation;
    the paired *gain* on each document; the *total variation* between answers and truth; and the
    *lead* of the language model over each other part, paired too. Intervals are over documents,
    for the seeds that were trained; what another seed would give is not in them, and the sentence
    says so where a part has a single one. The paper (arXiv 2506.08008, its figure 7 and table 2)
    finds that the language model gains most; here that is said to appear where the whole intervals
    of its gain and of its lead over every other part lie above 0, and not to where one of its
    leads lies below.

    Args:
        base: Prompted scores of the untrained model.
        arms: Prompted scores by part and seed.
        levels: What the arms are seen beside, by name: `encoder`, its readout; `blank`, the
            untrained model without images.
        seed: Seed of the bootstrap of distances.

    Raises:
        ComparisonError: If a cell does not cover documents of the shortest, in order.
    """
    order = [part for part in PARTS if part in arms]
    runs = [scores for part in order for scores in arms[part].values()]
    held = iter(shared([base, *runs]))
    own = (next(held),)
    cells: dict[str, Cells] = {part: [next(held) for _ in arms[part]] for part in order}
    found = [*_measured(BASE, own, seed), *_levels(own[0], levels)]
    for part, trained in cells.items():
        for number, scores in zip(arms[part], trained, strict=True):
            found.append(ACCURACY.measured(accuracy(scores), arm=part, seed=number))
        found += [*_measured(part, trained, seed), GAIN.measured(mean_gain(trained, own), arm=part)]
    leads = {
        part: mean_gain(cells["language"], trained)
        for part, trained in cells.items()
        if "language" in cells and part != "language"
    }
    found += [LEAD.measured(lead, over=part) for part, lead in leads.items()]
    says = f"{_gains(own, cells)}{_ordering(own, cells, leads)}"
    return Finding(analysis=ANALYSIS, says=says, measurements=tuple(found))


def _measured(arm: str, cells: Cells, seed: int) -> list[Measurement]:
    found = [ACCURACY.measured(mean_accuracy(cells), arm=arm)]
    if deviation := spread(cells):
        found.append(SPREAD.measured(deviation, arm=arm))
    if all(map(has_letters, cells)):
        found.append(DISTANCE.measured(mean_distance(cells, seed=seed), arm=arm))
    return found


def _levels(base: ChoiceScores, levels: Mapping[str, ChoiceScores]) -> list[Measurement]:
    guess = Stat(value=chance(base), n=len(base), coverage=1.0)
    found = [ACCURACY.measured(guess, arm="chance")]
    return found + [ACCURACY.measured(accuracy(cell), arm=arm) for arm, cell in levels.items()]


def _gains(own: Cells, cells: Mapping[str, Cells]) -> str:
    gained = ", ".join(
        f"{told(mean_gain(trained, own))} in the {PARTS[part]}" for part, trained in cells.items()
    )
    before = rate(mean_accuracy(own).value)
    return f"Accuracy is {before}; training as many parameters of one part changes it by {gained}."


def _ordering(own: Cells, cells: Mapping[str, Cells], leads: Mapping[str, Stat]) -> str:
    """Return whether the language model gains, and most; of one seed where a part has only one."""
    if len(leads) < 2:
        return ""
    seeds = ", for one seed" if any(len(trained) == 1 for trained in cells.values()) else ""
    ahead = all(above(lead.low) for lead in leads.values())
    if ahead and above(mean_gain(cells["language"], own).low):
        return f" The language model gains most, as in the paper{seeds}."
    behind = [PARTS[part] for part, lead in leads.items() if above(-lead.high)]
    if behind:
        return f" The language model gains less than the {' and the '.join(behind)}{seeds}."
    return f" Whether the language model gains most, as in the paper, cannot be told{seeds}."


def _part(weights: Lora) -> str:
    return weights.part


def _run(evidence: Evidence, seed: int) -> Finding | None:
    arms: dict[str, dict[int, ChoiceScores]] = trained_cells(evidence, Lora, _part)
    if not arms:
        return None
    levels = {"encoder": evidence.get(ENCODER), "blank": evidence.get(PROMPTED, "blank")}
    levels["encoder, tower"] = evidence.get(ENCODER, "own+lora-tower")
    levels |= {f"blank, {part}": evidence.get(PROMPTED, f"blank+lora-{part}") for part in PARTS}
    known = {name: scores for name, scores in levels.items() if scores is not None}
    return outcome(evidence.need(PROMPTED), arms, known, seed=seed)


ANALYSIS = Analysis(name="tuning", title="which part holds the answer back", run=_run)
