"""The analysis of prompts on models whose answers follow from a formula."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import handmade
import numpy as np
import pytest
from numpy.typing import NDArray

from vlmbench.diagnostics import ANALYSES, Evidence, Finding, analyse
from vlmbench.diagnostics.analyses import prompts
from vlmbench.diagnostics.analyses._best_prompt import cross_fitted
from vlmbench.metrics import Clusters, accuracy
from vlmbench.spec import Condition
from vlmbench.types import ChoiceScores, ComparisonError

N, K = 240, 4
GOLD = np.random.default_rng(0).integers(0, K, N)
ORDERS = {f"own+order-{rotation}": rotation for rotation in range(1, K)}
LEAN = np.array([2.0, 0.5, 0.0, -1.0])
"""What a leaning model adds to each position, in nats."""


def contents(clear: float = 0.7, seed: int = 1, sight: float = 1.0) -> NDArray[np.float64]:
    """(N, K) what the model makes of each content: right in a share of `clear` of documents."""
    rng = np.random.default_rng(seed)
    wrong = (GOLD + rng.integers(1, K, N)) % K
    seen = np.where(rng.random(N) < clear, GOLD, wrong)
    return sight * np.eye(K)[seen]


def read(
    values: NDArray[np.float64], rotation: int = 0, lean: NDArray[np.float64] | None = None
) -> ChoiceScores:
    """Return scores in canonical order of a model that leans towards positions."""
    positions = (np.arange(K) - rotation) % K
    return handmade.scored(values + (0.0 if lean is None else lean[positions]), GOLD)


def rotations(values: NDArray[np.float64], lean: NDArray[np.float64]) -> dict[str, ChoiceScores]:
    return {label: read(values, rotation, lean) for label, rotation in ORDERS.items()}


def finding(
    plain: ChoiceScores,
    forms: Mapping[str, ChoiceScores],
    blank: ChoiceScores | None = None,
    encoder: ChoiceScores | None = None,
) -> Finding:
    held = {Condition.parse(label): scores for label, scores in forms.items()}
    asked = prompts.Prompts(plain=plain, forms=held, blank=blank, encoder=encoder)
    return prompts.finding(asked, seed=0)


def value(found: Finding, quantity: object, **at: str) -> float:
    stat = found.find(quantity, **at)  # type: ignore[arg-type]
    assert stat is not None, quantity
    return stat.value


def votes(scores: ChoiceScores) -> ChoiceScores:
    """Return the same answers as one vote each, as text is read."""
    return replace(scores, scores=np.eye(K)[scores.scores.argmax(axis=1)], scale="vote")


# -- orders -----------------------------------------------------------------------------------


@pytest.mark.parametrize("as_read", [lambda scores: scores, votes])
def test_a_model_that_always_answers_one_position_is_exactly_at_chance(
    as_read: Callable[[ChoiceScores], ChoiceScores],
) -> None:
    always = np.array([5.0, 0.0, 0.0, 0.0])
    nothing = np.zeros((N, K))
    forms = {label: as_read(cell) for label, cell in rotations(nothing, always).items()}
    found = finding(as_read(read(nothing, 0, always)), forms)
    assert value(found, prompts.BIAS) == pytest.approx(1 - 1 / K)
    assert value(found, prompts.ROBUST) == pytest.approx(1 / K, abs=1e-12)
    assert [value(found, prompts.SHARE, position=letter) for letter in "ABCD"] == [1, 0, 0, 0]
    # Its accuracy is the rate at which the first position is right, whatever stands there.
    plain = value(found, prompts.ACCURACY, by="plain", form="plain")
    assert plain == pytest.approx((GOLD == 0).mean())
    second = value(found, prompts.ACCURACY, by="order", form="order-1")
    assert second == pytest.approx((GOLD == 1).mean())


def test_an_oracle_is_right_in_every_order_and_has_no_bias() -> None:
    sure = np.eye(K)[GOLD]
    found = finding(read(sure), rotations(sure, np.zeros(K)))
    assert [m.stat.value for m in found.every(prompts.ACCURACY)] == [1.0] * K
    assert value(found, prompts.ROBUST) == 1.0
    assert value(found, prompts.BIAS) == pytest.approx(0.0, abs=1e-12)
    assert found.find(prompts.BIAS).low == 0.0  # type: ignore[union-attr]


def test_a_uniform_model_is_at_chance_everywhere_and_answers_all_positions() -> None:
    level = np.zeros((N, K))
    found = finding(read(level), rotations(level, np.zeros(K)), encoder=read(np.eye(K)[GOLD]))
    for quantity in (prompts.MEAN, prompts.ROBUST, prompts.BEST, prompts.CHANCE):
        assert value(found, quantity) == pytest.approx(1 / K)
    assert value(found, prompts.BIAS) == pytest.approx(0.0, abs=1e-12)
    assert value(found, prompts.GAP, under="plain") == pytest.approx(1 - 1 / K)
    assert value(found, prompts.CLOSED) == pytest.approx(0.0, abs=1e-12)


def test_averaging_over_orders_takes_a_lean_off_and_nothing_else() -> None:
    seen = contents(sight=1.5)  # less than the lean, so that the plain order is often wrong
    found = finding(read(seen, 0, LEAN), rotations(seen, LEAN))
    clean = accuracy(read(seen)).value
    assert value(found, prompts.ROBUST) == pytest.approx(clean)
    assert found.find(prompts.GAIN_ROBUST).low > 0.1  # type: ignore[union-attr]
    assert found.find(prompts.BIAS).low > 0.1  # type: ignore[union-attr]
    straight = finding(read(seen), rotations(seen, np.zeros(K)))
    assert value(straight, prompts.GAIN_ROBUST) == 0.0


def test_documents_with_fewer_choices_use_their_own_orders_alone() -> None:
    """Two of four choices: rotations 2 and 3 repeat the first two, and count once."""
    counts = np.where(np.arange(N) % 2, 4, 2)
    gold = GOLD % counts
    always = lambda rotation: handmade.scored(
        np.where(
            np.arange(K) < counts[:, None],
            5.0 * ((np.arange(K) - rotation) % counts[:, None] == 0), -np.inf,
        ), gold, n_choices=counts,
    )  # fmt: skip
    found = finding(always(0), {label: always(r) for label, r in ORDERS.items()})
    assert value(found, prompts.ROBUST) == pytest.approx((1 / counts).mean())
    assert value(found, prompts.BIAS) == pytest.approx(1 - (1 / counts).mean())
    only = finding(always(0), {"own+order-1": always(1)})
    assert only.find(prompts.ROBUST).n == N // 2  # type: ignore[union-attr]
    assert value(only, prompts.ROBUST) == pytest.approx(0.5)


def test_without_all_orders_nothing_is_said_of_them() -> None:
    seen = contents()
    found = finding(read(seen), {"own+order-1": read(seen, 1), "own+texts": read(seen)})
    assert found.find(prompts.ROBUST) is None
    assert "all orders" not in found.says


def test_unread_answers_are_no_position_and_no_vote() -> None:
    sure = np.eye(K)[GOLD]
    plain = votes(read(sure))
    half = np.arange(N) < N // 2
    forms = {label: votes(cell) for label, cell in rotations(sure, np.zeros(K)).items()}
    forms["own+order-1"] = replace(forms["own+order-1"], abstained=half)
    found = finding(plain, forms)
    assert value(found, prompts.ROBUST) == 1.0
    assert found.find(prompts.BIAS).n == N - N // 2  # type: ignore[union-attr]
    assert value(found, prompts.ACCURACY, by="order", form="order-1") == 0.5


# -- spread -----------------------------------------------------------------------------------


def test_a_model_that_reads_all_prompts_alike_has_no_spread() -> None:
    seen = read(contents())
    forms = {f"own+paraphrase-{i}": seen for i in range(1, 5)} | {"markers-blue": seen}
    found = finding(seen, forms, encoder=read(np.eye(K)[GOLD]))
    assert (value(found, prompts.DEVIATION), value(found, prompts.RANGE)) == (0.0, 0.0)
    assert value(found, prompts.P_ALIKE) == 1.0
    assert value(found, prompts.GAIN_BEST) == 0.0
    assert value(found, prompts.CLOSED) == 0.0


def test_a_model_that_only_one_wording_reaches_is_found() -> None:
    dull, bright = read(contents(0.3)), read(contents(0.9))
    forms = {"own+paraphrase-1": dull, "own+paraphrase-2": bright, "own+texts": dull}
    found = finding(dull, forms, encoder=read(np.eye(K)[GOLD]))
    means = [accuracy(cell).value for cell in (dull, dull, bright, dull)]
    assert value(found, prompts.RANGE) == pytest.approx(max(means) - min(means))
    assert value(found, prompts.DEVIATION) == pytest.approx(np.std(means, ddof=1))
    assert value(found, prompts.MEAN) == pytest.approx(np.mean(means))
    assert value(found, prompts.P_ALIKE) == 0.001
    assert value(found, prompts.WORST, form="plain") == min(means)
    assert value(found, prompts.BEST) == pytest.approx(max(means))
    gap = 1 - means[0]
    assert value(found, prompts.CLOSED) == pytest.approx((max(means) - means[0]) / gap)
    assert "paraphrase-2" in found.says


def test_prompts_that_differ_by_chance_alone_are_not_called_sensitive() -> None:
    """Twelve readings of equal accuracy: best of twelve gains on paper, and not on other halves."""
    p_values, gains, optimistic = [], [], []
    for draw in range(40):
        cells = [read(contents(0.6, seed=100 * draw + i)) for i in range(12)]
        forms = {f"own+paraphrase-{i}": cell for i, cell in enumerate(cells[1:], start=1)}
        found = finding(cells[0], forms)
        p_values.append(value(found, prompts.P_ALIKE))
        gains.append(value(found, prompts.GAIN_BEST))
        means = [m.stat.value for m in found.every(prompts.ACCURACY)]
        optimistic.append(max(means) - means[0])
    assert np.mean(np.array(p_values) <= 0.05) <= 0.15  # 40 draws at .05: at most 6 of them
    assert abs(np.mean(gains)) < 0.02
    assert np.mean(optimistic) > 0.04


def test_exchanges_keep_clusters_whole() -> None:
    """One cluster in which all documents say the same tells no more than one document."""
    earned = np.zeros((40, 2))
    earned[:20, 0] = earned[20:, 1] = 1.0
    earned[20:30, 0] = 1.0
    alone = prompts.p_alike(earned, Clusters.none(40), seed=0)
    together = prompts.p_alike(earned, Clusters.of(np.arange(40) // 20), seed=0)
    assert alone < together
    assert together > 0.3


def test_cross_fitting_chooses_on_the_other_half_and_prefers_the_plain_prompt() -> None:
    level = np.tile([0.0, 0.0, 1.0], (30, 1))
    assert (cross_fitted(level, Clusters.none(30), seed=0) == 1.0).all()
    assert (cross_fitted(np.ones((30, 3)), Clusters.none(30), seed=0) == 1.0).all()
    # A prompt that helps one cluster alone is never chosen for it: it knows nothing of it.
    lucky = np.zeros((30, 2))
    lucky[:15, 1] = 1.0
    halves = Clusters.of(np.arange(30) // 15)
    chosen = cross_fitted(lucky, halves, seed=0)
    assert (chosen == 0.0).all()


# -- the letters' prior -------------------------------------------------------------------------


def test_subtracting_the_prior_frees_a_model_of_a_constant_lean() -> None:
    seen = contents(sight=1.0)
    own, blank = read(seen, 0, LEAN), read(np.zeros((N, K)), 0, LEAN)
    found = finding(own, {"own+texts": own}, blank)
    assert value(found, prompts.UNPRIMED) == pytest.approx(accuracy(read(seen)).value)
    assert found.find(prompts.GAIN_UNPRIMED).low > 0.1  # type: ignore[union-attr]


def test_subtracting_the_prior_does_nothing_to_a_model_without_one() -> None:
    own, blank = read(contents()), read(np.zeros((N, K)))
    found = finding(own, {"own+texts": own}, blank)
    assert value(found, prompts.GAIN_UNPRIMED) == 0.0
    free = prompts.without_prior(own, blank)
    assert np.array_equal(free.scores.argmax(axis=1), own.scores.argmax(axis=1))


def test_votes_have_no_prior_to_subtract() -> None:
    own = votes(read(contents()))
    found = finding(own, {"own+texts": own}, votes(read(np.zeros((N, K)))))
    assert found.find(prompts.UNPRIMED) is None


# -- in a run -----------------------------------------------------------------------------------


def evidence(**cells: ChoiceScores) -> Evidence:
    scores = {("prompted", Condition.parse(label)): cell for label, cell in cells.items()}
    return Evidence(model="m", task="t", scores=scores)


def test_a_run_without_other_forms_has_no_finding() -> None:
    assert prompts.ANALYSIS in ANALYSES
    names = [f.analysis.name for f in analyse(evidence(own=read(contents())))]
    assert "prompts" not in names
    hinted = evidence(own=read(contents()), **{"own+hint-wrong-weak": read(contents())})
    assert "prompts" not in [f.analysis.name for f in analyse(hinted)]


def test_cells_of_other_documents_are_refused_in_words() -> None:
    seen = read(contents())
    other = replace(seen, doc_ids=tuple(f"x{i}" for i in range(N)))
    with pytest.raises(ComparisonError):
        finding(seen, {"own+texts": other})
    (found,) = analyse(evidence(own=seen, **{"own+texts": other}))
    assert found.says.startswith("Could not be made")
    assert found.measurements == ()


def test_failed_documents_are_left_out_of_every_form() -> None:
    seen = read(contents())
    failed = np.arange(N) < 10
    found = finding(seen, {"own+texts": replace(seen, failed=failed)})
    assert {m.stat.n for m in found.every(prompts.ACCURACY)} == {N - 10}
    assert found.find(prompts.MEAN).coverage == pytest.approx(1 - 10 / N)  # type: ignore[union-attr]
