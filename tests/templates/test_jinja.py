"""Templates: nothing is executed at load, what is harmless runs here, and all else has limits."""

from __future__ import annotations

import time
from typing import Any

import pytest
from lm_eval.utils import apply_template

from vlmbench.registry import catalogue
from vlmbench.spec._template import templates
from vlmbench.templates import TemplateFaultError, _jinja, rendered, syntax_error, undeclared
from vlmbench.templates._jinja import _bound, fill_in
from vlmbench.templates._steps import MOST_STEPS

ROW: dict[str, Any] = {"text": "ab c", "words": ["a", "b"], "n": 3, "deep": {"a": [1, {"b": "c"}]}}
BOMBS = [
    "{{ 10 ** (10 ** 8) }}", "{{ 'a' * 10 ** 10 }}", "{{ [0] * 10 ** 9 }}",
    "{{ range(99999) | list }}",
    "{{ 1.5 | round(100000000, 'ceil') }}", "{% if 10 ** (10 ** 8) %}{% endif %}",
    "{% set x = 10 ** (10 ** 8) %}", "{{ '%1000000000d' % 1 }}",
    "{{ ('a|' * 99) | regex_replace('(a|a)*$') }}",
]  # fmt: skip


@pytest.mark.parametrize("template", BOMBS)
def test_nothing_is_executed_at_load(template: str) -> None:
    began = time.process_time()
    assert syntax_error(template) is None
    undeclared(template)
    assert time.process_time() - began < 0.5


def test_autoescape_which_the_compiler_computes_is_refused() -> None:
    found = syntax_error("{% autoescape 10 ** (10 ** 8) %}x{% endautoescape %}")
    assert found is not None
    assert "autoescape" in found[0]


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("x" * 100_001, "100,001 characters, and a template has at most 100,000"),
        ("{{ a }}" * 10_000, "more than 20,000 names"),
        ("{{ " + "not " * 100 + "a }}", "more than 60 blocks and expressions within each other"),
        ("{{ " + "(" * 5000 + ")" * 5000 + " }}", "within each other"),
        ("{{ " + "9" * 5000 + " }}", "ValueError"),
        ("{% for loop in a %}{% endfor %}", "loop"),
        ("{% block a %}{% endblock %}{% block a %}{% endblock %}", "defined twice"),
    ],
)
def test_what_is_too_large_or_does_not_compile_is_found_at_load(template: str, says: str) -> None:
    found = syntax_error(template)
    assert found is not None
    assert says in found[0]


@pytest.mark.parametrize(
    "template",
    [
        "{{ text }}", "{% for w in words %}{{ loop.index }}. {{ w | upper }}\n{% endfor %}",
        "{{ words | join(', ') }}", "{{ text.strip().split(' ')[0] }}", "{{ deep.a[1]['b'] }}",
        "{{ text | replace('(', '') }}", "{% for i in range(n) %}{{ 'ABC'[i] }}{% endfor %}",
        "{{ words[:n] }}", "{% if n == 3 and 'a' in words %}x{% else %}y{% endif %}",
    ],
)  # fmt: skip
def test_what_cannot_take_long_is_rendered_here(template: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(_jinja, "_FILL_IN", None)
    assert rendered(template, ROW) == apply_template(template, ROW)


@pytest.mark.parametrize(
    "template",
    [
        "{{ text ~ text }}", "{{ '%s' % n }}", "{{ text * n }}", "{{ n ** 2 }}",
        "{{ text | center(9) }}",
        "{{ text | replace('', 'xyz') }}", "{{ text | string | list | string }}",
        "{{ text.join(words) }}",
        "{{ '{}'.format(n) }}", "{% set x = text %}{{ x }}", "{{ text | regex_replace('a', 'b') }}",
        "{% macro f() %}x{% endmacro %}{{ f() }}", "{{ words | map('upper') | list }}",
        "{% set k = namespace(i=0) %}{% for w in words %}{% set k.i = k.i + 1 %}{% endfor %}"
        "{{ k.i }}",
        "{% for w in words recursive %}{{ w }}{% endfor %}", "{{ range('3' | int) | list }}",
    ],
)  # fmt: skip
def test_what_might_take_long_is_rendered_with_limits_to_the_same_text(template: str) -> None:
    assert _bound(template) is None
    assert rendered(template, ROW) == apply_template(template, ROW) == fill_in(template, ROW)


def test_large_rows_are_rendered_with_limits_too(monkeypatch: pytest.MonkeyPatch) -> None:
    template = "{% for a in words %}{% for b in words %}{{ b }}{% endfor %}{% endfor %}"
    limit = _bound(template)
    assert limit is not None
    assert limit.steps(ROW) < MOST_STEPS < limit.steps({"words": ["a"] * 300})
    with pytest.raises(TemplateFaultError, match="at most 1,000,000 are taken"):
        rendered(template, {"words": ["a"] * 1_100})


def test_a_number_counts_where_it_says_how_often() -> None:
    assert _bound("{{ n }}").steps({"n": 10**6}) < 1_000
    counted = _bound("{% for i in range(n) %}{{ i }}{% endfor %}")
    assert counted.steps({"n": 10**6}) > MOST_STEPS


def test_every_shipped_template_is_rendered_here() -> None:
    shipped = [
        template
        for _, task in catalogue().tasks.items()
        for template in templates(task.spec).values()
    ]
    assert len(shipped) > 200
    assert [template for template in shipped if _bound(template) is None] == []


def test_a_limit_is_reached_once_and_said_for_every_row() -> None:
    template = "{% for a in words %}{{ 7 ** (10 ** 9) }}{% endfor %}"
    for _ in range(5):
        began = time.monotonic()
        with pytest.raises(TemplateFaultError, match="more than 2 s"):
            rendered(template, ROW)
    assert time.monotonic() - began < 0.1


def test_patterns_are_pythons_own() -> None:
    """As lm-eval's: what `re` matches, and no other engine's idea of it."""
    for pattern in ("(a+)+$", "(?<=a)b", "[a[]", "(?i)AB", r"\d{2,}", "(?P<x>a)(?P=x)?"):
        template = "{{ text | regex_replace('" + pattern.replace("\\", "\\\\") + "', '<>') }}"
        assert rendered(template, ROW) == apply_template(template, ROW)
