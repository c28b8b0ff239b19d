"""Study YAML: a named bundle of conditions x readouts."""

from __future__ import annotations

from pydantic import Field

from vlmbench.spec._base import Name, Spec
from vlmbench.spec._conditions import Condition
from vlmbench.spec._hints import Hints
from vlmbench.spec._readouts import AnyReadout
from vlmbench.spec._task import Tags
from vlmbench.spec._tuning import Tuning


class StudyCell(Spec):
    """One reading of every document."""

    readout: AnyReadout
    """A readout (`vlmbench ls readouts`), by its name."""
    condition: Condition = Condition()
    documents: int | None = Field(default=None, ge=1)
    """Only the first N documents, to limit the cost. If absent: all of them."""


class StudySpec(Spec):
    """Which readouts to run under which conditions."""

    study: Name
    description: str = ""
    tag: Tags = ()
    studies: tuple[str, ...] = ()
    """Studies whose cells come first, by name. Their own hints and tuning do not count."""
    cells: tuple[StudyCell, ...] = ()
    explained: bool = False
    """Whether every model is explained as its run ends: printed, with its card written."""
    hints: Hints | None = None
    """Words of hints and fillers, for tasks that have none of their own."""
    tuning: Tuning = Tuning()
    """How weights are trained under conditions that ask for trained ones."""

    @property
    def tags(self) -> tuple[str, ...]:
        """`tag` as a tuple."""
        return (self.tag,) if isinstance(self.tag, str) else self.tag
