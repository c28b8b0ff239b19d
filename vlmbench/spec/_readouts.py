"""Readouts: where an answer is read. Each class says all there is to know about it.

A new readout is a class here (or in another package, named by the entry point group
`vlmbench.readouts`) and the class that its `implementation` names, which does the reading. Nothing
elsewhere asks which readout a value is: plan, data checks, run and statistics ask what it says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Annotated, Any, Literal, get_args

from pydantic import PlainValidator, SerializeAsAny
from pydantic_core import PydanticKnownError

from vlmbench.spec._cheap_rules import CHEAP_RULES, RuleName, rule_obstacle
from vlmbench.spec._conditions import Condition
from vlmbench.spec._encoder import Encoder
from vlmbench.spec._hidden import Hidden
from vlmbench.spec._hints import Hints
from vlmbench.spec._model import ModelSpec
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
from vlmbench.spec._variants import spelled_out
from vlmbench.spec._wordings import unasked
from vlmbench.types import Problem, VlmbenchError

GROUP = "vlmbench.readouts"


class Prompted(Readout):
    """The model is asked: choice likelihoods or generated text."""

    implementation = "vlmbench.readouts:PromptedReadout"
    packages = TORCH
    scores_documents, answers, is_direct, has_rows = True, True, False, True
    kind: Literal["prompted"] = "prompted"

    def obstacles(
        self, subject: Subject, task: TaskSpec, condition: Condition, hints: Hints
    ) -> Iterator[str]:
        """Yield why the model cannot be asked."""
        if condition.weights.of_encoder:
            yield "only encoders can be given random weights"
        yield from unchangeable(subject, condition)
        yield from untrainable(subject, task, condition)
        if not condition.image.keeps_images and subject.needs_images:
            yield subject.needs_images
        if condition.batch == "single" and subject.spec.server is not None:
            yield "a server forms its batches itself"
        yield from unasked(subject, task, condition)
        yield from missing_places(task, condition)
        yield from not_drawn(task, condition)
        yield from _misplaced(subject, task, condition)
        if too_long := subject.too_long(task, condition, hints):
            yield too_long

    def note(self, model: ModelSpec, task: TaskSpec) -> str:
        """Return how a server is asked and its answers are read."""
        server = model.server
        if server is None:
            return ""
        if task.output_type == "generate_until":
            how = "reads generated text"
        elif server.logprobs == "never":
            how = "reads choices from generated text, because there are no likelihoods"
        else:
            how = (
                "reads likelihoods if the server lists every choice of every document, "
                "else generated text"
            )
        budget = "no budget" if server.budget_usd is None else f"at most {server.budget_usd:g} USD"
        return f"asks {server.base_url}, {budget}; {how}"


class Internals(Prompted):
    """The prompted readout, with hidden states and attention of the language model."""

    implementation = "vlmbench.readouts:InternalsReadout"
    has_rows = False
    kind: Literal["internals"] = "internals"  # type: ignore[assignment]

    def obstacles(
        self, subject: Subject, task: TaskSpec, condition: Condition, hints: Hints
    ) -> Iterator[str]:
        """Yield why the model cannot be asked, or cannot be listened to."""
        if subject.hidden:
            yield subject.hidden
        if task.output_type == "generate_until":
            yield (
                "the inside of a model is read while it scores choices, not while it generates text"
            )
        if not condition.image.keeps_images:
            yield "without images there are no image states to compare"
        yield from super().obstacles(subject, task, condition, hints)


class Rule(Readout):
    """A cheap rule answers, without any model."""

    implementation = "vlmbench.readouts:RuleReadout"
    packages = ("sklearn",)
    scores_documents, answers, is_direct, has_rows = True, False, False, True
    kind: Literal["rule"] = "rule"
    name: RuleName

    def obstacles(
        self, subject: Subject, task: TaskSpec, condition: Condition, hints: Hints
    ) -> Iterator[str]:
        """Yield why the rule does not apply."""
        del hints
        if subject.spec.rule != self.name:
            yield f"model {subject.spec.model!r} is not the rule {self.name!r}"
        if not condition.is_own_model:
            yield "a rule has no weights and no forward pass to change"
        yield from unasked(subject, task, condition)
        if reason := rule_obstacle(self.name, task):
            yield reason

    def forward_passes(self, task: TaskSpec, documents: int) -> int:
        """Return 0: there is no model."""
        del task, documents
        return 0

    @property
    def learns(self) -> bool:
        """Whether it is fitted on the training split first."""
        return CHEAP_RULES[self.name] == "training"

    def opens(self, task: TaskSpec) -> Opens:
        """Return the training split for a rule that learns from its wording."""
        del task
        return Opens(splits=("train",)) if self.learns else Opens()


class Recorded(Readout):
    """Numbers measured elsewhere are taken as they are: humans, a paper's table."""

    implementation = "vlmbench.readouts:RecordedReadout"
    packages = ()
    scores_documents, answers, is_direct, has_rows = False, True, False, True
    kind: Literal["recorded"] = "recorded"

    def obstacles(
        self, subject: Subject, task: TaskSpec, condition: Condition, hints: Hints
    ) -> Iterator[str]:
        """Yield why there is no recorded number."""
        del condition, hints
        model = subject.spec
        if not model.recorded:
            yield f"model {model.model!r} does not hold recorded numbers"
        elif all(entry.task != task.task for entry in model.recorded):
            yield f"{model.model!r} has no recorded number for this task"

    def forward_passes(self, task: TaskSpec, documents: int) -> int:
        """Return 0: there is no model."""
        del task, documents
        return 0


