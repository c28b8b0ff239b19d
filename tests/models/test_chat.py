"""Chat templates: their own words where they refuse, and what they write before an answer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from llava import make_llava
from PIL import Image

from vlmbench.models import HfBackend, Prompt
from vlmbench.spec import ModelSpec, Prompting
from vlmbench.types import VlmbenchError

TEXT = "{% for part in m['content'] %}{{ '<image>' if part['type'] == 'image' else part['text'] }}\
{% endfor %}"
END = "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
NO_SYSTEM = (
    "{% for m in messages %}{% if m['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    + TEXT + "{% endfor %}" + END
)  # fmt: skip
PLAIN = "{% for m in messages %}" + TEXT + "{% endfor %}" + END
STRINGS = "{% for m in messages %}{{ m['content'] }}|{% endfor %}" + END
QUESTION = Prompt(user="Which?", images=())
PICTURE = Image.new("RGB", (32, 32))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_llava(tmp_path)


def loaded(folder: Path, templates: str | dict[str, str], **prompting: object) -> HfBackend:
    spec = ModelSpec(model="m", checkpoint=str(folder), prompt=Prompting.model_validate(prompting))
    plain = ModelSpec(model="m", checkpoint=str(folder))
    backend = HfBackend.load(plain, None, torch.device("cpu"), torch.float32)
    backend.processor.chat_template = templates
    return HfBackend(backend.model, backend.processor, spec)  # which reads the template afresh


def test_a_refused_system_role_is_said_in_the_templates_own_words(folder):
    backend = loaded(folder, NO_SYSTEM)
    assert backend.render(QUESTION) == "Which?ASSISTANT:"
    with pytest.raises(VlmbenchError, match="System role not supported") as error:
        backend.render(Prompt(user="Which?", images=(), system="Be brief."))
    (problem,) = error.value.problems
    assert problem.field == "prompt.chat_template"
    assert "description" in problem.remedy


def test_images_that_are_not_written_are_counted(folder):
    backend = loaded(folder, "{{ messages[0]['role'] }}")
    with pytest.raises(VlmbenchError, match=r"does not write 1 images as '<image>'"):
        backend.render(Prompt(user="<image>?", images=(PICTURE,)))


def test_one_of_several_templates_is_chosen_by_name(folder):
    named = {"terse": PLAIN, "rag": STRINGS}
    with pytest.raises(VlmbenchError, match=r"(?s)none is called 'default'.*rag, terse"):
        loaded(folder, named).render(QUESTION)
    assert loaded(folder, named, chat_template="terse").render(QUESTION) == "Which?ASSISTANT:"
    assert loaded(folder, named | {"default": PLAIN}).render(QUESTION) == "Which?ASSISTANT:"
    with pytest.raises(VlmbenchError, match="none is called 'tool_use'"):
        loaded(folder, named, chat_template="tool_use").render(QUESTION)


def test_a_list_of_texts_is_never_shown_as_python_writes_it(folder):
    backend = loaded(folder, STRINGS)
    assert backend.render(QUESTION) == "Which?|ASSISTANT:"
    shown = backend.render(Prompt(user="<image>?", images=(PICTURE,)))
    assert shown == "<image>?|ASSISTANT:"
    assert backend.continuation("A", " ") == "A"


def test_what_opens_the_final_answer_belongs_to_it(folder):
    """Templates of the harmony kind name the channel of an answer, which the prompt does not."""
    turn = "{% if m['role'] == 'assistant' %}ASSISTANT:<final>{% endif %}" + TEXT
    backend = loaded(folder, "{% for m in messages %}" + turn + "{% endfor %}" + END)
    assert backend.continuation("A", " ") == "<final>A"
    assert backend.text.without_delimiter("<final>A") == "A"


def test_what_a_template_writes_is_what_transformers_makes_of_it(folder):
    """The same code is given the same turns, switches and special tokens, with limits."""
    template = (
        "{% set ns = namespace(n=0) %}{{ bos_token }}{% for m in messages %}"
        "{% set ns.n = ns.n + 1 %}{{ ns.n ~ m['role'] | upper }}"
        "{% generation %}" + TEXT + "{% endgeneration %}\n{% endfor %}"
        "{{ messages | tojson }}" + END
    )  # fmt: skip
    backend = loaded(folder, template)
    theirs = backend.processor.apply_chat_template(
        [{"role": "system", "content": [{"type": "text", "text": "Brief é <b>."}]},
         {"role": "user", "content": [{"type": "text", "text": "Which?"}]}],
        add_generation_prompt=True, tokenize=False,
    )  # fmt: skip
    assert "1SYSTEM" in theirs
    assert backend.render(Prompt(user="Which?", images=(), system="Brief é <b>.")) == theirs


def test_a_template_that_is_too_long_is_refused_unread(folder):
    with pytest.raises(VlmbenchError, match="100,012 characters"):
        loaded(folder, "{# " + "x" * 100_006 + " #}").render(QUESTION)
