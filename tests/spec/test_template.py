"""Jinja over rows agrees with lm-eval, byte for byte, and complains where lm-eval would not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.api.task import ConfigurableTask
from lm_eval.utils import apply_template

from vlmbench.spec import (
    TaskSpec,
    doc_choices,
    doc_description,
    doc_target,
    doc_text,
    render,
    unknown_columns,
)
from vlmbench.templates import undeclared
from vlmbench.types import VlmbenchError

ROW = {
    "question": "Which one is <red>?\n",
    "choices": ["cup", "hat & coat"],
    "gold": 1,
    "answer": "cup",
    "letter": "B",
    "n": 3,
    "empty": "",
    "null": None,
    "lost": float("nan"),
    "nested": {"x": [1.5, 2.0]},
    "digits": "12",
}


def spec(**changes: Any) -> TaskSpec:
    values = {
        "task": "t",
        "dataset_path": "json",
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "<image>{{ question }}",
        "doc_to_image": ["image"],
        "doc_to_choice": ["A", "B"],
        "doc_to_target": "gold",
        "metadata": {"vlmbench": {"ability": "x"}},
    }
    return TaskSpec.model_validate(values | changes)


def lm_eval_task(**config: Any) -> Any:
    """Enough of a ConfigurableTask for its `doc_to_*` methods."""
    namespace = SimpleNamespace(**{"doc_to_choice": ["A", "B"]} | config)
    return SimpleNamespace(prompt=None, features=list(ROW), config=namespace, _config=namespace)


TEMPLATES = [
    "plain",
    "<image>\n{{ question }}",
    "{{ question }}\n",
    "\n\n{{ question | trim }} ",
    "{% for c in choices %}({{ 'ABC'[loop.index0] }}) {{ c }}\n{% endfor %}",
    "{%- if n > 2 -%} many {%- else -%} few {%- endif -%}",
    "{{ question | regex_replace('<(.*?)>', '[\\\\1]') }}",
    "{{ question | regex_replace('e', 'E', 1) }}",
    "{{ nested.x[0] }} {{ nested['x'] }} {{ null or '-' }} {{ empty }}|",
    "{{ choices }} {{ choices | join(', ') }}",
    "{# gone #}{{ '%.2f' | format(n) }}{{ 'a' ~ n }}",
    "{% set k = namespace(i=0) %}{% for c in 'ab' %}{% set k.i = k.i + 1 %}{% endfor %}{{ k.i }}",
    "{{ 'x' if gold else 'y' }}\r\n",
    "<b>&amp;{{ choices[1] }}",
]


@pytest.mark.parametrize("template", TEMPLATES)
def test_rendering_agrees_with_lm_eval(template: str) -> None:
    assert render(template, ROW) == apply_template(template, ROW)


@given(
    template=st.lists(
        st.one_of(
            st.text("ab \n\t<>&'\"", max_size=4),
            st.sampled_from(["{{ a }}", "{{- a }}", "{{ a -}}", "{# c #}", "{{ b | upper }}"]),
        ),
        max_size=6,
    ).map("".join),
    a=st.text(max_size=5),
    b=st.text(max_size=5),
)
def test_rendering_agrees_with_lm_eval_on_any_text(template: str, a: str, b: str) -> None:
    row = {"a": a, "b": b}
    assert render(template, row) == apply_template(template, row)


@pytest.mark.parametrize("template", [*TEMPLATES[:5], "question", "letter", "digits"])
def test_questions_agree_with_lm_eval(template: str) -> None:
    theirs = ConfigurableTask.doc_to_text(lm_eval_task(doc_to_text=template), ROW)
    assert doc_text(spec(doc_to_text=template), ROW) == theirs


@pytest.mark.parametrize(
    "choices",
    [["A", "B"], "choices", "{{ choices }}", "['x', '{{ n }}', \"it's\"]", "{{ ['a', 'b'][:2] }}"],
)
def test_choices_agree_with_lm_eval(choices: Any) -> None:
    theirs = ConfigurableTask.doc_to_choice(lm_eval_task(doc_to_choice=choices), ROW)
    assert doc_choices(spec(doc_to_choice=choices), ROW) == tuple(theirs)


@pytest.mark.parametrize(
    "target", [0, 1, "gold", "{{ gold }}", "letter", "{{ letter }}", "{{ 1 if n == 3 else 0 }}"]
)
def test_targets_agree_with_lm_eval(target: Any) -> None:
    theirs = ConfigurableTask.doc_to_target(lm_eval_task(doc_to_target=target), ROW)
    index = ["A", "B"].index(theirs) if isinstance(theirs, str) else theirs
    assert doc_target(spec(doc_to_target=target), ROW) == index


@pytest.mark.parametrize("text", ["Answer:", "letter", "({{ letter }}"])
def test_description_agrees_with_lm_eval(text: str) -> None:
    theirs = ConfigurableTask.resolve_field(ROW, text)
    assert doc_description(spec(description=text), ROW) == theirs


@pytest.mark.parametrize(
    ("changes", "function", "says"),
    [
        ({"doc_to_text": "{{ qestion }}"}, doc_text, "qestion"),
        ({"doc_to_text": "{{ question.missing }}"}, doc_text, "missing"),
        ({"doc_to_text": "{{ n / 0 }}"}, doc_text, "ZeroDivisionError"),
        ({"doc_to_text": "Is it {{ null }}?"}, doc_text, "it would print None"),
        ({"doc_to_text": "Is it {{ lost }}?"}, doc_text, "it would print nan"),
        ({"doc_to_text": "n"}, doc_text, "holds 3, not text"),
        ({"doc_to_text": "{{ n }}"}, doc_text, "only '3'"),
        ({"doc_to_choice": "{{ question }}"}, doc_choices, "neither a column nor a Python list"),
        ({"doc_to_choice": "answer"}, doc_choices, "not a list"),
        ({"doc_to_choice": "{{ [1, 2] }}"}, doc_choices, "not all text"),
        ({"doc_to_choice": "{{ [] }}"}, doc_choices, "not a list of choices"),
        ({"doc_to_choice": "{{ ['a', 'a'] }}"}, doc_choices, "twice"),
        ({"doc_to_target": "n"}, doc_target, "is 3"),
        ({"doc_to_target": "{{ n }}"}, doc_target, "is 3"),
        ({"doc_to_target": "{{ -1 }}"}, doc_target, "'-1'"),
        ({"doc_to_target": "{{ gold }}\n"}, doc_target, r"'1\n'"),
        ({"doc_to_target": "0{{ gold }}"}, doc_target, "'01'"),
        ({"doc_to_target": "answer"}, doc_target, "'cup'"),
        ({"doc_to_target": "null"}, doc_target, "None"),
        ({"doc_to_target": -1}, doc_target, "-1"),
    ],
)
def test_what_lm_eval_passes_on_is_an_error_that_names_the_field(
    changes: dict[str, Any], function: Any, says: str
) -> None:
    with pytest.raises(VlmbenchError) as caught:
        function(spec(**changes), ROW)
    (problem,) = caught.value.problems
    assert problem.field == next(iter(changes))
    assert says in problem.message


@pytest.mark.parametrize(
    "template",
    [
        "{{ question.__class__.__mro__ }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ render.__globals__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{% include 'x' %}",
    ],
)
def test_templates_cannot_reach_python(template: str) -> None:
    with pytest.raises(VlmbenchError):
        render(template, ROW)


def test_names_in_untaken_branches_count() -> None:
    template = "{% if false %}{{ hidden }}{% endif %}{{ a.b }}{% for c in cs %}{{ c }}{% endfor %}"
    assert undeclared(template) == {"hidden", "a", "cs"}


def test_unknown_columns_name_field_and_nearest() -> None:
    task = spec(doc_to_text="<image>{% if x %}{{ qestion }}{% endif %}", doc_to_choice="choices")
    ((keys, message, remedy),) = unknown_columns(
        task, ["image", "question", "choices", "gold", "x"]
    )
    assert keys == ("doc_to_text",)
    assert "`qestion`" in message
    assert "Did you mean `question`?" in remedy
    assert unknown_columns(task, ["image", "qestion", "choices", "gold", "x"]) == []


def test_columns_named_outside_templates_are_looked_for_too() -> None:
    bench = {
        "ability": "x",
        "id_column": "uid",
        "encoder_images": ["clean"],
        "regions": {
            "reference": {"kind": "point", "column": "start"},
            "choices": {"kind": "box", "column": "boxes"},
        },
    }
    task = spec(
        doc_to_text="qestion",
        doc_to_choice="options",
        metadata={"vlmbench": bench},
    )
    found = {".".join(map(str, keys)) for keys, _, _ in unknown_columns(task, ["gold"])}
    inside = ("id_column", "encoder_images.0", "regions.reference.column", "regions.choices.column")
    assert found == {
        "doc_to_text", "doc_to_choice", "doc_to_image.0",
        *(f"metadata.vlmbench.{name}" for name in inside),
    }  # fmt: skip
    columns = ["qestion", "options", "gold", "image", "uid", "clean", "start", "boxes"]
    assert unknown_columns(task, columns) == []
