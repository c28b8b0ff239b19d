"""Whether the model is only asked in the wrong words: learned embeddings before the prompt."""

from __future__ import annotations

from collections.abc import Mapping

from vlmbench.diagnostics._evidence import Evidence
from vlmbench.diagnostics._outcome import Analysis, Finding, Quantity
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
from vlmbench.metrics import ENCODER, PROMPTED, accuracy, chance, rate, told
from vlmbench.spec import Prefix
from vlmbench.types import ChoiceScores, Stat

ACCURACY = Quantity("accuracy by length of the prefix", "accuracy")
GAIN = Quantity("gain by a prefix", "accuracy")
SPREAD = Quantity("standard deviation over seeds", "accuracy")
DISTANCE = Quantity("total variation of answers from the truth", "TV")
LEVEL = Quantity("accuracy", "accuracy")


def outcome(
    base: ChoiceScores,
    prefixes: Mapping[int, Mapping[int, ChoiceScores]],
    encoder: ChoiceScores | None,
    *,
    seed: int,
) -> Finding:
    """Return what learned prefixes of several lengths gain over none.

    Measured are *accuracy* over the number of learned embeddings, 0 being the model as it is; the
    paired *gain* of each length; and the *total variation* between answers and truth. Of several
    seeds it is the mean, with its standard deviation; intervals are over documents. The paper
    (arXiv 2506.08008) finds small gains that do not grow beyond 1 to 5 embeddings.

    Args:
        base: Prompted scores of the untouched model.
        prefixes: Prompted scores by number of embeddings and seed.
        encoder: Scores of the encoder's readout, if there are any.
        seed: Seed of the bootstrap of distances.

    Raises:
        ComparisonError: If a cell does not cover documents of the shortest, in order.
    """
    lengths = sorted(prefixes)
    runs = [scores for tokens in lengths for scores in prefixes[tokens].values()]
    held = iter(shared([base, *runs]))
    cells: dict[int, Cells] = {0: (next(held),)}
    cells |= {tokens: [next(held) for _ in prefixes[tokens]] for tokens in lengths}
    own = cells[0]
    guess = Stat(value=chance(own[0]), n=len(own[0]), coverage=1.0)
    found = [LEVEL.measured(guess, of="chance")]
    if encoder is not None:
        found.append(LEVEL.measured(accuracy(encoder), of="encoder"))
    for tokens, trained in cells.items():
        found.append(ACCURACY.measured(mean_accuracy(trained), tokens=tokens))
        if deviation := spread(trained):
            found.append(SPREAD.measured(deviation, tokens=tokens))
        if all(map(has_letters, trained)):
            found.append(DISTANCE.measured(mean_distance(trained, seed=seed), tokens=tokens))
    gains = {tokens: mean_gain(cells[tokens], own) for tokens in lengths}
    found += [GAIN.measured(gain, tokens=tokens) for tokens, gain in gains.items()]
    added = ", ".join(f"{told(gain)} with {tokens}" for tokens, gain in gains.items())
    before = rate(mean_accuracy(own).value)
    says = f"Accuracy is {before}; learned embeddings before the prompt change it by {added}."
    return Finding(analysis=ANALYSIS, says=says, measurements=tuple(found))


def _run(evidence: Evidence, seed: int) -> Finding | None:
    prefixes = trained_cells(evidence, Prefix, lambda weights: weights.tokens)
    if not prefixes:
        return None
    return outcome(evidence.need(PROMPTED), prefixes, evidence.get(ENCODER), seed=seed)


ANALYSIS = Analysis(name="prefix", title="learned words before the prompt", run=_run)
