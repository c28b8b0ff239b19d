"""The sensitivity test on models whose evidence fades as told."""

from __future__ import annotations

import numpy as np
import pytest

from vlmbench.diagnostics import sensitivity
from vlmbench.diagnostics._cells import numeric_floor
from vlmbench.types import ComparisonError

GRADES = (0.25, 0.5, 0.75, 1.0)


def outcome(model, *, regions=None, random=None, floor=1e-6):
    graded = {
        (by, strength): model.read(seen=1 - strength, first=40)
        for by in ("blur", "mask")
        for strength in GRADES
    }
    masks = [
        None if seen is None else model.read(seen=seen, first=150) for seen in (regions, random)
    ]
    return sensitivity.outcome(model.read(), graded, *masks, floor=floor, seed=0)


def test_strength_zero_reads_exactly_zero_and_the_curve_is_the_formulas(fake):
    model = fake(clear=0.7)
    found = outcome(model)
    assert found.holds is True
    for quantity in (sensitivity.LOGIT_DISTANCE, sensitivity.TOTAL_VARIATION):
        assert found.find(quantity, by="blur", strength=0.0).value == 0.0
    # Logits are linear in what is left, so their distance is linear in what is taken.
    whole = np.log(7.0) * np.sqrt(3) / 2
    for strength in GRADES:
        stat = found.find(sensitivity.LOGIT_DISTANCE, by="blur", strength=strength)
        assert stat.value == pytest.approx(strength * whole)
    assert found.find(sensitivity.TOTAL_VARIATION, by="mask", strength=1.0).value == pytest.approx(
        0.45
    )


def test_the_area_is_the_trapezoids(fake):
    found = outcome(fake())
    points = [found.find(sensitivity.TOTAL_VARIATION, by="blur", strength=s).value for s in GRADES]
    area = np.trapezoid([0.0, *points], [0.0, *GRADES])
    assert found.find(sensitivity.AREA, by="blur").value == pytest.approx(area)


def test_an_image_blind_model_fails_and_has_no_ratio(fake):
    found = outcome(fake(sight=0.0), regions=0.0, random=0.5)
    assert found.holds is False
    assert found.find(sensitivity.MEAN_AREA).value == 0.0
    assert found.find(sensitivity.GROUNDING, of="TV") is None


def test_a_grounded_model_moves_more_where_the_evidence_is(fake):
    found = outcome(fake(), regions=0.0, random=0.8)
    ratio = found.find(sensitivity.GROUNDING, of="logits")
    assert found.holds is True
    assert (ratio.low, ratio.value, ratio.high) == pytest.approx((5, 5, 5))


@pytest.mark.parametrize("sight", [0.0, 1.0])
def test_without_a_measured_floor_the_test_is_open_and_has_no_ratio(fake, sight):
    found = outcome(fake(sight=sight), regions=0.0, random=0.8, floor=None)
    assert found.holds is None
    assert "floor was not measured" in found.reason
    assert found.find(sensitivity.GROUNDING, of="TV") is None


def test_rounding_that_repeats_show_as_well_is_no_sensitivity(fake, noisy):
    own = fake(sight=0.0).read()
    graded = {("blur", s): noisy(own, 1e-3, seed=int(8 * s)) for s in GRADES}
    floor = numeric_floor(own, noisy(own, 1e-3, seed=1))
    args = (own, graded, None, None)
    assert sensitivity.outcome(*args, floor=floor, seed=0).holds is False
    assert sensitivity.outcome(*args, floor=1e-6, seed=0).holds is True


def test_a_model_that_looks_elsewhere_fails(fake):
    assert outcome(fake(), regions=0.8, random=0.0).holds is False


def test_a_common_shift_of_the_logits_is_no_change(fake):
    scores = fake().read()
    shifted = scores.scores + 3.0
    moved = type(scores)(**{f: getattr(scores, f) for f in scores.__slots__} | {"scores": shifted})
    assert sensitivity.logit_distances(scores, moved).max() == pytest.approx(0.0, abs=1e-12)


def test_masks_of_different_documents_are_refused(fake):
    model = fake(n=60)
    graded = {("blur", 1.0): model.read(seen=0.0)}
    with pytest.raises(ComparisonError, match="two masks"):
        sensitivity.outcome(
            model.read(), graded, model.read(first=20), model.read(first=30), floor=None, seed=0
        )
