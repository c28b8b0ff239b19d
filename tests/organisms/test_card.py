from __future__ import annotations

import json
from math import prod
from pathlib import Path

import pytest
from safetensors import safe_open

from vlmbench.organisms._card import GATE, card, with_gate
from vlmbench.organisms._recipe import load_recipe

MODELS = Path(__file__).parents[2] / "models"


def log(*lines: tuple[str, int, float]) -> str:
    return "\n".join(
        json.dumps({"stage": stage, "step": step, "seconds": seconds, "loss": 1.0})
        for stage, step, seconds in lines
    )


@pytest.mark.parametrize(
    ("objective", "kind"),
    [
        ("clip", "CLIPVisionModel"),
        ("siglip", "SiglipVisionModel"),
        ("supervised", "ViTModel"),
        ("dense", "CLIPVisionModel"),
    ],
)
def test_a_card_says_what_the_recipe_says(toy, objective, kind):
    recipe = toy(objective).model_copy(update={"remark": "Made in a hurry."})
    text = card(recipe, log(("letters", 20, 60.0), ("vision", 20, 30.0)), 1_870_000)
    assert f"`{kind}`, 96 px, patch 24 (16 patch tokens), 3 layers of width 32" in text
    assert "1.87 million" in text
    assert "The encoder was\ntrained for 6 steps of 12 images" in text
    assert "\n\nMade in a hurry.\n\n![loss of each stage](curves.svg)\n" in text


def test_minutes_are_summed_over_stages_and_resumed_stretches(toy):
    lines = [("letters", 20, 60.0), ("letters", 40, 120.0), ("letters", 60, 30.0)]
    text = card(toy(), log(*lines, ("vision", 20, 90.0)), 1)
    assert "The stages add up to 4 minutes" in text


def test_the_gate_is_written_in_its_place_and_again(toy):
    text = card(toy(), log(("letters", 20, 60.0)), 1)
    assert "Not measured yet" in text
    once = with_gate(text, "| first |\n")
    twice = with_gate(once, "| second |\n")
    assert "| first |" in once
    assert "Not measured yet" not in once
    assert "| first |" not in twice
    assert twice == with_gate(text, "| second |\n")


def test_a_card_without_a_place_for_the_gate_is_refused():
    with pytest.raises(ValueError, match="no place for the gate"):
        with_gate("# A card", "| row |\n")


@pytest.mark.parametrize("name", ["tiny-clip", "tiny-siglip", "tiny-in1k", "tiny-dense"])
def test_shipped_cards_say_what_the_template_says(name):
    shipped = (MODELS / name / "README.md").read_text("utf-8")
    with safe_open(MODELS / name / "model.safetensors", framework="np") as weights:
        parameters = sum(prod(weights.get_slice(key).get_shape()) for key in weights.keys())  # noqa: SIM118
    text = card(
        load_recipe(MODELS / "recipes" / f"{name}.yaml"),
        (MODELS / name / "training.jsonl").read_text("utf-8"),
        parameters,
    )
    assert with_gate(text, shipped.split(GATE)[1].lstrip("\n")) == shipped
