"""The dependency test on models whose dependence on the image is known."""

from __future__ import annotations

import numpy as np
import pytest

from vlmbench.diagnostics import dependency
from vlmbench.metrics import permute_choices


def outcome(model, **repeat):
    others = {name: model.read(name) for name in ("swapped", "blank", "none")}
    return dependency.outcome(model.read(), others, model.read(first=60), seed=0)


def test_an_image_blind_model_reads_nothing_and_fails(fake):
    found = outcome(fake(sight=0.0, lean=1.0))
    assert found.holds is False
    for quantity in (dependency.TOTAL_VARIATION, dependency.FLIP_RATE, dependency.ABOVE_FLOOR):
        assert found.find(quantity, against="swapped").value == 0.0


def test_a_model_that_sees_holds_with_the_distance_of_its_formula(fake):
    model = fake(clear=0.7)
    found = outcome(model)
    assert found.holds is True
    # Two symbols that differ move .7 - .1 of the probability; a blank image is uniform.
    differ = (model.symbol != np.roll(model.symbol, 1)).mean()
    assert found.find(dependency.TOTAL_VARIATION, against="swapped").value == pytest.approx(
        0.6 * differ
    )
    assert found.find(dependency.FLIP_RATE, against="swapped").value == pytest.approx(differ)
    assert found.find(dependency.TOTAL_VARIATION, against="blank").value == pytest.approx(0.45)
    assert found.find(dependency.FLIP_RATE, against="blank").value == pytest.approx(0.75)


def test_noise_below_the_measured_floor_is_no_dependence(fake, noisy):
    own = fake(sight=0.0).read()
    repeat, swapped = noisy(own, 0.01), noisy(own, 0.01, seed=3)
    assert dependency.outcome(own, {"swapped": swapped}, repeat, seed=0).holds is False
    # The same noise counts where repeats are exact.
    assert dependency.outcome(own, {"swapped": swapped}, own, seed=0).holds is True


def test_without_a_measured_floor_the_test_is_open(fake):
    model = fake()
    found = dependency.outcome(model.read(), {"swapped": model.read("swapped")}, None, seed=0)
    assert found.holds is None
    assert "not measured" in found.reason
    assert found.find(dependency.ABOVE_FLOOR, against="swapped") is None


def test_leaving_the_image_out_is_not_another_image(fake):
    model = fake()
    found = dependency.outcome(model.read(), {"none": model.read("none")}, model.read(), seed=0)
    assert found.holds is None
    assert "another image" in found.reason


def test_permuting_choices_changes_nothing(fake):
    model = fake(n=80)
    rng = np.random.default_rng(1)
    order = rng.permuted(np.tile(np.arange(4), (80, 1)), axis=1)
    own, swapped = model.read(), model.read("swapped")
    plain = dependency.outcome(own, {"swapped": swapped}, own, seed=0)
    moved = [permute_choices(scores, order) for scores in (own, swapped)]
    permuted = dependency.outcome(moved[0], {"swapped": moved[1]}, moved[0], seed=0)
    for one, other in zip(plain.measurements, permuted.measurements, strict=True):
        assert one.stat.value == pytest.approx(other.stat.value)
