"""The consistency test on Gaussian states whose information is known, and what it must not find."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.feature_selection import mutual_info_regression
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vlmbench.diagnostics import (
    Evidence,
    Shuffles,
    conditional_information,
    consistency,
    ksg,
    late_layers,
)
from vlmbench.metrics import Clusters
from vlmbench.spec import Condition

N = 200


def linked(correlation: float, *, seed: int, latents: int = 3, width: int = 20):
    """Return (n, 1, width) states with known I(a; b | y) in bits, and y, which moves both."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, N)
    first, other = rng.standard_normal((2, N, latents))
    second = correlation * first + math.sqrt(1 - correlation**2) * other
    sides = [
        ((latent + 5.0 * y[:, None]) @ rng.standard_normal((latents, width)))[:, None]
        for latent in (first, second)
    ]
    return sides[0], sides[1], y, -latents / 2 * math.log2(1 - correlation**2)


def shuffled(
    y: np.ndarray, clusters: Clusters | None = None, *, permutations: int = 200
) -> Shuffles:
    clusters = clusters or Clusters.none(len(y))
    rng = np.random.default_rng(0)
    drawn = Shuffles.draw(y, clusters, permutations=permutations, rng=rng)
    assert drawn is not None
    return drawn


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_the_estimate_is_unbiased_on_gaussians(correlation):
    errors, held = [], []
    for seed in range(25):
        a, b, y, bits = linked(correlation, seed=seed)
        shared = conditional_information(a[:, 0], b[:, 0], shuffled(y))
        errors.append(shared.bits - bits)
        low, high = shared.interval
        held.append(low <= bits <= high)
    assert abs(np.mean(errors)) < 0.1
    assert np.mean(held) >= 0.8


def test_states_of_another_document_with_the_same_answer_share_nothing():
    a, b, y, _ = linked(0.9, seed=1)
    other = np.arange(N)
    for value in np.unique(y):
        rows = np.flatnonzero(y == value)
        other[rows] = np.roll(rows, 1)
    found = conditional_information(a[other, 0], b[:, 0], shuffled(y))
    low, high = found.interval
    assert low <= 0.0 <= high
    assert found.p > 0.05
    # The class means alone, which are very different, would be worth two bits.
    assert conditional_information(a[:, 0], b[:, 0], shuffled(y)).p < 0.01


def test_an_exact_relation_stays_finite():
    a, _, y, _ = linked(0.0, seed=2)
    found = conditional_information(a[:, 0], a[:, 0] @ np.diag(np.arange(1.0, 21.0)), shuffled(y))
    assert math.isfinite(found.bits)
    assert found.bits > 5


@pytest.mark.parametrize("level", [0.0, 0.1, 1e4])
def test_a_side_that_does_not_vary_shares_nothing(level):
    a, _, y, _ = linked(0.0, seed=3)
    found = conditional_information(a[:, 0], np.full((N, 20), level), shuffled(y))
    assert (found.bits, found.p) == pytest.approx((0.0, 1.0))


def test_a_document_alone_in_its_class_is_left_out():
    y = np.array([0] * 30 + [1] * 2 + [2])
    assert sorted(shuffled(y).held) == list(range(32))
    few = Shuffles.draw(
        np.arange(90) // 2, Clusters.none(90), permutations=5, rng=np.random.default_rng(0)
    )
    assert few is not None
    assert few.components == 2  # 90 documents less 45 class means
    unique = np.arange(90)
    rng = np.random.default_rng(0)
    assert Shuffles.draw(unique, Clusters.none(90), permutations=5, rng=rng) is None


def test_permutations_stay_within_the_class():
    y = np.random.default_rng(0).integers(0, 3, 60)
    drawn = shuffled(y, permutations=20)
    assert (np.sort(drawn.orders, axis=1) == np.arange(60)).all()
    assert (y[drawn.held][drawn.orders] == y[drawn.held]).all()
    assert (drawn.classes == y[drawn.held]).all()
    assert len(np.unique(drawn.orders, axis=0)) == 20


