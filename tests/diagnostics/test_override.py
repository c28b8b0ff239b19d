"""The override test on models whose trust in hints is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vlmbench.diagnostics import override
from vlmbench.types import VlmbenchError

STRENGTHS = ("weak", "medium", "strong")


def outcome(model, encoder=None, blank="as the model"):
    wrong = {
        strength: override.Hinted(
            scores=model.read(hint=model.wrong, strength=strength, first=150),
            target=model.wrong[:150],
        )
        for strength in STRENGTHS
    }
    right = model.read(hint=model.gold, first=150)
    blank = model.read("blank") if blank == "as the model" else blank
    return override.outcome(model.read(), wrong, right, encoder, blank, seed=0)


def share(found, strength="all", of="all"):
    return found.find(override.FOLLOWING, strength=strength, of=of)


def test_an_oracle_ignores_hints(fake):
    found = outcome(fake(clear=0.999999))
    assert found.holds is True
    assert share(found).value == 1.0
    odds = found.find(override.LOG_ODDS, strength="strong", of="all")
    assert odds.value == pytest.approx(np.log(0.999999 / (1e-6 / 3)))


def test_a_text_only_model_follows_every_hint(fake):
    found = outcome(fake(sight=0.0, trust=1.0))
    assert found.holds is False
    assert share(found).value == 0.0
    # The log-odds are the hint's own weight: the dose curve is the formula's.
    curve = [
        found.find(override.LOG_ODDS, strength=s, of="all").value for s in ("none", *STRENGTHS)
    ]
    assert curve == pytest.approx([0.0, -1.0, -2.0, -4.0])


def test_a_text_follower_that_sees_falls_where_the_hint_outweighs_the_image(fake):
    model = fake(clear=0.7, trust=1.0)  # the image is worth log 7 = 1.95
    found = outcome(model)
    held = model.symbol[:150] == model.gold[:150]
    assert share(found, "weak", "own right").value == 1.0
    assert share(found, "medium", "own right").value == 0.0
    assert share(found, "strong", "own right").n == held.sum()


def test_a_model_without_any_preference_is_neither(fake):
    found = outcome(fake(sight=0.0))
    assert share(found).value == 0.5
    assert found.holds is None


def test_a_model_that_knows_the_answer_from_the_text_does_not_see_it(fake):
    # Its text is another's image: it resists hints, and a blank image takes nothing away.
    knows = fake(clear=0.9)
    found = outcome(knows, blank=knows.read())
    assert share(found).low > 0.5
    assert found.find(override.BEYOND).value == 0.0
    assert found.holds is not True


def test_without_a_blank_image_the_test_is_open(fake):
    found = outcome(fake(clear=0.9), blank=None)
    assert found.holds is None
    assert "no blank image" in found.reason


def test_the_encoders_subset_is_the_documents_that_it_answers_right(fake):
    model = fake(clear=0.7)
    encoder = replace(model.read(), scale="similarity")
    found = outcome(model, encoder)
    right = (model.symbol == model.gold)[:150]
    assert share(found, of="encoder right").n == right.sum()
    assert share(found, of="encoder right").value == 1.0
    assert share(found).value < 1.0


def test_an_agreeing_hint_helps_a_model_that_listens(fake):
    found = outcome(fake(sight=0.0, trust=1.0))
    gain = found.find(override.AGREEING_GAIN)
    assert gain.value == pytest.approx(np.exp(4) / (np.exp(4) + 3) - 0.25)
    assert found.find(override.ACCURACY, hint="right", strength="strong").value == 1.0


def test_a_wrong_hint_that_asserts_gold_is_refused(fake):
    model = fake(n=40)
    hinted = override.Hinted(scores=model.read(), target=model.gold)
    with pytest.raises(VlmbenchError, match="40 of 40"):
        override.outcome(model.read(), {"weak": hinted}, None, None, None, seed=0)
