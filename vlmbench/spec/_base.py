"""What every spec has in common: unknown keys refused, values frozen, docstrings as help."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

from vlmbench.spec._nodes import LARGEST

NAME = r"[A-Za-z0-9][A-Za-z0-9_.\-]*"
LONGEST_NAME = 128
"""Characters of a name: files and folders are called by it."""
Name = Annotated[str, Field(pattern=f"^{NAME}$", max_length=LONGEST_NAME)]
"""Name of a task, group or study."""
ModelName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-+/]*$", max_length=LONGEST_NAME)
]
"""Name of a model, which may be a hub id."""


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