def test_no_two_documents_of_a_cluster_are_shuffled():
    clusters = Clusters.of(np.repeat(np.arange(40), [1, 5] * 20))
    y = np.random.default_rng(1).integers(0, 2, 120)
    held = clusters.index[shuffled(y, clusters).held]
    assert len(set(held)) == len(held) == 40


def test_copies_of_a_document_add_nothing():
    a, b, y, _ = linked(0.0, seed=4)
    clusters = Clusters.of(np.tile(np.arange(N), 3))
    thrice = [np.concatenate([side] * 3) for side in (a[:, 0], b[:, 0], y)]
    once = conditional_information(a[:, 0], b[:, 0], shuffled(y))
    copied = conditional_information(thrice[0], thrice[1], shuffled(thrice[2], clusters))
    assert copied.bits == pytest.approx(once.bits, abs=0.05)
    assert copied.p > 0.01
    # Taken for documents of their own they would be strong evidence of nothing.
    assert conditional_information(thrice[0], thrice[1], shuffled(thrice[2])).bits < 1


def test_ksg_is_scikit_learns():
    rng = np.random.default_rng(4)
    x = rng.standard_normal(300)
    y = 0.8 * x + 0.6 * rng.standard_normal(300)
    theirs = mutual_info_regression(x[:, None], y, n_neighbors=3, random_state=0)[0]
    # They divide by the deviation and add noise of 1e-10; neither moves a rank.
    ours = ksg((x / x.std())[:, None], (y / y.std())[:, None])
    assert ours == pytest.approx(theirs / math.log(2), abs=1e-6)
    assert ours == pytest.approx(-0.5 * math.log2(1 - 0.64), abs=0.15)


def layered(*correlations: float):
    sides = [linked(value, seed=7) for value in correlations]
    a, b = (np.concatenate([side[i] for side in sides], axis=1) for i in range(2))
    return a.astype(np.float32), b.astype(np.float32), sides[0][2]


def outcome(a, b, blank, y, clusters=None):
    clusters = clusters or Clusters.none(len(y))
    return consistency.outcome(a, b, blank, y, clusters, seed=0, permutations=200)


def test_fusion_in_one_layer_holds_and_is_found_there():
    a, b, y = layered(0.0, 0.0, 0.8, 0.0)
    found = outcome(a, b, layered(0.0, 0.0, 0.0, 0.0)[1], y)
    assert found.holds is True
    assert "layer 2" in found.reason
    assert found.find(consistency.P, layer=2).value == pytest.approx(1 / 201)
    null = found.find(consistency.NULL, layer=2)
    assert null.high < found.find(consistency.INFORMATION, layer=2).low
    assert found.find(consistency.BEYOND, layer=2).low > 0


def test_what_the_embeddings_share_does_not_count():
    a, b, y = layered(0.9, 0.0, 0.0)
    found = outcome(a, b, layered(0.0, 0.0, 0.0)[1], y)
    assert found.find(consistency.P, layer=0).value < 0.01
    assert found.holds is False


def test_what_the_text_of_a_blank_image_shares_as_well_does_not_count():
    # The question shares with the image what y does not say; nothing passed through the model.
    a, b, y = layered(0.0, 0.8, 0.8)
    noise = 0.1 * np.random.default_rng(0).standard_normal((2, *b.shape)).astype(np.float32)
    found = outcome(a, b + noise[0], b + noise[1], y)
    assert found.find(consistency.P, layer=1).value < 0.01
    assert found.holds is False
    assert outcome(a, b, b, y).find(consistency.P_OVER_LAYERS).value == 1.0


def test_without_the_control_the_test_is_open_and_has_no_p():
    a, b, y = layered(0.0, 0.9)
    found = outcome(a, b, None, y)
    assert found.holds is None
    assert "condition blank, was not measured" in found.reason
    assert found.find(consistency.P_OVER_LAYERS) is None


def test_documents_that_share_an_image_are_not_evidence_of_fusion():
    # Independent sides, both alike within clusters of three at an intra-class correlation of .6.
    fired = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        index = np.arange(300) // 3
        sides = [
            (
                0.6**0.5 * rng.standard_normal((100, 6))[index]
                + 0.4**0.5 * rng.standard_normal((300, 6))
            )
            for _ in range(2)
        ]
        y = np.zeros(300, np.int64)
        told, untold = (
            conditional_information(*sides, shuffled(y, clusters))
            for clusters in (Clusters.of(index), None)
        )
        fired.append((told.p < 0.01, untold.p < 0.01))
    told, untold = np.mean(fired, axis=0)
    assert told <= 0.1
    assert untold >= 0.2


