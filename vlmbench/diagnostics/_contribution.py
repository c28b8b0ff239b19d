"""Test 5, information contribution: how many bits does the image add to the text?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vlmbench.diagnostics._comparison import (
    LEAST_FLOOR,
    Comparison,
    compare,
    entropies,
    every,
    exceeds,
    gold_bits,
    told,
)
from vlmbench.diagnostics._finding import Finding, Outcome, could_not_run
from vlmbench.types import ChoiceScores, Stat

WITHOUT = ("none", "blank")
"""What stands for text alone: the first that was run. A blank image still spends image tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Mean number of tokens of a prompt.

    Attributes:
        image: Image tokens.
        text: All others, choices among them.
    """

    image: float
    text: float


def contribution(
    own: ChoiceScores,
    without: Mapping[str, ChoiceScores],
    tokens: Tokens | None,
    *,
    seed: int,
) -> Outcome:
    """Return what the image adds to the text, in bits, against no image and a blank one.

    *Entropy reduction* is the mean of H(Y | text) - H(Y | text, image), the entropies of the
    model's distributions over choices. It can be positive on wrong answers, so *usable
    information* stands beside it: the mean of log2 p(gold | image, text) - log2 p(gold | text),
    predictive V-information (Xu et al. 2020, https://arxiv.org/abs/2002.10689), pointwise as in
    Ethayarajh et al. 2022 (https://arxiv.org/abs/2110.08420), with the model as it stands as the
    whole family. The text's own usable information is taken over a uniform guess. Both divided by
    the mean numbers of tokens give bits per image token and per text token; their quotient, the
    exchange rate, is given where the text's bits and the image's lie above 0.

    The test holds if both intervals lie above `LEAST_FLOOR` bits, and fails if one lies at or
    below it.

    Args:
        own: Scores with each document's own images.
        without: Scores of the same documents under "none" (text alone) and "blank".
        tokens: Tokens of the prompts with own images, where known.
        seed: Seed of the bootstrap.

    Raises:
        ComparisonError: If a cell does not cover documents of `own`, in order.
    """
    decider = next((name for name in WITHOUT if name in without), None)
    if decider is None:
        return could_not_run("contribution", "no cell leaves the image out or blanks it")
    findings: list[Finding] = []
    stats: dict[str, tuple[Stat, Stat]] = {}
    for name in (name for name in WITHOUT if name in without):
        pair = compare(own, without[name])
        with_image, text = pair.cells
        reduction = pair.mean(entropies(text) - entropies(with_image), seed=seed)
        usable = pair.mean(gold_bits(with_image) - gold_bits(text), seed=seed)
        stats[name] = reduction, usable
        findings += [
            _finding("entropy with image", pair.mean(entropies(with_image), seed=seed), name),
            _finding("entropy without image", pair.mean(entropies(text), seed=seed), name),
            _finding("entropy reduction", reduction, name),
            _finding("usable information", usable, name),
        ]
        findings += _rates(pair, usable, tokens, name, seed)
    reduction, usable = stats[decider]
    holds = every(exceeds(reduction, LEAST_FLOOR), exceeds(usable, LEAST_FLOOR))
    against = "text alone" if decider == "none" else "a blank image"
    reason = (
        f"Against {against} the image lowers the entropy of the answer by {told(reduction)} bits "
        f"and adds {told(usable)} bits about the right one, on {usable.n} documents."
    )
    return Outcome(test="contribution", holds=holds, reason=reason, findings=tuple(findings))


def _rates(
    pair: Comparison, usable: Stat, tokens: Tokens | None, name: str, seed: int
) -> list[Finding]:
    """Return the text's bits, and bits per token where tokens are known."""
    text = pair.cells[1]
    spoken = pair.mean(gold_bits(text) + np.log2(text.n_choices), seed=seed)
    findings = [_finding("usable information of the text", spoken, name)]
    if tokens is None or tokens.image <= 0 or tokens.text <= 0:
        return findings
    per_image, per_text = _scaled(usable, 1 / tokens.image), _scaled(spoken, 1 / tokens.text)
    findings += [
        _finding("bits per image token", per_image, name, unit="bits per token"),
        _finding("bits per text token", per_text, name, unit="bits per token"),
    ]
    if usable.low > 0 and spoken.low > 0:
        # Both ends at once: wider than 95%, and needs nothing about how the two go together.
        rate = Stat(
            value=per_image.value / per_text.value,
            low=per_image.low / per_text.high,
            high=per_image.high / per_text.low,
            n=usable.n,
            coverage=usable.coverage,
        )
        findings.append(_finding("exchange rate", rate, name, unit="ratio"))
    return findings


def _scaled(stat: Stat, factor: float) -> Stat:
    return Stat(
        value=stat.value * factor,
        low=stat.low * factor,
        high=stat.high * factor,
        n=stat.n,
        coverage=stat.coverage,
    )


def _finding(figure: str, stat: Stat, against: str, *, unit: str = "bits") -> Finding:
    at = {"against": against}
    return Finding(test="contribution", figure=figure, at=at, stat=stat, unit=unit)
