"""What `vlmbench show` says of a model's answers: which tokens are scored for a choice."""

from __future__ import annotations

from vlmbench.cli._printing import display, say
from vlmbench.report import Column, Layout
from vlmbench.spec import Located, ModelSpec
from vlmbench.types import VlmbenchError, one_line

# The kinds of choices that tasks have.
_CHOICES = ("A", "B", "(A)", "(B)", "yes", "no")


def show_answers(model: Located[ModelSpec]) -> None:
    """Print the tokens of answers after a model's prompt; needs its processor, and no weights."""
    if not model.spec.has_weights or model.spec.server is not None:
        return
    from vlmbench.models import Prompt, PromptText

    try:
        text = PromptText.load(model.spec, model.folder)
        rendered = text.render(Prompt(user="Which?", images=()))
        following = [text.continuation(choice, " ") for choice in _CHOICES]
        shown, rows = text.answers(rendered, following)
    except (VlmbenchError, OSError, ValueError) as error:
        say(f"answer tokens cannot be shown: {one_line(str(error), longest=1_000)}", style="dim")
        return
    say(f"a prompt ends in {shown[-24:]!r}; the tokens that are scored after it:")
    spelled = [text.processor.tokenizer.convert_ids_to_tokens(ids) for ids in rows]
    columns = (Column(head="choice"), Column(head="answer tokens"))
    lines = [
        [choice, "  ".join(map(repr, tokens))]
        for choice, tokens in zip(_CHOICES, spelled, strict=True)
    ]
    display(Layout(columns=columns, rows=lines))
