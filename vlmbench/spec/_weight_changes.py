"""What a condition can do to the weights that are read. Each variant states its own facts."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import BeforeValidator, Field

from vlmbench.spec._variants import Variant, spelled_out


class WeightChange(Variant):
    """Which weights are read."""

    trains: ClassVar[bool]
    """Whether they are trained first, on the task's training and validation splits."""
    of_encoder: ClassVar[bool]
    """Whether it is the encoder alone that has them, so that no prompt can be read under them."""
    samples: ClassVar[tuple[str, ...]]
    """Labels that show what it does, for messages and tests."""

    @property
    def reaches_encoder(self) -> bool:
        """Whether the encoder's weights are other ones, too."""
        return self.of_encoder


class BaseWeights(WeightChange):
    """The model's own weights."""

    trains, of_encoder = False, False
    samples = ("base",)
    kind: Literal["base"] = "base"


class RandomWeights(WeightChange):
    """The encoder's architecture with freshly drawn weights, to judge its readout against."""

    trains, of_encoder = False, True
    samples = ("random",)
    kind: Literal["random"] = "random"


Rate = Literal["rate", "prefix_rate"]
"""Keys of `Tuning` that are learning rates."""


class Trained(WeightChange):
    """Weights that are trained on the task first, as `tuning` says.

    A label names the seed where it is not 0: `lora-language`, `lora-language-1`.
    """

    trains, of_encoder = True, False
    rate: ClassVar[Rate]
    """Which rate of `tuning` is theirs."""
    seed: int = Field(default=0, ge=0)
    """Seed of the first values and of the order of documents, whatever the condition draws."""

    @property
    def label(self) -> str:
        """The short form."""
        return super().label.removesuffix("-0")

    @classmethod
    def options_from(cls, words: str) -> dict[str, str] | None:
        """Return the options that a label's words name; the seed may be left out."""
        return super().options_from(words) or super().options_from(f"{words}-0")


Part = Literal["tower", "projector", "language"]
"""The parts of a vision-language model; the tower is its vision encoder."""


class Lora(Trained):
    """Low-rank updates of every linear layer of one part, and nothing else, are trained."""

    rate = "rate"
    samples = ("lora-tower", "lora-projector", "lora-language", "lora-language-1")
    options = ("part", "seed")
    kind: Literal["lora"] = "lora"
    part: Part

    @property
    def reaches_encoder(self) -> bool:
        """Whether it is the tower that is trained."""
        return self.part == "tower"


class Prefix(Trained):
    """Embeddings that are put before those of the prompt, and nothing else, are trained."""

    rate = "prefix_rate"
    samples = ("prefix-5", "prefix-5-1")
    options = ("tokens", "seed")
    kind: Literal["prefix"] = "prefix"
    tokens: int = Field(ge=1, le=1000)
    """How many. None at all is `base`."""


_Any = BaseWeights | RandomWeights | Lora | Prefix
WEIGHT_CHANGES: tuple[type[WeightChange], ...] = get_args(_Any)
"""Every variant."""

AnyWeightChange = Annotated[
    Annotated[_Any, Field(discriminator="kind")],
    BeforeValidator(
        lambda value: spelled_out(value, WEIGHT_CHANGES),
        json_schema_input_type=Annotated[_Any, Field(discriminator="kind")] | str,
    ),
]
"""Weights in YAML: their label, or their keys."""
