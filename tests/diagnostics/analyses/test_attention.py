"""Where the last position looks, and how that changes with the weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vlmbench.diagnostics import Evidence
from vlmbench.diagnostics._comparison import compare
from vlmbench.diagnostics.analyses import analyse
from vlmbench.diagnostics.analyses.attention import (
    BY_HEAD,
    CHANGE,
    PAID,
    SINKS,
    WITH_GAIN,
    _correlation,
    changed,
)
from vlmbench.spec import Condition
from vlmbench.types import PARTS, WHOLE, WINDOWS, Attention

LAYERS, HEADS = 2, 3
PLACE = {part: index for index, part in enumerate(PARTS)}


def uniform(n: int, *, sinks: float = 0.0) -> Attention:
    """Attention that is uniform over 16 image, 4 choice and 12 text tokens, but for sinks."""
    shares = dict.fromkeys(PARTS, 0.0) | {"image": 0.5, "choices": 0.125, "text": 0.375}
    shares = {part: share * (1 - sinks) for part, share in shares.items()} | {
        "text_sinks": sinks, "reference": np.nan, "candidates": 0.125 * (1 - sinks),
    }  # fmt: skip
    row = np.array([shares[part] for part in PARTS], dtype=np.float32)
    return Attention(
        heads=np.tile(row, (n, LAYERS, HEADS, 1)),
        sinks=np.tile(np.array([0, int(sinks > 0)]), (n, LAYERS, 1)),
        maps=np.full((n, WINDOWS, 16), 0.5 * (1 - sinks) / 16, dtype=np.float32),
        grids=np.tile(np.array([1, 4, 4]), (n, 1)),
    )


def moved(attention: Attention, part: str, by: np.ndarray) -> Attention:
    """Return attention with so much more, per document, paid to a part and less to the text."""
    heads = attention.heads.copy()
    heads[..., PLACE[part]] += by[:, None, None]
    heads[..., PLACE["text"]] -= by[:, None, None]
    return replace(attention, heads=heads)


def evidence(model, attention: Attention | None) -> Evidence:
    scores, inside = model.read(), model.inside()
    return Evidence(
        model="m", task="t",
        scores={("internals", Condition()): scores},
        internals={Condition(): replace(inside, attention=attention)},
    )  # fmt: skip


def only(held: Evidence):
    (found,) = [one for one in analyse(held) if one.analysis.name == "attention"]
    return found


def test_uniform_attention_pays_every_part_its_share_of_tokens(fake):
    found = only(evidence(fake(n=40), uniform(40)))
    for part, share in (("image", 0.5), ("choices", 0.125), ("text", 0.375), ("image_sinks", 0)):
        for layer in (1, 2):
            assert found.find(PAID, part=part, layer=layer).value == pytest.approx(share)
        assert found.find(PAID, part=part).value == pytest.approx(share)
    assert not found.every(PAID, part="reference")
    assert sum(found.find(PAID, part=PARTS[place]).value for place in WHOLE) == pytest.approx(1)
    assert len(found.every(BY_HEAD)) == LAYERS * HEADS
    assert found.find(BY_HEAD, layer=1, head=2).value == pytest.approx(0.5)
    assert found.find(SINKS, layer=1).value == 0


def test_what_sinks_take_is_not_text(fake):
    found = only(evidence(fake(n=40), uniform(40, sinks=0.8)))
    assert found.find(PAID, part="text_sinks").value == pytest.approx(0.8)
    assert found.find(PAID, part="text").value == pytest.approx(0.075)
    assert "sinks in the text 0.8" in found.says


def test_records_without_attention_by_head_say_nothing(fake):
    names = [found.analysis.name for found in analyse(evidence(fake(n=40), None))]
    assert "attention" not in names


def test_attention_that_moves_to_the_choices_with_what_is_gained(fake):
    """Documents that gain most are those whose attention moves most; the image's does not move."""
    model = fake(n=120)
    own = model.read()
    gain = np.random.default_rng(0).uniform(0, 4, 120)
    scores = own.scores.copy()
    scores[np.arange(120), model.gold] += gain
    pair = compare(own, replace(own, scores=scores))
    before = uniform(120)
    p = [np.exp(c.scores) / np.exp(c.scores).sum(1, keepdims=True) for c in pair.cells]
    rise = (p[1] - p[0])[np.arange(120), model.gold]
    found = changed(before, moved(before, "choices", 0.3 * rise), pair, weights="lora-1", seed=0)
    by = {(one.quantity, one.at["part"]): one.stat for one in found if "layer" not in one.at}
    assert by[CHANGE, "choices"].value == pytest.approx(0.3 * rise.mean(), rel=1e-4)
    assert by[CHANGE, "choices"].low > 0
    assert by[WITH_GAIN, "choices"].value == pytest.approx(1, abs=1e-3)
    assert by[CHANGE, "image"].value == 0
    assert np.isnan(by[WITH_GAIN, "image"].value)


def test_internals_under_other_weights_are_compared_with_the_models_own(fake):
    """Any weights but the model's own; blank images under them are no comparison."""
    model, other = fake(n=40), Condition.parse("own+random")
    held = evidence(model, uniform(40))
    after = moved(uniform(40), "image", np.full(40, 0.1))
    inside = replace(model.inside(first=30), attention=_first(after, 30))
    more = {other: inside, Condition.parse("blank+random"): inside}
    found = only(
        replace(
            held,
            scores={**held.scores} | {("internals", one): model.read(first=30) for one in more},
            internals={**held.internals, **more},
        )
    )
    change = found.find(CHANGE, weights="random", part="image")
    assert (change.value, change.n) == (pytest.approx(0.1), 30)
    assert {one.at["weights"] for one in found.every(CHANGE)} == {"random"}
    assert "With `random` most changes for" in found.says


def _first(attention: Attention, n: int) -> Attention:
    names = ("heads", "sinks", "maps", "grids")
    return Attention(**{name: getattr(attention, name)[:n] for name in names})


def test_a_change_that_has_nothing_to_do_with_the_gain_is_not_correlated(fake):
    model = fake(n=200)
    rng = np.random.default_rng(1)
    own = model.read()
    better = replace(own, scores=own.scores + rng.normal(0, 1, own.scores.shape))
    before = uniform(200)
    after = moved(before, "image", rng.uniform(0, 0.2, 200))
    found = changed(before, after, compare(own, better), weights="lora-1", seed=0)
    rho = next(m.stat for m in found if m.quantity == WITH_GAIN and m.at["part"] == "image")
    assert rho.low < 0 < rho.high
    assert rho.high - rho.low < 0.35


def test_the_interval_of_a_correlation_holds_it_as_often_as_it_says(fake):
    """Of 400 samples of 60 documents whose correlation is 0, about one in twenty excludes it."""
    rng, own = np.random.default_rng(2), compare(fake(n=60).read())
    stats = [_correlation(*rng.normal(size=(2, 60)), own) for _ in range(400)]
    missed = sum(not rho.low < 0 < rho.high for rho in stats)
    assert 8 <= missed <= 34
