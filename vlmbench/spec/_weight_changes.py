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


_Any = BaseWeights | RandomWeights
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
