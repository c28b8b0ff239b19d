"""Certainty: confidence is praised only where it changes, and where accuracy keeps up."""

from __future__ import annotations

import numpy as np
import pytest

from vlmbench.diagnostics import certainty


def outcome(model, other=None):
    own, blank = model.read(), model.read("blank") if other is None else other
    return certainty.outcome(own, {"blank": blank}, own, seed=0)


def test_a_model_that_sees_grows_surer_by_its_formula(fake):
    found = outcome(fake(clear=0.7))
    assert found.holds is True
    assert found.find(certainty.CONFIDENCE_CHANGE, against="blank").value == pytest.approx(0.45)
    assert found.find(certainty.AT_LEAST_AS_CERTAIN, against="blank").value == 1.0


def test_an_image_blind_model_fails_although_it_is_never_less_certain(fake):
    found = outcome(fake(sight=0.0, lean=1.0))
    assert found.find(certainty.AT_LEAST_AS_CERTAIN, against="blank").value == 1.0
    assert found.holds is False
    assert "not change any of" in found.reason


def test_a_few_documents_that_lose_confidence_are_not_outvoted_by_those_that_stay(fake):
    model = fake(n=200)
    other = model.read()
    other.scores[:30] *= 1.2  # surer without the image on 30 documents, equal on all others
    found = outcome(model, other)
    assert found.find(certainty.AT_LEAST_AS_CERTAIN, against="blank").low > 0.5
    assert found.holds is False


def test_confident_error_is_not_praised(fake):
    # The text alone is right (it stands in as a clear look); the image makes it sure and wrong.
    wrong, right = fake(clear=0.05, sight=-1.0), fake(clear=0.9)
    own = wrong.read()
    found = certainty.outcome(own, {"blank": right.read(seen=0.3)}, own, seed=0)
    assert found.find(certainty.ACCURACY_CHANGE, against="blank").high < 0
    assert found.holds is False


def test_calibration_error_of_the_optimal_reader_is_its_sampling_error(fake):
    model = fake(clear=0.7)
    found = outcome(model)
    accuracy = (model.symbol == model.gold).mean()
    error = found.find(certainty.CALIBRATION_WITH, against="blank")
    assert error.value == pytest.approx(abs(0.7 - accuracy))
    assert found.find(certainty.ACCURACY_WITH, against="blank").value == pytest.approx(accuracy)


def test_an_image_that_adds_only_noise_to_exact_text_does_not_hold(fake, noisy):
    # The text is a calibrated look at the symbol, which noise makes surer on most documents.
    for seed in range(20):
        text = fake(clear=0.4, seed=10 * seed).read()
        own = noisy(text, 1.0, seed=seed)
        found = certainty.outcome(own, {"blank": text}, own, seed=0)
        assert found.find(certainty.MORE_CERTAIN, against="blank").low > 0.5
        assert found.holds is not True


def test_surer_without_being_right_more_often_is_open(fake):
    model, wrong = fake(clear=0.7, n=200), fake(clear=0.7, n=200)
    own = model.read()
    own.scores[:] *= 1.001  # surer everywhere, and no answer changes
    found = certainty.outcome(own, {"blank": wrong.read()}, own, seed=0)
    assert found.find(certainty.MORE_CERTAIN, against="blank").low > 0.5
    assert found.find(certainty.ACCURACY_CHANGE, against="blank").value == 0.0
    assert found.holds is None


def test_without_a_measured_floor_the_test_is_open(fake):
    model = fake()
    found = certainty.outcome(model.read(), {"blank": model.read("blank")}, None, seed=0)
    assert found.holds is None
    assert "floor was not measured" in found.reason
    assert found.find(certainty.MORE_CERTAIN, against="blank") is None


def test_text_alone_decides_nothing(fake):
    model = fake()
    found = certainty.outcome(model.read(), {"none": model.read("none")}, model.read(), seed=0)
    assert found.holds is None
    assert "no blank image" in found.reason


def test_without_a_cell_that_lacks_the_image_it_says_so(fake):
    model = fake(n=20)
    found = certainty.outcome(model.read(), {"swapped": model.read("swapped")}, None, seed=0)
    assert found.holds is None
    assert not found.measurements
    assert np.all([word in found.reason for word in ("Could not", "image")])