def test_too_few_documents_say_so():
    states = np.zeros((12, 3, 4), np.float32)
    found = outcome(states, states, states, np.arange(12) % 4)
    assert found.holds is None
    assert not found.measurements


def in_evidence(fake, answers):
    """Return the outcome on a model whose text states show the answer, and the image alike."""
    model = fake(n=150)
    scores = {("internals", "own"): model.read(), ("internals", "blank"): model.read("blank")}
    own, blank = model.inside(), model.inside(blank=True)
    held = Evidence(
        model="m",
        task="t",
        scores={(readout, Condition.parse(name)): x for (readout, name), x in scores.items()},
        internals={Condition(): own, Condition.parse("blank"): blank},
        answers={} if answers is None else {Condition(): answers},
    )
    return consistency.TEST.run(held, 0)


@pytest.mark.parametrize(
    ("answers", "given"),
    [
        (tuple(f"word {i % 20}" for i in range(150)), "given the answer at"),
        (tuple(f"word {i}" for i in range(150)), "given the answer's place among the choices"),
        (None, "given the answer's place among the choices"),
    ],
)
def test_it_conditions_on_what_the_answer_says_where_documents_share_that(fake, answers, given):
    found = in_evidence(fake, answers)
    assert given in found.reason
    assert found.holds is True


def test_a_late_readout_finds_the_answer_where_it_is():
    rng = np.random.default_rng(5)
    gold = rng.integers(0, 4, N)
    states = rng.standard_normal((N, 3, 30)).astype(np.float32)
    states[:, 2, :4] += 4 * np.eye(4, dtype=np.float32)[gold]
    states[:, 0] = 1.0
    found = late_layers.readout_accuracies(
        {"last": states}, gold, np.full(N, 4), Clusters.none(N), coverage=1.0, seed=0
    )
    reads = {f.at["layer"]: f.stat for f in found if f.quantity == late_layers.READOUT}
    assert reads[2].low > 0.9
    assert reads[1].low < 0.25 < reads[1].high
    assert reads[0].value < 0.35
    assert next(f.stat.value for f in found if f.quantity == late_layers.CHANCE) == 0.25


def test_the_rotation_changes_no_prediction_of_scikit_learn():
    rng = np.random.default_rng(6)
    gold = rng.integers(0, 3, 60)
    states = (rng.standard_normal((60, 1, 90)) + 0.4 * gold[:, None, None]).astype(np.float32)
    fold = np.random.default_rng(0).permutation(np.arange(60) % late_layers.FOLDS)
    right = np.zeros(60)
    for held in range(late_layers.FOLDS):
        out = fold == held
        plain = make_pipeline(
            StandardScaler(), LogisticRegression(C=late_layers.C / 90, max_iter=2000)
        )
        plain.fit(states[~out, 0], gold[~out])
        right[out] = plain.predict(states[out, 0]) == gold[out]
    found = late_layers.readout_accuracies(
        {"last": states}, gold, np.full(60, 3), Clusters.none(60), coverage=1.0, seed=0
    )
    assert found[0].stat.value == pytest.approx(right.mean())


def test_a_late_readout_does_not_learn_from_copies_of_what_it_is_asked():
    # Each state stands for one document and its two copies, and says nothing of the answer.
    rng = np.random.default_rng(3)
    gold = np.repeat(rng.integers(0, 2, 60), 3)
    states = np.repeat(rng.standard_normal((60, 1, 80)), 3, axis=0).astype(np.float32)
    apart, together = (
        late_layers.readout_accuracies(
            {"last": states}, gold, np.full(180, 2), clusters, coverage=1.0, seed=0
        )[0].stat
        for clusters in (Clusters.none(180), Clusters.of(np.arange(180) // 3))
    )
    assert apart.value > 0.9
    assert together.low < 0.5 < together.high
