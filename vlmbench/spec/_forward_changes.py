"""What a condition can do inside a forward pass. Each variant states its own facts."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import BeforeValidator

from vlmbench.spec._variants import Variant, spelled_out


class ForwardChange(Variant):
    """What is done to a language model's states or attention while it reads."""

    intervenes: ClassVar[bool]
    """Whether anything is done, which only a model that is open here allows."""
    needs_others: ClassVar[bool]
    """Whether it takes another document of the task as well."""
    samples: ClassVar[tuple[str, ...]]
    """Labels that show what it does, for messages and tests."""


class Intact(ForwardChange):
    """The forward pass as it is."""

    intervenes, needs_others = False, False
    samples = ("intact",)
    kind: Literal["intact"] = "intact"


_Any = Intact
FORWARD_CHANGES: tuple[type[ForwardChange], ...] = get_args(_Any) or (Intact,)
"""Every variant."""

AnyForwardChange = Annotated[
    _Any,
    BeforeValidator(
        lambda value: spelled_out(value, FORWARD_CHANGES),
        json_schema_input_type=_Any | str,
    ),
]
"""A change of the forward pass in YAML: its label, or its keys."""
