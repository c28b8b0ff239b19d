"""Information contribution: how many bits does the image add to the text?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vlmbench.diagnostics._cells import (
    NO_BLANK,
    OWN,
    UNMEASURED,
    WITHOUT,
    numeric_floor,
    other_images,
    repeated,
)
from vlmbench.diagnostics._comparison import (
    Comparison,
    compare,
    entropies,
    entropy_changes,
    every,
    exceeds,
    gold_bits,
    information_changes,
    rows_of,
)
from vlmbench.diagnostics._evidence import Evidence
from vlmbench.diagnostics._outcome import Measurement, Outcome, Quantity, Test
from vlmbench.metrics import INTERNALS, PROMPTED, above, brief, told
from vlmbench.types import ChoiceScores, Stat

NUMERIC_FLOOR = Quantity("numeric floor", "bits")
ENTROPY_WITH = Quantity("entropy with image", "bits")
ENTROPY_WITHOUT = Quantity("entropy without image", "bits")
ENTROPY_REDUCTION = Quantity("entropy reduction", "bits")
USABLE = Quantity("usable information", "bits")
UNCAPPED = Quantity("usable information, uncapped", "bits")
USABLE_TEXT = Quantity("usable information of the text", "bits")
PER_IMAGE_TOKEN = Quantity("bits per image token", "bits per token")
PER_TEXT_TOKEN = Quantity("bits per text token", "bits per token")
EXCHANGE_RATE = Quantity("exchange rate", "ratio")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Mean number of tokens of a prompt.

    Attributes:
        image: Image tokens.
        text: All others, choices among them.
    """

    image: float
    text: float


def outcome(
    own: ChoiceScores,
    without: Mapping[str, ChoiceScores],
    repeat: ChoiceScores | None,
    tokens: Tokens | None,
    *,
    seed: int,
) -> Outcome:
    """Return what the image adds to the text, in bits, against a blank image and no image.

    *Entropy reduction* is the mean of H(Y | text) - H(Y | text, image), the entropies of the
    model's distributions over choices. It can be positive on wrong answers, so *usable information*
    is given as well: the mean of log2 p(gold | image, text) - log2 p(gold | text), predictive
    V-information (Xu et al. 2020, https://arxiv.org/abs/2002.10689), pointwise as in Ethayarajh et
    al. 2022 (https://arxiv.org/abs/2110.08420), with the model as it is as the whole family.
    The text's own usable information is taken over a uniform guess. A document counts in both for
    at most log2(choices) bits to either side, which is what a certain answer is worth over a
    guess: a logarithm has no lower bound, and one document in a hundred at -20 bits would decide
    the mean without being seen among thirty. The plain mean is given as well, without an interval,
    because none holds. Both divided by the mean numbers of tokens give bits per image token and
    per text token; their quotient, the exchange rate, is given where the text's bits and the
    image's lie above 0.

    The test holds if, against a blank image, both intervals lie above their numeric floors, which
    are the largest changes in bits between two runs of the same input, and fails if one lies at or
    below its own. It is open if the floors were not measured or no blank image was shown: text
    alone is another prompt, in which a model that sees nothing may well be less often right.

    Args:
        own: Scores with each document's own images.
        without: Scores of the same documents under "blank" and "none" (text alone).
        repeat: Scores with the same input under another batch composition, if run.
        tokens: Tokens of the prompts with own images, where known.
        seed: Seed of the bootstrap.

    Raises:
        ComparisonError: If a cell does not cover documents of `own`, in order.
    """
    pairs = {name: compare(own, without[name]) for name in WITHOUT if name in without}
    if not pairs:
        return TEST.could_not_run("no cell leaves the image out or blanks it")
    found: list[Measurement] = []
    for name, pair in pairs.items():
        found += _against(name, pair, tokens, seed)
    name = next(iter(pairs))
    said = {one.quantity: one.stat for one in found if one.at["against"] == name}
    reduction, usable = said[ENTROPY_REDUCTION], said[USABLE]
    reason = (
        f"Compared with {WITHOUT[name]}, the image lowers the entropy of the answer "
        f"by {told(reduction)} bits and adds {told(usable)} bits about the right one "
        f"({told(said[UNCAPPED])} without the cap on each document), on {usable.n} documents"
    )
    holds: bool | None = None
    end = UNMEASURED if name == "blank" else NO_BLANK
    if repeat is not None:
        floors = _floors(own, repeat)
        found += floors
        entropy, information = (floor.stat.value for floor in floors)
        if name == "blank":
            holds = every(exceeds(reduction, entropy), exceeds(usable, information))
            end = f"the numeric floors are {brief(entropy)} and {brief(information)} bits"
    return Outcome(test=TEST, holds=holds, reason=f"{reason}; {end}.", measurements=tuple(found))


