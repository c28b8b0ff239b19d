"""Closed-form models of every failure: records in, the right name out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vlmbench.diagnostics import (
    Evidence,
    Verdict,
    accuracies,
    diagnose,
    indicators,
    load_thresholds,
    verdict,
)
from vlmbench.spec import Condition

FILLERS = (64, 256, 1024)


def evidence(model, *, encoder, starved=False, says=True, fused=True, elsewhere=False) -> Evidence:
    """Return the cells of a closed-form model.

    Args:
        model: What answers.
        encoder: Whose scores are the encoder's readout.
        starved: The weight of the image falls with 1/length.
        says: The last states hold no more than noise; if not, they hold gold.
        fused: Image and text states share their latent.
        elsewhere: The model answers by some other document's image.
    """
    own, other = ("swapped", "own") if elsewhere else ("own", "swapped")
    scores = {
        ("prompted", "own"): model.read(own),
        ("prompted", "own+single"): model.read(own, first=60),
        ("prompted", "blank"): model.read("blank"),
        ("prompted", "none"): model.read("none"),
        ("prompted", "swapped"): model.read(other),
        ("encoder", "own"): replace(encoder.read(), scale="similarity"),
        ("internals", "own"): model.read(own, first=150),
        ("internals", "blank"): model.read("blank", first=150),
    }
    targets = {}
    for strength in ("weak", "medium", "strong"):
        label = f"own+hint-wrong-{strength}"
        scores["prompted", label] = model.read(own, hint=model.wrong, strength=strength)
        targets[Condition.parse(label)] = model.wrong
    noise = np.random.default_rng(5)
    inside = model.inside(first=150, layers=1)
    if says:
        inside = replace(
            inside, h_last=noise.standard_normal(inside.h_last.shape).astype(np.float32)
        )
    if not fused:
        inside = replace(
            inside, h_text=noise.standard_normal(inside.h_text.shape).astype(np.float32)
        )
    blank = model.inside(first=150, layers=1, blank=True)
    # Whatever the last position holds of gold, it holds by the image.
    unseen = noise.standard_normal(blank.h_last.shape).astype(np.float32)
    blank = replace(blank, h_last=unseen)
    internals = {Condition(): inside, Condition.parse("blank"): blank}
    for filler in FILLERS:
        length = 1 + filler / 32 if starved else 1.0
        for image, shown in (("own", own), ("blank", "blank")):
            label = f"{image}+filler-{filler}-before"
            scores["internals", label] = model.read(shown, length=length, first=24)
            internals[Condition.parse(label)] = model.inside(filler=filler, first=24, layers=1)
    return Evidence(
        model="m",
        task="t",
        scores={(readout, Condition.parse(label)): x for (readout, label), x in scores.items()},
        internals=internals,
        targets=targets,
    )


def judged(held: Evidence) -> Verdict:
    outcomes = diagnose(held)
    read = accuracies(held.get("prompted"), held.get("prompted", "blank"), held.get("encoder"))
    return verdict(indicators(outcomes, read), load_thresholds())


@pytest.mark.parametrize(
    ("name", "model", "encoder", "more"),
    [
        ("uses its vision", {"clear": 0.99}, 0.9, {}),  # an oracle
        ("uses its vision", {"clear": 0.7}, 0.9, {}),  # a channel of .64 bits
        ("visual neglect", {"sight": 0.0}, 0.9, {}),
        ("encoder-limited", {"sight": 0.0}, 0.25, {}),
        ("readout bottleneck", {"sight": 0.0}, 0.9, {"says": False}),
        ("fusion bottleneck", {"clear": 0.9}, 0.9, {"elsewhere": True, "fused": False}),
        ("negative exchange rate", {"clear": 0.9, "sight": -1.0}, 0.9, {}),
        ("text dominance", {"clear": 0.9, "trust": 10.0}, 0.9, {}),
        ("budget collapse", {"clear": 0.9}, 0.9, {"starved": True}),
    ],
)
def test_each_closed_form_model_is_named(fake, name, model, encoder, more) -> None:
    said = judged(evidence(fake(**model), encoder=fake(clear=encoder), **more))
    assert said.name == name, (said.reason, said.seen)
    missing = [line for line in said.seen if line.startswith("not measured")]
    # Without any influence there is no share of it to lose; all else was measured.
    assert all("filler takes away" in line for line in missing)
    assert bool(missing) == (model.get("sight") == 0.0)


def test_too_few_documents_are_inconclusive(fake) -> None:
    held = evidence(fake(clear=0.5), encoder=fake(clear=0.9))
    few = {
        cell: scores.take(np.arange(min(len(scores), 12))) for cell, scores in held.scores.items()
    }
    said = judged(
        replace(
            held,
            scores=few,
            internals={},
            targets={condition: target[:12] for condition, target in held.targets.items()},
        )
    )
    assert said.name == "inconclusive"
    assert "reaches across" in said.reason
