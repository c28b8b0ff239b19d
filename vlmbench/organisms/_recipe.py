"""Recipes: everything that decides what a tiny model becomes, as one validated YAML."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from vlmbench.spec import Spec
from vlmbench.types import Problem, VlmbenchError

SCHEMA = Path(__file__).parent / "recipe.schema.json"
"""The shipped JSON Schema of a recipe, for editors."""

ObjectiveName = Literal["clip", "siglip", "supervised", "dense"]


class ImagesRecipe(Spec):
    """Which training images are drawn."""

    seed: int = Field(default=0, ge=0)
    """Seed of the images; they never share one with a task's documents."""
    single: int = Field(ge=1)
    """Images of one thing."""
    several: int = Field(ge=0)
    """Images of two to four things."""
    marked: int = Field(ge=0)
    """Images of two to four things with markers drawn on some."""

    @property
    def total(self) -> int:
        """Images of every kind together."""
        return self.single + self.several + self.marked


class EncoderRecipe(Spec):
    """Shape of the vision encoder, and how it is trained."""

    objective: ObjectiveName
    """What it learns from: captions (`clip`, `siglip`), class labels (`supervised`), or what the
    renderer knows of points (`dense`), of which it draws images of its own."""
    image_size: int = Field(default=96, ge=16)
    patch_size: int = Field(default=12, ge=2)
    width: int = Field(default=128, ge=8)
    layers: int = Field(default=4, ge=2)
    heads: int = Field(default=4, ge=1)
    mlp: int = Field(default=512, ge=8)
    """Width of the hidden layer of each block."""
    steps: int = Field(ge=1)
    batch: int = Field(default=128, ge=2)
    rate: float = Field(default=1e-3, gt=0)
    """Peak learning rate of AdamW; linear warm-up, then cosine decay to a twentieth. The matrices
    of `dense` are trained by Muon at twice the rate."""
    warmup: int = Field(default=200, ge=1)
    weight_decay: float = Field(default=0.05, ge=0)
    text_layers: int = Field(default=2, ge=1)
    """Depth of the caption tower (`clip`, `siglip`), which is not shipped."""


class DepthRecipe(Spec):
    """A second stage of a `dense` encoder, most of whose images teach depth."""

    steps: int = Field(ge=1)
    rate: float = Field(default=1e-3, gt=0)
    """As in the first stage, from a warm-up of its own."""
    warmup: int = Field(default=100, ge=1)


class LanguageRecipe(Spec):
    """Shape of the language model, and the phase in which it learns to answer with letters."""

    vocabulary: int = Field(default=1024, ge=300)
    """Tokens of the byte-level BPE, special ones included."""
    width: int = Field(default=128, ge=8)
    layers: int = Field(default=4, ge=1)
    heads: int = Field(default=4, ge=1)
    mlp: int = Field(default=384, ge=8)
    init_range: float = Field(default=0.08, gt=0)
    """Standard deviation of the initial weights. The usual .02 never left chance at this size."""
    steps: int = Field(ge=1)
    batch: int = Field(default=64, ge=1)
    rate: float = Field(default=1e-3, gt=0)
    warmup: int = Field(default=100, ge=1)


class VisionRecipe(Spec):
    """The stage that joins a frozen encoder to the language model."""

    feature_layer: int = -2
    """Hidden state of the encoder that the projector reads; -2 is LLaVA's choice."""
    steps: int = Field(ge=1)
    batch: int = Field(default=48, ge=1)
    rate: float = Field(default=1e-3, gt=0)
    warmup: int = Field(default=100, ge=1)
    questions: int = Field(default=3, ge=1)
    """Questions that share the images of one training sequence, each blind to the others."""


class PointingRecipe(Spec):
    """A last stage: reading the only marker with letters, amid ordinary lessons.

    Batch and questions are the vision stage's.
    """

    steps: int = Field(ge=1)
    rate: float = Field(default=1e-3, gt=0)
    warmup: int = Field(default=30, ge=1)


class Recipe(Spec):
    """How one tiny vision-language model is made."""

    organism: str = Field(pattern=r"^tiny-[a-z0-9\-]+$")
    """Name of the model, and of the folder its weights are shipped in."""
    seed: int = Field(default=0, ge=0)
    """Seed of initial weights and of the order of the data."""
    images: ImagesRecipe
    encoder: EncoderRecipe
    depth: DepthRecipe | None = None
    language: LanguageRecipe
    vision: VisionRecipe
    pointing: PointingRecipe
    shapes: PointingRecipe | None = None
    """More of it, three in four plain questions for the shape; before, two in five are."""
    remark: str = ""
    """What the model card should say in addition to the recipe."""
    checkpoint_every: int = Field(default=500, ge=1)
    """Steps between two saved states, from which a run that was stopped continues."""

    @model_validator(mode="after")
    def _depth_is_taught_densely(self) -> Self:
        if self.depth is not None and self.encoder.objective != "dense":
            raise ValueError("`depth` is a stage of `objective: dense` alone")
        return self


def load_recipe(path: Path) -> Recipe:
    """Read a recipe from YAML.

    Raises:
        VlmbenchError: With every field that is wrong.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Recipe.model_validate(data)
    except (OSError, yaml.YAMLError) as error:
        raise VlmbenchError(Problem(file=str(path), message=str(error))) from error
    except ValidationError as error:
        raise VlmbenchError(
            Problem(file=str(path), field=".".join(map(str, item["loc"])), message=item["msg"])
            for item in error.errors()
        ) from error


def write_schema(path: Path = SCHEMA) -> None:
    """Write the JSON Schema of a recipe."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    schema |= Recipe.model_json_schema()
    path.write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def digest(*parts: Spec | str | int) -> str:
    """Twelve hex digits that change whenever any of `parts` does: the name of cached work."""
    plain: list[Any] = [
        part.model_dump(mode="json") if isinstance(part, Spec) else part for part in parts
    ]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]
