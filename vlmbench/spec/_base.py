"""What every spec has in common: unknown keys refused, values frozen, docstrings as help."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator
from pydantic_core import PydanticCustomError

from vlmbench.spec._nodes import LARGEST

LONGEST_NAME = 128
"""Characters of a name: files and folders are called by it."""


class Spec(BaseModel):
    """Base of every YAML-backed model. Attribute docstrings become JSON Schema descriptions."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, populate_by_name=True
    )

    @field_validator("*")
    @classmethod
    def _within_reach(cls, value: Any) -> Any:
        """Refuse what the reader of YAML lets no number be, where it was written as text."""
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int | float) and not abs(number) <= LARGEST:
                largest = {"largest": f"{LARGEST:,}"}
                wanted = "a number between -{largest} and {largest}"
                raise PydanticCustomError("out_of_reach", wanted, largest)
        return value
