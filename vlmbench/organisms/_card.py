"""Model cards: what a tiny model is, how it was made, and what its gate measured."""

from __future__ import annotations

import json
import re
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from vlmbench.organisms._recipe import ObjectiveName, Recipe

GATE = "<!-- gate -->"
"""Comes before and after the gate's table."""

TEMPLATE = Path(__file__).parent / "card.md.jinja"

_ENCODERS: dict[ObjectiveName, tuple[str, str]] = {
    "clip": ("CLIPVisionModel", "contrasting captions (CLIP, arXiv 2103.00020)"),
    "siglip": ("SiglipVisionModel", "pairs of image and caption (SigLIP, arXiv 2303.15343)"),
    "supervised": ("ViTModel", "class labels, category and colour (as on ImageNet-1k)"),
    "dense": ("CLIPVisionModel", "what the renderer knows of points of its images"),
}


def card(recipe: Recipe, log: str, parameters: int) -> str:
    """Return the model card, with the gate's table left empty.

    Args:
        recipe: How the model was made.
        log: Its training log in JSONL.
        parameters: Of the whole model.
    """
    kind, objective = _ENCODERS[recipe.encoder.objective]
    jinja = Environment(  # noqa: S701  (markdown has no use for HTML's escapes)
        undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True
    )
    return jinja.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        name=recipe.organism,
        images=recipe.images,
        encoder=recipe.encoder,
        depth=recipe.depth,
        language=recipe.language,
        vision=recipe.vision,
        pointing=recipe.pointing,
        shapes=recipe.shapes,
        remark=recipe.remark,
        kind=kind,
        objective=objective,
        dense=recipe.encoder.objective == "dense",
        patches=(recipe.encoder.image_size // recipe.encoder.patch_size) ** 2,
        millions=parameters / 1e6,
        minutes=_minutes(log),
        gate=GATE,
    )


def with_gate(text: str, table: str) -> str:
    """Return a card with the gate's table in its place.

    Raises:
        ValueError: If the card has no such place.
    """
    pattern = re.compile(f"{re.escape(GATE)}.*?{re.escape(GATE)}", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"the card has no place for the gate ({GATE} twice)")
    return pattern.sub(lambda _: f"{GATE}\n{table}{GATE}", text)


def _minutes(log: str) -> float:
    """Return the minutes of all stages; a stage's seconds start again where it was resumed."""
    seconds, stage, last = 0.0, "", 0.0
    for line in log.splitlines():
        entry = json.loads(line)
        if entry["stage"] != stage or entry["seconds"] < last:
            seconds += last
        stage, last = str(entry["stage"]), float(entry["seconds"])
    return (seconds + last) / 60
