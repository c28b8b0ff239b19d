"""A model before it is loaded: what decides which readouts apply to it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from vlmbench.plan._checkpoint import Checkpoint
from vlmbench.registry import backends
from vlmbench.spec import Condition, Hints, Located, ModelSpec, TaskSpec
from vlmbench.tasks import filler

# Tokens left for the question, the choices and a chat template, next to filler and images.
QUESTION = 128


@dataclass(frozen=True)
class Candidate:
    """What a model's spec and its checkpoint's own files say about it (a `spec.Subject`).

    Attributes:
        model: Its spec, and where it comes from.
    """

    model: Located[ModelSpec]

    @property
    def spec(self) -> ModelSpec:
        """What its YAML says."""
        return self.model.spec

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """What its files say."""
        return Checkpoint.of(self.model)

    @cached_property
    def hidden(self) -> str:
        """Why its hidden states cannot be read; empty if they can."""
        backend = self.spec.backend
        if not self.spec.has_weights:
            return f"model {self.spec.model!r} has no weights"
        if not backends()[backend].shows_inside():
            return f"backend {backend!r} does not show the inside of its model"
        return self.checkpoint.family.internals

    @property
    def unpatchable(self) -> str:
        """Why states of image tokens cannot be replaced; empty if they can."""
        return self.checkpoint.family.patching

    @property
    def layers(self) -> int | None:
        """Layers of its language model; None if nothing says so."""
        return self.checkpoint.layers

    @property
    def keeps_tower(self) -> bool:
        """Whether its backend does not give access to its vision tower."""
        return backends()[self.spec.backend].is_open is False

    @property
    def needs_images(self) -> str:
        """Why it cannot be asked without an image; empty if it can."""
        family = self.checkpoint.family
        return "" if family.text_only else f"{family.name} cannot be asked without an image"

    def reframes(self, task: TaskSpec) -> str:
        """Return why it does not see images whole and by themselves; empty if it does."""
        name, policy = self.spec.model, self.spec.image
        if policy.letterbox is not None:
            return f"model {name!r} is shown them padded to a square (`image.letterbox`)"
        if policy.several == "join" and len(task.image_columns) > 1:
            return f"model {name!r} is shown them joined into one (`image.several`)"
        return (
            f"the processor of model {name!r} cuts their edges off" if self.checkpoint.crops else ""
        )

    def too_long(self, task: TaskSpec, condition: Condition, hints: Hints) -> str:
        """Return that a filler does not fit the model's context, where both are known."""
        added = condition.text.added_tokens
        if not added or self.checkpoint.context is None:
            return ""
        images = len(task.image_columns) if condition.image.keeps_images else 0
        length = self.checkpoint.tokens(filler(hints, added)) or added
        needed = length + images * self.checkpoint.image_tokens + QUESTION
        if needed <= self.checkpoint.context:
            return ""
        return (
            f"{added} tokens of filler make a prompt of about {needed}, and model "
            f"{self.spec.model!r} takes at most {self.checkpoint.context}"
        )
