"""How weights are trained, where a condition asks for trained ones."""

from __future__ import annotations

from pydantic import Field

from vlmbench.spec._base import Spec


class Tuning(Spec):
    """How weights are trained on a task's training split and chosen on its validation split.

    The same documents in the same order, as many steps and the same rates for every part of a
    model, so that parts can be compared. The optimizer is AdamW without weight decay; its rate
    rises over a tenth of the steps and then falls to 0 in a line.
    """

    documents: int = Field(default=5000, ge=1)
    """Only the first N training documents; all there are if they are fewer."""
    steps: int = Field(default=300, ge=1)
    """Steps of the optimizer. The weights that are kept are those of the check with the least loss
    on validation documents, and the untrained ones are among them."""
    batch: int = Field(default=16, ge=1)
    """Documents a step."""
    accumulation: int = Field(default=1, ge=1)
    """Forward passes that a step's documents are spread over, to save memory."""
    checkpointing: bool = False
    """Whether states inside blocks are computed again on the way back, to save memory."""
    rate: float = Field(default=1e-3, gt=0)
    """Greatest learning rate of low-rank updates."""
    prefix_rate: float = Field(default=1e-2, gt=0)
    """Greatest learning rate of prefixes, whose few parameters take larger steps."""
    budget: int | None = Field(default=None, ge=1)
    """Parameters that low-rank updates have, whichever part they are for; ranks follow from it. If
    absent: 0.24% of the model's parameters, which is 16.7 million of 7 billion, but at least 32,768
    and no more than its smallest part can take."""
    alpha: float = Field(default=32.0, gt=0)
    """Low-rank updates are scaled by this over their rank."""
    check_every: int = Field(default=50, ge=1)
    """Steps from one check on validation documents to the next."""
    check_documents: int = Field(default=100, ge=1)
    """Only the first N validation documents."""
    patience: int = Field(default=4, ge=1)
    """Checks in a row without a lower loss after which training stops."""
