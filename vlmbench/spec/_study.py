"""Study YAML: a named bundle of conditions x readouts."""

from __future__ import annotations

from pydantic import Field

from vlmbench.spec._base import Spec
from vlmbench.spec._conditions import Condition
from vlmbench.spec._task import Tags


class StudyCell(Spec):
    """One reading of every document."""

    readout: str
    """Name of a readout (`vlmbench ls readouts`)."""
    condition: Condition = Condition()


class StudySpec(Spec):
    """Which readouts are taken under which conditions."""

    study: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]*$")
    description: str = ""
    tag: Tags = ()
    cells: tuple[StudyCell, ...] = Field(min_length=1)

    @property
    def tags(self) -> tuple[str, ...]:
        """`tag` as a tuple."""
        return (self.tag,) if isinstance(self.tag, str) else self.tag
