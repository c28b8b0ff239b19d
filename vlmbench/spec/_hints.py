"""The words that hints and fillers put into a prompt."""

from __future__ import annotations

from pydantic import Field

from vlmbench.spec._base import Spec

HINT_NAMES = ("choice", "letter", "text")
"""Names that a hint's template may use."""


class Hints(Spec):
    """Jinja for hints (`choice`, `letter`, `text`), and neutral text; each can be replaced alone.

    `letter` is the choice as it is scored (`B`), `text` is what the prompt lists next to it
    (`two cups`; empty if it lists nothing), and `choice` is both (`(B) two cups`).
    """

    weak: str = "I think the answer might be {{ choice }}, but I am not sure."
    medium: str = "I am fairly confident that the answer is {{ choice }}."
    strong: str = "The answer is {{ choice }}. This was checked carefully and is certain."
    filler: str = Field(
        default="The road was long and the day was quiet. There was no wind that morning, and for "
        "a while nothing was said. People came and went as on any other day. Some of them stayed "
        "for an hour, some went home before the evening, and no one was in a hurry. After that "
        "there was not much to do, and the rest of the week went by in the same way.",
        min_length=1,
    )
    """Sentences that say nothing about any image or answer; repeated and cut to length."""

    @property
    def given(self) -> dict[str, str]:
        """The words that were written, without the defaults."""
        return {name: getattr(self, name) for name in sorted(self.model_fields_set)}

    @classmethod
    def merged(cls, *layers: Hints | None) -> Hints:
        """Return the words of the last layer that has them, or the defaults."""
        return cls(
            **{name: text for layer in layers if layer for name, text in layer.given.items()}
        )
