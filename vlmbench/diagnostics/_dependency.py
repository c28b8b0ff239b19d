"""Test 1, dependency: does the output change at all when the image does?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vlmbench.diagnostics._comparison import (
    LEAST_FLOOR,
    Comparison,
    compare,
    distances,
    exceeds,
    numeric_floor,
    told,
)
from vlmbench.diagnostics._finding import Finding, Outcome, could_not_run
from vlmbench.metrics import answers
from vlmbench.types import ChoiceScores, Stat

DECIDING = ("swapped", "scrambled", "blank")
"""Which other image decides: the first that was run. Another document's image looks like an image
of the task; a scrambled or grey one can change the output of a model that tells images from
non-images and no more. Leaving the image out is not another image, and decides nothing."""


def dependency(
    own: ChoiceScores,
    others: Mapping[str, ChoiceScores],
    repeat: ChoiceScores | None,
    *,
    seed: int,
) -> Outcome:
    """Return how far the distribution over choices moves when the image is replaced.

    Per replacement: the mean over documents of the total variation distance TV(p, p'), the share
    of documents whose answer changes (ties share an answer), and the share whose distance lies
    above the numeric floor. The test holds if the interval of the mean distance lies above that
    floor, fails if it lies at or below it, and is open if the floor was not measured.

    Args:
        own: Scores with each document's own images.
        others: Scores of the same documents by what stood in the image's place: "swapped",
            "scrambled", "blank", "none".
        repeat: Scores with the same input under another batch composition, if run.
        seed: Seed of the bootstrap.

    Raises:
        ComparisonError: If a cell does not cover documents of `own`, in order.
    """
    decider = next((name for name in DECIDING if name in others), None)
    if decider is None:
        return could_not_run("dependency", "no cell shows the model another image")
    floor = numeric_floor(own, repeat)
    findings = []
    means: dict[str, Stat] = {}
    if repeat is not None and floor is not None:
        same = compare(own, repeat)
        stat = Stat(value=floor, n=len(same), coverage=same.coverage)
        findings.append(Finding(test="dependency", figure="numeric floor", stat=stat, unit="TV"))
    for name, other in others.items():
        pair = compare(own, other)
        means[name] = pair.mean(distances(*pair.cells), seed=seed)
        findings += _against(name, pair, means[name], LEAST_FLOOR if floor is None else floor)
    holds = None if floor is None else exceeds(means[decider], floor)
    what = {"swapped": "another document's image", "scrambled": "scrambled patches"}.get(
        decider, "a blank image"
    )
    limit = (
        "the numeric floor was not measured"
        if floor is None
        else f"the numeric floor is {floor:.2g}"
    )
    reason = (
        f"With {what} the distribution over choices moves by {told(means[decider])} in total "
        f"variation on {means[decider].n} documents; {limit}."
    )
    return Outcome(test="dependency", holds=holds, reason=reason, findings=tuple(findings))


def _against(name: str, pair: Comparison, mean: Stat, floor: float) -> list[Finding]:
    """Return the three figures against one replacement."""
    own, other = pair.cells
    flipped = np.abs(answers(own) - answers(other)).sum(axis=1) / 2
    above = (distances(own, other) > floor).astype(np.float64)
    figures = (
        ("total variation", mean, "TV"),
        ("flip rate", pair.share(flipped), "share"),
        ("share above the floor", pair.share(above), "share"),
    )
    return [
        Finding(test="dependency", figure=figure, at={"against": name}, stat=stat, unit=unit)
        for figure, stat, unit in figures
    ]
