"""Whether the other wordings of a task ask for the same images and offer the same choices."""

from __future__ import annotations

from collections.abc import Iterator

from vlmbench.spec._checks import Flaw, image_marks
from vlmbench.spec._task import TaskSpec
from vlmbench.spec._wordings import wordings


def check_wordings(spec: TaskSpec) -> Iterator[Flaw]:
    """Yield wordings that ask for other images, or offer other choices, than the task itself."""
    for keys, other in wordings(spec):
        inner = keys if keys[-2] == "paraphrases" else (*keys, "doc_to_text")
        yield from image_marks(spec, other.doc_to_text, inner)
        own, given = spec.doc_to_choice, other.doc_to_choice
        if given == own:
            continue
        if spec.is_free_text:
            yield Flaw(keys, "free text has no choices to name otherwise", "Leave it out.")
        elif isinstance(given, tuple) and len(set(given)) < len(given):
            yield Flaw((*keys, "doc_to_choice"), f"{list(given)} contains a choice twice")
        elif isinstance(own, tuple) and isinstance(given, tuple) and len(own) != len(given):
            message = f"{len(given)} choices for the {len(own)} of the task"
            yield Flaw((*keys, "doc_to_choice"), message, "Name each of them, in their order.")
