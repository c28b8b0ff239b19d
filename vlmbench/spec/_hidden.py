"""The hidden readout: a task's probe at every stage of the model's own forward pass."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from vlmbench.spec._conditions import Condition
from vlmbench.spec._hints import Hints
from vlmbench.spec._readout import (
    TORCH,
    Opens,
    Readout,
    Subject,
    missing_places,
    not_drawn,
    unchangeable,
    untrainable,
)
from vlmbench.spec._task import TaskSpec
from vlmbench.spec._text_changes import Order
from vlmbench.spec._wordings import unasked

STAGE = r"same|(tower|projector|language|value|lens)-\d+"
"""Names of stages, in the order of the signal. `same`: the tower's state that the language model
consumes. Numbers of `tower`, `language` and `lens` are those of hidden states, 0 being what the
first block is given; those of `projector` its parts, and of `value` layers, from 1."""


class Hidden(Readout):
    """What every stage of the model holds of the image, while it reads the prompt.

    One forward pass a document gives all stages, each read by the task's probe, and `lens`: the
    answer that the model's head would give from each layer. Its label alone means all of them.
    """

    implementation = "vlmbench.readouts:HiddenReadout"
    packages = TORCH
    scores_documents, answers, is_direct, has_rows = True, False, False, True
    options = ("similarity", "stage")
    kind: Literal["hidden"] = "hidden"
    similarity: Literal["raw", "centred"] = "raw"
    """Of points and of pooled vectors. `raw`: cosine, as the encoder is read, so that differences
    between stages are the stages'. `centred`: cosine after the mean of the document's own image
    tokens is taken off, because few dimensions rule the raw one in late layers."""
    stage: str = Field(default="", pattern=rf"^({STAGE})?$")
    """One stage alone; absent: all of them."""

    @property
    def label(self) -> str:
        """`hidden`, `hidden-centred`, `hidden-language-3`."""
        said = () if self.similarity == "raw" else (self.similarity,)
        return "-".join([self.kind, *said, *([self.stage] if self.stage else [])])

    @classmethod
    def options_from(cls, words: str) -> dict[str, str] | None:
        """Return the options that a label's words name; None if they name none."""
        centred = words == "centred" or words.startswith("centred-")
        stage = words.removeprefix("centred").removeprefix("-") if centred else words
        if stage and not re.fullmatch(STAGE, stage):
            return None
        return ({"similarity": "centred"} if centred else {}) | ({"stage": stage} if stage else {})

    def at(self, stage: str) -> Hidden:
        """Return the readout of one stage."""
        return self.model_copy(update={"stage": stage})

    def obstacles(
        self, subject: Subject, task: TaskSpec, condition: Condition, hints: Hints
    ) -> Iterator[str]:
        """Yield why the stages cannot be read."""
        model = subject.spec
        if subject.hidden and not condition.forward.intervenes:
            yield subject.hidden
        if model.twin is None:
            yield f"model {model.model!r} has no twin (key `twin`)"
        if task.output_type == "generate_until":
            yield "stages are read while a model scores choices, not while it generates text"
        if not condition.image.keeps_images:
            yield "without images there is nothing to read"
        if condition.weights.of_encoder:
            yield "only encoders can be given random weights"
        yield from unchangeable(subject, condition)
        yield from untrainable(subject, task, condition)
        yield from unasked(subject, task, condition)
        yield from self._unreadable(task, condition)
        if condition.image.moves_places and task.bench.regions is not None:
            yield (
                f"under {condition.label!r} the points or boxes of task {task.task!r} would name "
                "the wrong pixels"
            )
        yield from missing_places(task, condition)
        yield from not_drawn(task, condition)
        if too_long := subject.too_long(task, condition, hints):
            yield too_long

    def _unreadable(self, task: TaskSpec, condition: Condition) -> Iterator[str]:
        """Yield why the task's probe cannot read stages under a condition."""
        probe = task.bench.probe
        if isinstance(condition.text, Order):
            yield "stages are read of the choices in the task's own order"
        if probe is None:
            yield f"task {task.task!r} has no probe (key `metadata.vlmbench.probe`)"
            return
        if self.similarity == "centred" and not probe.compares:
            yield "the task's probe compares no vectors, so there is no cosine to centre"
        if probe.fitted and condition.forward.patches:
            yield "a fitted probe learns from documents that have no others to be patched with"

    def forward_passes(self, task: TaskSpec, documents: int) -> int:
        """Return one a document, those that a procedural task's probe is fitted on included."""
        generator, probe = task.bench.generator, task.bench.probe
        fits = probe is not None and probe.fitted and generator is not None
        return documents + (generator.train + generator.validation if fits and generator else 0)

    def opens(self, task: TaskSpec) -> Opens:
        """Return the splits that the probe is fitted on, if it is."""
        return Opens.of_probe(task)
