"""What a condition can do to the prompt; the words are in `hints`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import BeforeValidator, Field

from vlmbench.spec._variants import Variant, spelled_out

HintStrength = Literal["weak", "medium", "strong"]


class TextChange(Variant):
    """What is done to the prompt of a document."""

    changes_prompt: ClassVar[bool]
    """Whether the prompt differs from the task's."""
    needs_choices: ClassVar[bool]
    """Whether the task has to offer choices."""
    rewords: ClassVar[bool]
    """Whether it asks the same question in another form, which tells no more and no less."""
    samples: ClassVar[tuple[str, ...]]
    """Labels that show what it does, for messages and tests."""

    @property
    def added_tokens(self) -> int:
        """About how many tokens it adds, where it can make a prompt too long; else 0."""
        return 0


class PlainText(TextChange):
    """The task's prompt, unchanged."""

    changes_prompt, needs_choices, rewords = False, False, False
    samples = ("plain",)
    kind: Literal["plain"] = "plain"


class Hint(TextChange):
    """The prompt asserts an answer."""

    changes_prompt, needs_choices, rewords = True, True, False
    samples = ("hint-wrong-strong", "hint-right-strong")
    options = ("target", "strength")
    kind: Literal["hint"] = "hint"
    target: Literal["wrong", "right"] = "wrong"
    """`wrong`: one of the wrong choices, drawn for every document. `right`: gold."""
    strength: HintStrength = "strong"


class Filler(TextChange):
    """Text that says nothing makes the prompt longer."""

    changes_prompt, needs_choices, rewords = True, False, False
    samples = ("filler-256-before",)
    options = ("tokens", "place")
    kind: Literal["filler"] = "filler"
    tokens: int = Field(ge=1, le=1_000_000)
    """About how many tokens, at four tokens to three words."""
    place: Literal["before", "after"] = "before"
    """`before`: at the start of the prompt. `after`: after images and question, just before the
    prompt's last line."""

    @property
    def added_tokens(self) -> int:
        """About how many tokens it adds."""
        return self.tokens


class Paraphrase(TextChange):
    """The task's question in other words, which the task declares."""

    changes_prompt, needs_choices, rewords = True, False, True
    samples = ("paraphrase-1",)
    options = ("number",)
    kind: Literal["paraphrase"] = "paraphrase"
    number: int = Field(ge=1)
    """Which of `metadata.vlmbench.paraphrases`, counted from 1."""


class Order(TextChange):
    """The choices in another order; their marks stay where they are."""

    changes_prompt, needs_choices, rewords = True, True, True
    samples = ("order-1",)
    options = ("rotation",)
    kind: Literal["order"] = "order"
    rotation: int = Field(ge=1)
    """How many places each choice moves up; those at the top go to the end."""


class Letters(TextChange):
    """Choices are asked and scored as letters, where the task does so by their texts."""

    changes_prompt, needs_choices, rewords = True, True, True
    samples = ("letters",)
    kind: Literal["letters"] = "letters"


class Texts(TextChange):
    """Choices are asked and scored by their texts, where the task does so as letters."""

    changes_prompt, needs_choices, rewords = True, True, True
    samples = ("texts",)
    kind: Literal["texts"] = "texts"


_Any = PlainText | Hint | Filler | Paraphrase | Order | Letters | Texts
TEXT_CHANGES: tuple[type[TextChange], ...] = get_args(_Any)
"""Every variant."""

AnyTextChange = Annotated[
    Annotated[_Any, Field(discriminator="kind")],
    BeforeValidator(
        lambda value: spelled_out(value, TEXT_CHANGES),
        json_schema_input_type=Annotated[_Any, Field(discriminator="kind")] | str,
    ),
]
