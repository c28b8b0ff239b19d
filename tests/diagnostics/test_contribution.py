"""The contribution test on a channel whose information is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vlmbench.diagnostics import contribution


def outcome(model, tokens=None):
    own = model.read()
    return contribution.outcome(own, {"blank": model.read("blank")}, own, tokens, seed=0)


def find(found, quantity):
    return found.find(quantity, against="blank")


@pytest.mark.parametrize("clear", [0.4, 0.7, 0.9])
def test_a_noisy_channel_reads_its_mutual_information(fake, clear):
    model = fake(clear=clear, n=600)
    found = outcome(model)
    usable = find(found, contribution.USABLE)
    assert usable.low <= model.channel_bits <= usable.high
    assert find(found, contribution.UNCAPPED).value == pytest.approx(model.channel_bits, abs=0.1)
    # The posterior has the same entropy whichever symbol is seen, so this one is exact.
    assert find(found, contribution.ENTROPY_REDUCTION).value == pytest.approx(model.channel_bits)
    assert found.holds is True


def test_an_image_blind_model_reads_zero_and_fails(fake):
    found = outcome(fake(sight=0.0, lean=1.0))
    assert find(found, contribution.ENTROPY_REDUCTION).value == 0.0
    assert find(found, contribution.USABLE).value == 0.0
    assert found.holds is False


def test_an_oracle_reads_all_that_is_to_know_less_its_residual(fake):
    model = fake(clear=0.999999)
    usable = find(outcome(model), contribution.USABLE)
    assert usable.value == pytest.approx(2 + np.log2(0.999999))


def test_confidence_in_wrong_answers_lowers_entropy_and_does_harm(fake):
    found = outcome(fake(clear=0.25, n=600, sight=1.0))
    assert find(found, contribution.USABLE).value == pytest.approx(0.0, abs=1e-9)
    model = fake(clear=0.3, sight=20.0)
    found = outcome(model)
    assert find(found, contribution.ENTROPY_REDUCTION).low > 0
    assert find(found, contribution.USABLE).high < 0
    assert found.holds is False


def test_bits_per_token_and_their_quotient(fake):
    model = fake(clear=0.9)
    assert find(outcome(model), contribution.PER_IMAGE_TOKEN) is None
    found = outcome(model, contribution.Tokens(image=16.0, text=8.0))
    usable = find(found, contribution.USABLE)
    assert find(found, contribution.PER_IMAGE_TOKEN).value == pytest.approx(usable.value / 16)
    # The text says nothing over a guess, so there is no rate to exchange at.
    assert find(found, contribution.USABLE_TEXT).value == pytest.approx(0.0)
    assert find(found, contribution.EXCHANGE_RATE) is None


def test_the_exchange_rate_where_both_say_something(fake):
    # A blank reading that is a worse look at the same symbol stands for an informative text.
    model = fake(clear=0.9)
    found = contribution.outcome(
        model.read(),
        {"blank": model.read(seen=0.5)},
        model.read(),
        contribution.Tokens(image=10.0, text=5.0),
        seed=0,
    )
    image, text, rate = (
        find(found, quantity)
        for quantity in (
            contribution.PER_IMAGE_TOKEN,
            contribution.PER_TEXT_TOKEN,
            contribution.EXCHANGE_RATE,
        )
    )
    assert rate.value == pytest.approx(image.value / text.value)
    assert rate.low < rate.value < rate.high


def test_text_alone_decides_nothing(fake):
    # What leaving the tokens out does, to a model that sees nothing of what they show.
    blind = fake(clear=0.9, sight=0.0)
    own, none = blind.read(), fake(clear=0.9, sight=-1.0).read()
    alone = contribution.outcome(own, {"none": none}, own, None, seed=0)
    assert alone.find(contribution.USABLE, against="none").low > 0
    assert alone.holds is None
    assert "no blank image" in alone.reason
    both = contribution.outcome(
        own, {"none": none, "blank": blind.read("blank")}, own, None, seed=0
    )
    assert both.holds is False


def test_without_a_measured_floor_the_test_is_open(fake):
    model = fake()
    found = contribution.outcome(model.read(), {"blank": model.read("blank")}, None, None, seed=0)
    assert found.holds is None
    assert "floor was not measured" in found.reason


def test_rounding_that_repeats_show_as_well_is_no_information(fake):
    # Shifted towards gold, and so surer, by no more than a repeat is on one document.
    model = fake(sight=0.0, lean=1.0)
    blank, rows = model.read(), np.arange(model.n)

    def shifted(size):
        scores = blank.scores.copy()
        scores[rows, blank.gold] += size * (blank.gold == 0)
        return replace(blank, scores=scores)

    own, repeat = shifted(1.0), shifted(1.0)
    repeat.scores[0, repeat.gold[0]] += 1.0
    assert contribution.outcome(own, {"blank": blank}, own, None, seed=0).holds is True
    found = contribution.outcome(own, {"blank": blank}, repeat, None, seed=0)
    assert found.find(contribution.NUMERIC_FLOOR, of="information").value > 0.5
    assert found.holds is False


def test_a_document_counts_for_no_more_than_a_certain_answer_is_worth(fake):
    model = fake(clear=0.7, n=100)
    own = model.read()
    scores = own.scores.copy()
    scores[0] = -50.0
    scores[0, (own.gold[0] + 1) % 4] = 0.0  # certain, and wrong: -72 bits
    found = contribution.outcome(
        replace(own, scores=scores), {"blank": model.read("blank")}, None, None, seed=0
    )
    plain, capped = (
        find(found, quantity) for quantity in (contribution.UNCAPPED, contribution.USABLE)
    )
    assert np.isnan(plain.low)
    assert capped.value - plain.value == pytest.approx((50 / np.log(2) - 2 - 2) / 100, abs=0.01)
    assert capped.low > -2.0
