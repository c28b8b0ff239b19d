"""What every spec has in common: unknown keys refused, values frozen, docstrings as help."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """Base of every YAML-backed model. Attribute docstrings become JSON Schema descriptions."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, populate_by_name=True
    )
