"""Certainty: confidence is praised only where it changes, and where accuracy keeps up."""

from __future__ import annotations

import numpy as np
import pytest

from vlmbench.diagnostics import certainty


def outcome(model, other=None, floor=1e-6):
    none = model.read("none") if other is None else other
    return certainty.outcome(model.read(), {"none": none}, floor=floor, seed=0)


def test_a_model_that_sees_grows_surer_by_its_formula(fake):
    found = outcome(fake(clear=0.7))
    assert found.holds is True
    assert found.find(certainty.CONFIDENCE_CHANGE, against="none").value == pytest.approx(0.45)
    assert found.find(certainty.AT_LEAST_AS_CERTAIN, against="none").value == 1.0


def test_an_image_blind_model_fails_although_it_is_never_less_certain(fake):
    found = outcome(fake(sight=0.0, lean=1.0))
    assert found.find(certainty.AT_LEAST_AS_CERTAIN, against="none").value == 1.0
    assert found.holds is False
    assert "not change any document" in found.reason


def test_a_few_documents_that_lose_confidence_are_not_outvoted_by_those_that_stay(fake):
    model = fake(n=200)
    other = model.read()
    other.scores[:30] *= 1.2  # surer without the image on 30 documents, equal on all others
    found = outcome(model, other)
    assert found.find(certainty.AT_LEAST_AS_CERTAIN, against="none").low > 0.5
    assert found.holds is False


def test_confident_error_is_not_praised(fake):
    # The text alone is right (it stands in as a clear look); the image makes it sure and wrong.
    wrong, right = fake(clear=0.05, sight=-1.0), fake(clear=0.9)
    found = certainty.outcome(wrong.read(), {"none": right.read(seen=0.3)}, floor=1e-6, seed=0)
    assert found.find(certainty.ACCURACY_CHANGE, against="none").high < 0
    assert found.holds is False


def test_calibration_error_of_the_optimal_reader_is_its_sampling_error(fake):
    model = fake(clear=0.7)
    found = outcome(model)
    accuracy = (model.symbol == model.gold).mean()
    error = found.find(certainty.CALIBRATION_WITH, against="none")
    assert error.value == pytest.approx(abs(0.7 - accuracy))
    assert found.find(certainty.ACCURACY_WITH, against="none").value == pytest.approx(accuracy)


def test_without_a_cell_that_lacks_the_image_it_says_so(fake):
    model = fake(n=20)
    found = certainty.outcome(model.read(), {"swapped": model.read("swapped")}, floor=None, seed=0)
    assert found.holds is None
    assert not found.measurements
    assert np.all([word in found.reason for word in ("Could not", "image")])
