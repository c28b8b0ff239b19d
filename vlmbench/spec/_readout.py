"""What every readout says of itself, and what it may ask of a model before it is loaded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from vlmbench.spec._conditions import Condition
from vlmbench.spec._hints import Hints
from vlmbench.spec._model import ModelSpec
from vlmbench.spec._task import TaskSpec
from vlmbench.spec._variants import Variant
from vlmbench.spec._weight_changes import Prefix

TORCH = ("torch", "transformers")
"""What a readout imports that runs a model here."""

Role = Literal["reported", "train", "validation"]
"""What a split is for: to be measured on, to fit on, to choose on."""


class Subject(Protocol):
    """What a model's spec and its checkpoint's own files say about it before it is loaded."""

    @property
    def spec(self) -> ModelSpec:
        """What its YAML says."""

    @property
    def hidden(self) -> str:
        """Why its hidden states cannot be read; empty if they can."""

    @property
    def unpatchable(self) -> str:
        """Why states of image tokens cannot be replaced; empty if they can."""

    @property
    def layers(self) -> int | None:
        """Layers of its language model; None if nothing says so."""

    @property
    def keeps_tower(self) -> bool:
        """Whether its backend does not give access to its vision tower."""

    @property
    def needs_images(self) -> str:
        """Why it cannot be asked without an image; empty if it can."""

    def reframes(self, task: TaskSpec) -> str:
        """Return why it does not see images whole and by themselves; empty if it does."""

    def too_long(self, task: TaskSpec, condition: Condition, hints: Hints) -> str:
        """Return why a condition makes prompts too long for it; empty if it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opens:
    """Which of a task's data a readout reads, in addition to the documents it answers.

    Attributes:
        regions: Whether the coordinates of at least one document must be known.
        splits: Splits that something is fitted on.
        of: The task whose splits these are; None for the task itself.
        columns: Columns of those splits that are read beyond what documents hold.
    """

    regions: bool = False
    splits: tuple[Role, ...] = ()
    of: str | None = None
    columns: tuple[str, ...] = ()

    @classmethod
    def of_probe(cls, task: TaskSpec) -> Opens:
        """Return what a task's probe reads: regions, and the splits that it is fitted on."""
        probe = task.bench.probe
        if probe is None or not probe.fitted:
            return cls(regions=True)
        return cls(
            regions=True,
            splits=("train", "validation"),
            of=probe.fit_task,
            columns=probe.fit_columns,
        )


class Readout(Variant, ABC):
    """Where an answer is read."""

    implementation: ClassVar[str]
    """`module:class` with a method `read`; see `vlmbench.readouts.Reads`."""
    packages: ClassVar[tuple[str, ...]]
    """Top-level modules that reading imports beyond the standard library."""
    scores_documents: ClassVar[bool]
    """Whether it scores documents, and so has a record; otherwise it gives finished numbers."""
    answers: ClassVar[bool]
    """Whether its scores are answers to the question as asked: lm-eval would report them."""
    is_direct: ClassVar[bool]
    """Whether it reads features directly, so that its lead over the prompted answer is a gap."""
    has_rows: ClassVar[bool]
    """Whether its scores become rows of a table; they do not if they repeat another readout's."""

    def obstacle(
        self, subject: Subject, task: TaskSpec, condition: Condition, hints: Hints
    ) -> str | None:
        """Return why it does not apply to a model under a condition, or None if it does."""
        return next(self.obstacles(subject, task, condition, hints), None)

    @abstractmethod
    def obstacles(
        self, subject: Subject, task: TaskSpec, condition: Condition, hints: Hints
    ) -> Iterator[str]:
        """Yield every reason why it does not apply to a model under a condition."""

    def forward_passes(self, task: TaskSpec, documents: int) -> int:
        """Return how many inputs are put through the model for this many documents.

        One per document when prompted (its choices share it; generated answers cost up to
        `max_gen_toks` more steps of one token), and one per image for an encoder, including those
        that it is fitted on.
        """
        del task
        return documents

    def opens(self, task: TaskSpec) -> Opens:
        """Return which of the task's data it reads, in addition to the documents it answers."""
        del task
        return Opens()

    def note(self, model: ModelSpec, task: TaskSpec) -> str:
        """Return what the plan should say about how the answers are read; usually nothing."""
        del model, task
        return ""


def has_places(task: TaskSpec) -> bool:
    """Tell whether a task has points or boxes."""
    return task.bench.regions is not None and task.bench.regions.has_places


def not_drawn(task: TaskSpec, condition: Condition) -> Iterator[str]:
    """Yield that a task's images are files if a condition has to draw them anew."""
    if condition.image.redraws and task.bench.generator is None:
        yield (
            f"the images of task {task.task!r} were not drawn here (key "
            "`metadata.vlmbench.generator`), so they cannot be drawn with another answer"
        )


def missing_places(task: TaskSpec, condition: Condition) -> Iterator[str]:
    """Yield that a task has no points or boxes if a condition needs them."""
    if not condition.image.needs_places or has_places(task):
        return
    if task.bench.regions is None:
        yield (
            f"task {task.task!r} has no regions (key `metadata.vlmbench.regions`), so there is no "
            "evidence to mask"
        )
    else:
        yield f"the regions of task {task.task!r} are whole images, not places in them"


def unchangeable(subject: Subject, condition: Condition) -> Iterator[str]:
    """Yield why a model's forward pass cannot be changed as a condition asks."""
    change = condition.forward
    if change.intervenes and subject.hidden:
        yield subject.hidden
    if change.intervenes and not condition.image.keeps_images:
        yield f"without images there is nothing for `{change.label}` to change"
    if change.patches and subject.unpatchable:
        yield f"model {subject.spec.model!r} cannot be patched: {subject.unpatchable}"
    if change.patches and isinstance(condition.weights, Prefix):
        yield "states to patch with are read without the learned prefix"
    if subject.layers is not None and subject.layers < change.fewest_layers:
        yield (
            f"model {subject.spec.model!r} has {subject.layers} layers, too few for the windows of "
            f"`{change.label}`"
        )


def untrainable(subject: Subject, task: TaskSpec, condition: Condition) -> Iterator[str]:
    """Yield why the weights that a condition asks for cannot be trained."""
    if not condition.weights.trains:
        return
    label, model = condition.weights.label, subject.spec
    if subject.keeps_tower:
        yield (
            f"backend {model.backend!r} does not give access to the weights of model "
            f"{model.model!r}"
        )
    splits = (task.training_split, task.validation_split, task.test_split)
    if None in splits or len(set(splits)) < len(splits):
        yield (
            f"task {task.task!r} has no training and validation splits apart from its test split "
            f"to train `{label}` on"
        )
    if task.is_free_text:
        yield f"task {task.task!r} is answered in free text: there is no choice to learn"
    if model.prompt.thinking is not None:
        yield "a model that thinks first has no likelihood of an answer to train"
