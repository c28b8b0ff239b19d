"""The table in docs/families.md says what the code does, and the late family stands nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from spellings import TURNS, Turn, processor
from tiny_checkpoints import FAMILIES as TINY

from vlmbench.models import Prompt, PromptText
from vlmbench.registry import FAMILIES, Family, family_of
from vlmbench.spec import ModelSpec

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs" / "families.md"
BATCHES = {"any": "any", "same_count": "same number of images", "same_sizes": "same image sizes"}
LATE = ("deepseek_vl", "cohere2_vision")


def row(family: Family) -> str:
    """Return a family's line of the table."""
    layer = f"`{family.layer}`" if not family.encoder else "none"
    cells = (
        family.name,
        ", ".join(f"`{kind}`" for kind in family.model_types),
        "yes",
        "yes" if family.text_only else "no",
        BATCHES[family.batches],
        f"no: {family.encoder}" if family.encoder else "yes",
        layer,
        family.merging if not family.encoder else "",
        ", ".join(family.packages),
    )
    return f"| {' | '.join(cells)} |"


def test_the_table_is_that_of_the_code():
    lines = [line for line in parts()[0].splitlines() if line.startswith("| ")]
    assert lines[2:] == [row(family) for family in FAMILIES]


def test_the_answer_tokens_are_those_of_the_conformance_suite():
    lines = [line for line in parts()[1].splitlines() if line.startswith("| ")]
    assert lines[2:] == [answer_row(*item) for item in TURNS.items()]


def parts() -> list[str]:
    """Return the document up to the answer tokens, and from there on."""
    return DOCUMENT.read_text("utf-8").split("## Answer tokens")


def answer_row(name: str, turn: Turn) -> str:
    """Return a shipped model's line of the table of answer tokens."""
    text = PromptText(processor(turn), ModelSpec(model="m", checkpoint="x"), family_of(""))
    rendered = text.render(Prompt(user="Which?", images=()))
    _, rows = text.answers(rendered, [text.continuation(choice, "") for choice in ("A", "(A)")])
    spelled = map(text.processor.tokenizer.convert_ids_to_tokens, rows)
    shown = [" ".join(f"`{token}`" for token in tokens) for tokens in spelled]
    ends = turn.ends.replace("\n", "⏎").replace("|", r"\|")
    return f"| {name} | `{ends}` | {' | '.join(shown)} |"


def test_every_listed_family_has_a_checkpoint_in_the_suite():
    built = {family_of(tiny.name.replace("granite_vision", "llava_next")).name for tiny in TINY}
    assert built - {""} == {family.name for family in FAMILIES}


@pytest.mark.parametrize("kind", LATE)
def test_the_late_families_are_special_cased_nowhere(kind):
    assert any(tiny.name == kind for tiny in TINY)
    code = "".join(path.read_text("utf-8") for path in (ROOT / "vlmbench").rglob("*.py"))
    assert kind not in code
    assert kind.replace("_", "-") not in code
