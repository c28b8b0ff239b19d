"""The gap taken apart: what is lost between one stage of a model and the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from vlmbench.metrics._answered import p_stat
from vlmbench.metrics._paired import gap
from vlmbench.spec import Encoder, Hidden, Prompted
from vlmbench.types import ChoiceScores, Stat

_ENCODER, _PROMPTED = Encoder.kind_of(), Prompted.kind_of()
_LINEAR, _SAME = Encoder(head="linear").label, Hidden().at("same").label
_LAYERS = Hidden().at("language-0").label[:-1]

LOSSES = {
    f"{_ENCODER}|{_LINEAR}": "head",
    f"{_ENCODER}|{_SAME}": "view",
    f"{_LINEAR}|{_SAME}": "view",
    f"{_SAME}|{_LAYERS}0": "projector",
    f"{_LAYERS}0|{_LAYERS}": "layers",
    f"{_LAYERS}|{_PROMPTED}": "language head",
}
"""Names of the losses by what is compared; the last layer goes without its number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What is lost between two stages.

    Attributes:
        name: One of `LOSSES`.
        pair: Labels of the two, joined by `|`.
        stat: The earlier one's accuracy minus the later one's, with Tango's interval.
        p: That of McNemar's exact test, or of flipped signs where documents share something; NaN
            where no document is discordant.
    """

    name: str
    pair: str
    stat: Stat
    p: float


def losses(own: Mapping[str, ChoiceScores], *, seed: int = 0) -> list[Loss]:
    """Return what is lost on the way from the encoder's own readout to the answer.

    In this order: `head` (for depth: the probe's decoder minus the linear map that every stage is
    read by), `view` (the encoder's best view minus the tower in the model's own pass, with its
    pixels, joined images and markers), `projector` (minus what the language model's first layer is
    given; a class token is lost here), `layers` (minus its last layer at the image's positions)
    and `language head` (minus the model's answer). They sum to the gap. All are taken on the
    documents that were read at every stage, with the gap's interval.

    Args:
        own: Scores under the condition `own`, by readout label.
        seed: Seed of flipped signs.

    Returns:
        The losses; empty unless encoder, answer and every layer of the language model were read.

    Raises:
        ComparisonError: If they do not cover identical documents in identical order.
    """
    layers = layers_of(own)
    if not layers or not {_ENCODER, _PROMPTED, _SAME} <= own.keys():
        return []
    way = [_ENCODER, *([_LINEAR] if _LINEAR in own else []), _SAME, layers[0], layers[-1]]
    way.append(_PROMPTED)
    failed = np.any([own[label].failed for label in way], axis=0)
    if failed.all():
        return []
    held = {label: replace(own[label], failed=failed) for label in way}
    found = []
    for first, second in pairwise(way):
        pair = f"{first}|{second}"
        name = LOSSES[pair.replace(layers[-1], _LAYERS)]
        a, b = held[first], held[second]
        p = p_stat(a, b, seed=seed).value
        found.append(Loss(name=name, pair=pair, stat=gap(a, b), p=p))
    return found


def layers_of(own: Mapping[str, ChoiceScores]) -> list[str]:
    """Return labels of the language model's hidden states, from 0 to the last.

    Empty unless all of them were read: of some alone nobody knows which is the last.
    """
    numbers = sorted(int(label.removeprefix(_LAYERS)) for label in own if label.startswith(_LAYERS))
    if len(numbers) < 2 or numbers != list(range(len(numbers))):
        return []
    return [f"{_LAYERS}{number}" for number in numbers]
