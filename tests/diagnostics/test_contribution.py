"""Test 5 on a channel whose information is known."""

from __future__ import annotations

import numpy as np
import pytest

from vlmbench.diagnostics import Tokens, contribution


def outcome(model, tokens=None):
    return contribution(model.read(), {"none": model.read("none")}, tokens, seed=0)


def find(found, figure):
    return found.find(figure, against="none").stat


@pytest.mark.parametrize("clear", [0.4, 0.7, 0.9])
def test_a_noisy_channel_reads_its_mutual_information(fake, clear):
    model = fake(clear=clear, n=600)
    found = outcome(model)
    usable = find(found, "usable information")
    assert usable.low <= model.channel_bits <= usable.high
    # The posterior has the same entropy whichever symbol is seen, so this one is exact.
    assert find(found, "entropy reduction").value == pytest.approx(model.channel_bits)
    assert found.holds is True


def test_an_image_blind_model_reads_zero_and_fails(fake):
    found = outcome(fake(sight=0.0, lean=1.0))
    assert find(found, "entropy reduction").value == 0.0
    assert find(found, "usable information").value == 0.0
    assert found.holds is False


def test_an_oracle_reads_all_that_is_to_know_less_its_residual(fake):
    model = fake(clear=0.999999)
    usable = find(outcome(model), "usable information")
    assert usable.value == pytest.approx(2 + np.log2(0.999999))


def test_confidence_in_wrong_answers_lowers_entropy_and_does_harm(fake):
    found = outcome(fake(clear=0.25, n=600, sight=1.0))
    assert find(found, "usable information").value == pytest.approx(0.0, abs=1e-9)
    model = fake(clear=0.3, sight=20.0)
    found = outcome(model)
    assert find(found, "entropy reduction").low > 0
    assert find(found, "usable information").high < 0
    assert found.holds is False


def test_bits_per_token_and_their_quotient(fake):
    model = fake(clear=0.9)
    assert outcome(model).find("bits per image token", against="none") is None
    found = outcome(model, Tokens(image=16.0, text=8.0))
    usable = find(found, "usable information")
    assert find(found, "bits per image token").value == pytest.approx(usable.value / 16)
    # The text says nothing over a guess, so there is no rate to exchange at.
    assert find(found, "usable information of the text").value == pytest.approx(0.0)
    assert found.find("exchange rate", against="none") is None


def test_the_exchange_rate_where_both_say_something(fake):
    # A blank reading that is a worse look at the same symbol stands for an informative text.
    model = fake(clear=0.9)
    found = contribution(
        model.read(), {"none": model.read(seen=0.5)}, Tokens(image=10.0, text=5.0), seed=0
    )
    image, text, rate = (
        find(found, figure)
        for figure in ("bits per image token", "bits per text token", "exchange rate")
    )
    assert rate.value == pytest.approx(image.value / text.value)
    assert rate.low < rate.value < rate.high


def test_a_blank_image_stands_in_where_none_is_impossible(fake):
    model = fake()
    found = contribution(model.read(), {"blank": model.read("blank")}, None, seed=0)
    assert found.holds is True
    assert "blank" in found.reason
