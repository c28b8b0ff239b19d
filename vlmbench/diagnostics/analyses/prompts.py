"""Is it the prompt? Accuracy over wordings, orders, letters and markers, and the best of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import stdev

import numpy as np
from numpy.typing import NDArray

from vlmbench.diagnostics._comparison import Comparison, compare, graded, log_probabilities
from vlmbench.diagnostics._evidence import Evidence
from vlmbench.diagnostics._outcome import Analysis, Finding, Measured, Measurement, Quantity
from vlmbench.diagnostics.analyses._best_prompt import BEST, CLOSED, GAIN_BEST, GAP, best_prompt
from vlmbench.diagnostics.analyses._rotations import (
    BIAS,
    GAIN_ROBUST,
    ROBUST,
    SHARE,
    over_rotations,
)
from vlmbench.metrics import (
    ENCODER,
    PROMPTED,
    Clusters,
    accuracy,
    chance,
    credit,
    p_value,
    told,
)
from vlmbench.spec import Condition, Order
from vlmbench.types import ChoiceScores, Stat

__all__ = [
    "ACCURACY",
    "ANALYSIS",
    "BEST",
    "BIAS",
    "CHANCE",
    "CLOSED",
    "DEVIATION",
    "ENCODER_ACCURACY",
    "GAIN_BEST",
    "GAIN_ROBUST",
    "GAIN_UNPRIMED",
    "GAP",
    "MEAN",
    "PLAIN",
    "P_ALIKE",
    "RANGE",
    "ROBUST",
    "SHARE",
    "UNPRIMED",
    "WORST",
    "Prompts",
    "finding",
    "p_alike",
    "without_prior",
]

ACCURACY = Quantity("accuracy", "accuracy")
CHANCE = Quantity("chance", "accuracy")
ENCODER_ACCURACY = Quantity("accuracy of the encoder", "accuracy")
MEAN = Quantity("mean accuracy over prompts", "accuracy")
DEVIATION = Quantity("standard deviation over prompts", "accuracy")
RANGE = Quantity("range over prompts", "accuracy")
WORST = Quantity("worst accuracy over prompts", "accuracy")
P_ALIKE = Quantity("p that prompts are alike", "p")
UNPRIMED = Quantity("accuracy without the letters' prior", "accuracy")
GAIN_UNPRIMED = Quantity("gain without the letters' prior", "accuracy")

PLAIN = "plain"
EXCHANGES = 999
"""Random exchanges of prompts within documents."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prompts:
    """The scores of one question in all its forms.

    Attributes:
        plain: As the task asks it.
        forms: As conditions ask it in another form, by the condition.
        blank: As the task asks it, of blank images; None if not run.
        encoder: The encoder's readout; None if not run.
    """

    plain: ChoiceScores
    forms: Mapping[Condition, ChoiceScores]
    blank: ChoiceScores | None = None
    encoder: ChoiceScores | None = None

    @property
    def rotated(self) -> dict[int, ChoiceScores]:
        """Those whose choices are in another order and nothing else, by rotation."""
        return {
            form.text.rotation: scores
            for form, scores in self.forms.items()
            if isinstance(form.text, Order) and form == Condition(text=form.text)
        }


def finding(prompts: Prompts, *, seed: int) -> Finding:
    """Return how far accuracy depends on the prompt, and how much of the gap the best one closes.

    The forms are compared on the documents that ran in all of them. *Accuracy* of each has
    Wilson's interval. *p that prompts are alike* is the share of random exchanges of the forms
    within each document, or cluster, that spread the accuracies as far: what sampling alone does to
    a dozen numbers is no sensitivity. The worst of several is biased downwards. *Without the
    letters' prior*: the model's log-probabilities minus those that it gives the same letters for a
    blank image. Orders are in `over_rotations`, and the best prompt in `best_prompt`.

    Args:
        prompts: The scores.
        seed: Seed of exchanges, bootstraps and halves.

    Raises:
        ComparisonError: If a cell does not cover documents of the shortest one, in order.
    """
    names = [PLAIN, *(form.label.removeprefix("own+") for form in prompts.forms)]
    kinds = [PLAIN, *(_kind(form) for form in prompts.forms)]
    shared = graded(prompts.plain, *prompts.forms.values())
    earned = np.stack([credit(cell) for cell in shared.cells], axis=1)
    means, mean = earned.mean(axis=0), shared.share(earned.mean(axis=1))
    worst, most = int(means.argmin()), int(means.argmax())
    p = p_alike(earned, shared.clusters, seed=seed)
    found = [
        *_accuracies(shared, earned, names, kinds),
        P_ALIKE.measured(Stat(value=p, n=len(shared), coverage=shared.coverage)),
        *_levels(prompts),
        *over_rotations(prompts.plain, prompts.rotated, seed=seed),
        *_unprimed(prompts),
        *best_prompt(shared, earned, prompts.encoder, seed=seed),
    ]
    spread = (
        f"Asked in {len(names)} ways, accuracy is {told(mean)} on average, from "
        f"{means[worst]:.3g} ({names[worst]}) to {means[most]:.3g} ({names[most]}); if the model "
        f"took all ways alike, they would differ as much with p = {p_value(p)}."
    )
    measured = Measured(measurements=tuple(found))
    says = " ".join([spread, *_more(measured)])
    return Finding(analysis=ANALYSIS, says=says, measurements=measured.measurements)


