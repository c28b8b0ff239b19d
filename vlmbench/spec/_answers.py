"""Answer rules: how generated text is read. Each class says all there is to know about it.

A further rule is a class here, its name in the union below, and the function that
`implementation` names.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import BeforeValidator, Field

from vlmbench.spec._variants import Variant, spelled_out


class AnswerRule(Variant):
    """How an answer is read from what a model wrote."""

    implementation: ClassVar[str]
    """`module:function` that takes a task, asked documents and a `vlmbench.models.Reply` to each,
    and returns a vote or credit per document, or None."""
    edition: ClassVar[int]
    """Raised when the rule reads some text otherwise than before."""
    any_choice: ClassVar[bool]
    """Whether it reads a choice by whatever the prompt calls it."""
    says: ClassVar[str]
    """What it reads, in words, for people who look at its numbers."""

    @property
    def name(self) -> str:
        """The rule and its edition, as records and pages have it: `declared-1`."""
        return f"{self.kind}-{self.edition}"


class Declared(AnswerRule):
    """The choice that a reply declares, by the grammar in docs/answers.md."""

    implementation = "vlmbench.readouts:by_declaration"
    edition, any_choice = 1, True
    says = "the choice that the reply declares (docs/answers.md)"
    kind: Literal["declared"] = "declared"


class Blink(AnswerRule):
    """BLINK's own rule: nothing but `A` or `(A)`, else the one `(A)` in the text or its end."""

    implementation = "vlmbench.readouts:by_blink"
    edition, any_choice = 1, False
    says = (
        "BLINK's rule: a reply that is the letter alone, else the one letter in brackets in the "
        "whole reply, or in its last paragraph"
    )
    kind: Literal["blink"] = "blink"


class Filters(AnswerRule):
    """lm-eval's filters of the task, then an exact match with one choice."""

    implementation = "vlmbench.readouts:by_filters"
    edition, any_choice = 1, False
    says = "lm-eval's filters of the task, then its exact match with one choice"
    kind: Literal["filters"] = "filters"


class OwnScoring(AnswerRule):
    """lm-eval's own code credits free text, which names no choice."""

    implementation = "vlmbench.readouts:by_lm_eval"
    edition, any_choice = 1, False
    says = "free text, credited by lm-eval's own code"
    kind: Literal["lm_eval"] = "lm_eval"


_Any = Declared | Blink | Filters | OwnScoring
ANSWER_RULES: tuple[type[AnswerRule], ...] = get_args(_Any)
"""Every answer rule."""

AnyAnswerRule = Annotated[
    Annotated[_Any, Field(discriminator="kind")],
    BeforeValidator(
        lambda value: spelled_out(value, ANSWER_RULES),
        json_schema_input_type=Annotated[_Any, Field(discriminator="kind")] | str,
    ),
]
