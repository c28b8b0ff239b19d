"""Whatever a template says, loading and rendering it ends soon, in text or in a few words."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from drawn import counted
from guard import Outcome, guarded
from hypothesis import strategies as st
from nasty_templates import BLOCKS, EXPRESSIONS, ROW, TEMPLATES
from nasty_yaml import TASK
from transformers import ProcessorMixin
from transformers.utils import chat_template_utils  # noqa: F401 -- imported before anything forks

from vlmbench.models._chat import Chat
from vlmbench.spec import Prompting, TaskSpec, doc_text, load_files
from vlmbench.types import VlmbenchError

FILTERS = [
    "upper", "string", "list", "join(', ')", "center(10 ** 9)", "indent(n)", "replace('a', long)",
    "tojson", "regex_replace('(a|a)*$', '')", "map('upper') | list", "batch(3) | list", "length",
]  # fmt: skip
AROUND = [
    "{{% for i in range(n) %}}{}{{% endfor %}}", "{{% for i in many %}}{}{{% endfor %}}", "{}{}",
    "{{% set v %}}{}{{% endset %}}{{{{ v ~ v }}}}", "{{% if gold %}}{}{{% endif %}}",
    "{{% macro m() %}}{}{{% endmacro %}}{{{{ m() ~ m() }}}}",
    "{{% filter upper %}}{}{{% endfilter %}}",
]  # fmt: skip
CHATS = [
    "{% for m in messages %}{{ m['content'] }}{% endfor %}",
    "{% for m in messages %}{% for part in m['content'] %}{{ part }}{% endfor %}{% endfor %}",
]


def rendered(template: str, folder: Path) -> Outcome:
    """Load a task that asks so, as every command does, and ask it."""
    path = folder / "task.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(TASK) | {"doc_to_text": template}), "utf-8")

    def call() -> int:
        loaded = load_files([path])
        if loaded.problems:
            raise VlmbenchError(loaded.problems)
        spec = loaded.tasks[0].spec
        assert isinstance(spec, TaskSpec)
        return len(doc_text(spec, ROW))

    return guarded(call, folder=folder, seconds=30.0, memory=1 << 30)


class Processor(ProcessorMixin):
    """As much of a processor as a chat template is asked of."""

    def __init__(self, template: str) -> None:
        self.chat_template = template
        self.tokenizer = self

    special_tokens_map = {"bos_token": "<s>"}  # noqa: RUF012


def chatted(template: str, folder: Path) -> Outcome:
    def call() -> str:
        chat = Chat(Processor(template), Prompting(), "<image>")
        return chat.before_answer + chat.prompt("", "Which?", marker="<image>", n_images=0)

    return guarded(call, folder=folder, seconds=60.0, memory=1 << 30)


def harmless(outcome: Outcome) -> None:
    assert outcome.fault is None
    assert outcome.cpu < 5
    assert outcome.memory < 200 << 20


@pytest.mark.parametrize("template", TEMPLATES[::20])
def test_some_by_hand(template: str, tmp_path: Path) -> None:
    harmless(rendered(template, tmp_path))


@pytest.mark.soak
@pytest.mark.parametrize("template", TEMPLATES)
def test_all_by_hand(template: str, tmp_path: Path) -> None:
    harmless(rendered(template, tmp_path))


@pytest.mark.soak
@pytest.mark.parametrize("template", [*TEMPLATES[::5], *CHATS])
def test_chats_by_hand(template: str, tmp_path: Path) -> None:
    harmless(chatted(template, tmp_path))


@st.composite
def mixed(draw: st.DrawFn) -> str:
    """Return expressions by hand with filters, in blocks, one after the other, or cut."""
    parts = []
    for _ in range(draw(st.integers(1, 2))):
        if draw(st.integers(0, 3)) == 0:
            parts.append(draw(st.sampled_from(BLOCKS)))
            continue
        expression = draw(st.sampled_from(EXPRESSIONS))
        for name in draw(st.lists(st.sampled_from(FILTERS), max_size=4)):
            expression = f"({expression}) | {name}"
        parts.append(f"{{{{ {expression} }}}}")
    text = "".join(parts)
    for around in draw(st.lists(st.sampled_from(AROUND), max_size=3)):
        text = around.format(text, text)
    return text[: draw(st.integers(0, len(text)))] if draw(st.integers(0, 9)) == 0 else text


def fuzz(examples: int, folder: Path, run: Callable[[str, Path], Outcome]) -> Counter[str]:
    """Try so many templates; return how many were accepted and refused."""
    return counted(mixed(), examples, lambda template: run(template, folder), harmless)


@pytest.mark.soak
def test_many_templates(tmp_path: Path) -> None:
    counts = fuzz(500, tmp_path, rendered)
    sys.stdout.write(f"\n500 templates: {dict(counts)}\n")


@pytest.mark.soak
def test_many_chat_templates(tmp_path: Path) -> None:
    counts = fuzz(100, tmp_path, chatted)
    sys.stdout.write(f"\n100 chat templates: {dict(counts)}\n")


def test_a_few_templates(tmp_path: Path) -> None:
    assert fuzz(8, tmp_path, rendered)["refused"]


@pytest.mark.parametrize(
    "template", ["{{ 10 ** (10 ** 8) }}", "{% for a in range(99999) %}{% for b in range(99999) %}"
                 "{% endfor %}{% endfor %}"],
)  # fmt: skip
def test_a_chat_template_that_does_not_end_is_refused(template: str, tmp_path: Path) -> None:
    outcome = chatted(template, tmp_path)
    harmless(outcome)
    assert outcome.refused is not None
    assert "takes more than 2 s" in outcome.refused


def test_an_honest_chat_template_is_applied(tmp_path: Path) -> None:
    outcome = chatted(CHATS[0], tmp_path)
    assert (outcome.value, outcome.fault) == ("Which?", None)
