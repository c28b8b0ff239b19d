"""Conditions: what is changed about a document before the model sees it."""

from __future__ import annotations

from typing import Literal

from vlmbench.spec._base import Spec


class Condition(Spec):
    """What is done to a document before it is read. The default changes nothing."""

    image: Literal["own", "blank"] = "own"
    """`own`: the document's images. `blank`: images of the same sizes, all mid-grey (127)."""

    @property
    def label(self) -> str:
        """How the condition is written in tables and file names."""
        return self.image