def _accuracies(
    shared: Comparison, earned: NDArray[np.float64], names: Sequence[str], kinds: Sequence[str]
) -> Iterator[Measurement]:
    """Yield the accuracy of each form, and their mean, spread and worst."""
    means = earned.mean(axis=0)
    worst = int(means.argmin())
    for column, kind, name in zip(earned.T, kinds, names, strict=True):
        yield ACCURACY.measured(shared.share(column), by=kind, form=name)
    yield MEAN.measured(shared.share(earned.mean(axis=1)))
    for quantity, value in ((DEVIATION, stdev(means.tolist())), (RANGE, np.ptp(means))):
        stat = Stat(value=float(value), n=len(shared), coverage=shared.coverage)
        yield quantity.measured(stat)
    yield WORST.measured(shared.share(earned[:, worst]), form=names[worst])


def p_alike(earned: NDArray[np.float64], clusters: Clusters, *, seed: int) -> float:
    """Return the p-value that all prompts are answered alike, by exchanging them in each cluster.

    Args:
        earned: (n, prompts) float64.
        clusters: Which documents are exchanged together.
        seed: Seed of the exchanges.
    """
    rng, sums = np.random.default_rng(seed), clusters.sums(earned)
    least = float(sums.sum(axis=0).var()) - 1e-9  # what only rounding tells apart is as far
    spreads = (float(rng.permuted(sums, axis=1).sum(axis=0).var()) for _ in range(EXCHANGES))
    return (sum(spread >= least for spread in spreads) + 1) / (EXCHANGES + 1)


def without_prior(own: ChoiceScores, blank: ChoiceScores) -> ChoiceScores:
    """Return log p(choice | image) - log p(choice | blank image) of each document, in nats.

    What the letters themselves are given, whatever is seen, falls out.
    """
    used = ~own.unused()
    values = np.full(own.scores.shape, -np.inf)
    values[used] = log_probabilities(own)[used] - log_probabilities(blank)[used]
    return replace(own, scores=values, scale="similarity")


def _kind(form: Condition) -> str:
    """Return what is different: markers, or the kind of wording or order."""
    return form.image.kind if form.image.redraws_markers else form.text.kind


def _levels(prompts: Prompts) -> Iterator[Measurement]:
    """Yield what accuracies are compared with: a guess, and the encoder's readout."""
    plain, encoder = prompts.plain, prompts.encoder
    if plain.scale != "credit":
        yield CHANCE.measured(Stat(value=chance(plain), n=len(plain)))
    if encoder is not None and not encoder.failed.all():
        yield ENCODER_ACCURACY.measured(accuracy(encoder))


def _unprimed(prompts: Prompts) -> Iterator[Measurement]:
    """Yield accuracy without the letters' prior, where both cells hold log-likelihoods."""
    own, blank = prompts.plain, prompts.blank
    if blank is None or {own.scale, blank.scale} != {"logprob"}:
        return
    pair = compare(own, blank)
    unprimed = credit(without_prior(*pair.cells))
    yield UNPRIMED.measured(pair.share(unprimed))
    yield GAIN_UNPRIMED.measured(pair.difference(unprimed - credit(pair.cells[0])))


def _more(found: Measured) -> Iterator[str]:
    """Yield what averaging over orders and the best prompt come to, where they were measured."""
    robust, gain, bias = (found.find(quantity) for quantity in (ROBUST, GAIN_ROBUST, BIAS))
    if robust is not None and gain is not None:
        more = "" if bias is None else f", and answers lie {told(bias)} (TV) from even positions"
        yield f"Averaged over all orders it is {told(robust)}, a gain of {told(gain)}{more}."
    best, closed = found.find(GAIN_BEST), found.find(CLOSED)
    if best is not None:
        share = "" if closed is None else f", {told(closed)} of the gap to the encoder"
        yield f"The best way, chosen on other documents, gains {told(best)}{share}."


def _run(evidence: Evidence, seed: int) -> Finding | None:
    forms = {form: scores for form, scores in evidence.prompted() if form.rewords}
    if not forms:
        return None
    prompts = Prompts(
        plain=evidence.need(PROMPTED),
        forms=forms,
        blank=evidence.get(PROMPTED, "blank"),
        encoder=evidence.get(ENCODER),
    )
    return finding(prompts, seed=seed)


ANALYSIS = Analysis(name="prompts", title="is it the prompt?", run=_run)