def _misplaced(subject: Subject, task: TaskSpec, condition: Condition) -> Iterator[str]:
    """Yield why the coordinates in a task's prompts would name the wrong pixels."""
    markers, change = task.bench.markers, condition.image
    if markers is None or markers.in_images:
        return
    if change.moves_places and not change.replaces:
        yield (
            f"under {condition.label!r} the coordinates in the prompts of task {task.task!r} would "
            "name the wrong pixels"
        )
    if reframed := subject.reframes(task):
        yield (
            f"the prompts of task {task.task!r} give coordinates in pixels of the image file, but "
            f"{reframed}"
        )


def only_readout(model: ModelSpec) -> Readout | None:
    """Return the one readout of a model without weights; None for all others."""
    if model.recorded:
        return Recorded()
    return None if model.rule is None else Rule(name=model.rule)


READOUTS: tuple[type[Readout], ...] = get_args(
    Prompted | Internals | Encoder | Hidden | Rule | Recorded
)
"""Readouts of this package."""


@lru_cache(maxsize=1)
def foreign_readouts() -> tuple[type[Readout], ...]:
    """Return the readouts of other installed packages, whose modules are imported for this.

    Raises:
        VlmbenchError: If an entry point cannot be imported, is not a readout, or uses a name that
            is taken.
    """
    found: list[type[Readout]] = []
    problems = []
    taken = {variant.kind_of() for variant in READOUTS}
    for entry in entry_points(group=GROUP):
        try:
            variant = entry.load()
        except (ImportError, AttributeError) as error:
            message = f"the readout {entry.name!r} cannot be imported from {entry.value}: {error}"
            problems.append(Problem(message=message))
            continue
        if not (isinstance(variant, type) and issubclass(variant, Readout)):
            message = f"the readout {entry.name!r}: {entry.value} is not a class of readouts"
            remedy = "Derive it from `vlmbench.spec.Readout`."
            problems.append(Problem(message=message, remedy=remedy))
        elif variant.kind_of() in taken:
            message = (
                f"two packages provide the readout {variant.kind_of()!r}, one as {entry.value}"
            )
            problems.append(Problem(message=message, remedy="Uninstall one of them."))
        else:
            taken.add(variant.kind_of())
            found.append(variant)
    if problems:
        raise VlmbenchError(problems)
    return tuple(found)


def _resolve(value: Any) -> Readout:
    """Return the readout that a short form or keys mean."""
    if isinstance(value, Readout):
        return value
    for variants in (READOUTS, (*READOUTS, *foreign_readouts())):
        keys = spelled_out(value, variants)
        kind = keys.get("kind") if isinstance(keys, Mapping) else None
        for variant in variants:
            if variant.kind_of() == kind:
                return variant.model_validate(keys)
    names = ", ".join(f"'{variant.kind_of()}'" for variant in variants)
    raise PydanticKnownError(
        "union_tag_invalid",
        {"discriminator": "'kind'", "tag": str(kind), "expected_tags": names},
    )


AnyReadout = Annotated[
    SerializeAsAny[Readout],
    PlainValidator(_resolve, json_schema_input_type=str | dict[str, Any]),
]
"""A readout in YAML: its label, or its keys."""