def _against(name: str, pair: Comparison, tokens: Tokens | None, seed: int) -> list[Measurement]:
    """Return all measurements of one pair."""
    image, text = (entropies(cell) for cell in pair.cells)
    with_image, alone = (gold_bits(cell) for cell in pair.cells)
    usable = usable_information(pair)
    plain = float((with_image - alone).mean())
    stats = {
        ENTROPY_WITH: pair.mean(image, seed=seed),
        ENTROPY_WITHOUT: pair.mean(text, seed=seed),
        ENTROPY_REDUCTION: pair.mean(entropy_changes(*pair.cells), seed=seed),
        USABLE: usable,
        UNCAPPED: Stat(value=plain, n=usable.n, coverage=usable.coverage),
    }
    found = [quantity.measured(stat, against=name) for quantity, stat in stats.items()]
    return [*found, *_rates(pair, usable, tokens, name)]


def usable_information(pair: Comparison) -> Stat:
    """Return the mean of log2 p(gold) in the first cell less that in the second, as capped."""
    return pair.bounded(information_changes(*pair.cells), _most(pair))


def _most(pair: Comparison) -> float:
    return float(np.log2(pair.cells[0].n_choices).max())


def _floors(own: ChoiceScores, repeat: ChoiceScores) -> list[Measurement]:
    """Return the numeric floors of both quantities that decide."""
    same = compare(own, repeat)
    changes = {"entropy": entropy_changes, "information": information_changes}
    return [
        NUMERIC_FLOOR.measured(
            Stat(value=numeric_floor(own, repeat, change), n=len(same), coverage=same.coverage),
            of=of,
        )
        for of, change in changes.items()
    ]


def _rates(pair: Comparison, usable: Stat, tokens: Tokens | None, name: str) -> list[Measurement]:
    """Return the text's bits, and bits per token where tokens are known."""
    text = pair.cells[1]
    most = np.log2(text.n_choices)
    spoken = pair.bounded(np.clip(gold_bits(text) + most, -most, most), _most(pair))
    found = [USABLE_TEXT.measured(spoken, against=name)]
    if tokens is None or tokens.image <= 0 or tokens.text <= 0:
        return found
    per_image, per_text = usable.scaled(1 / tokens.image), spoken.scaled(1 / tokens.text)
    found += [
        PER_IMAGE_TOKEN.measured(per_image, against=name),
        PER_TEXT_TOKEN.measured(per_text, against=name),
    ]
    if above(usable.low) and above(spoken.low):
        # Both ends at once: wider than 95%, and needs nothing about how the two go together.
        rate = Stat(
            value=per_image.value / per_text.value,
            low=per_image.low / per_text.high,
            high=per_image.high / per_text.low,
            n=usable.n,
            coverage=usable.coverage,
        )
        found.append(EXCHANGE_RATE.measured(rate, against=name))
    return found


def _run(evidence: Evidence, seed: int) -> Outcome:
    own = evidence.need(PROMPTED)
    return outcome(own, other_images(evidence), repeated(evidence), _tokens(evidence), seed=seed)


def _tokens(evidence: Evidence) -> Tokens | None:
    """Return the mean tokens of the prompts with own images; None without internals."""
    internals = evidence.internals.get(OWN)
    if internals is None:
        return None
    read = compare(evidence.need(INTERNALS)).cells[0]
    rows = rows_of(internals.doc_ids, read)
    image, _, choices, text = internals.tokens[rows].mean(axis=0)
    return Tokens(image=float(image), text=float(choices + text))


TEST = Test(name="contribution", title="information contribution", head="infor-\nmation", run=_run)
