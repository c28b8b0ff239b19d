"""Conditions: what is changed about a document before the model sees it."""

from __future__ import annotations

from typing import Literal

from vlmbench.spec._base import Spec


class Condition(Spec):
    """What is done to a document before it is read. The default changes nothing."""

    image: Literal["own", "blank"] = "own"
    """`own`: the document's images. `blank`: images of the same sizes, all mid-grey (127)."""

    weights: Literal["base", "random"] = "base"
    """`base`: the model's own weights. `random`: the encoder's architecture with freshly drawn
    weights, against which its readout is to be judged (encoder readout only)."""

    @property
    def label(self) -> str:
        """How the condition is written in tables and file names."""
        return self.image if self.weights == "base" else f"{self.image}+{self.weights}"
