# ruff: noqa: E501
"""Jinja by hand that once hung, took all memory or ended in a traceback, and its relatives."""

from __future__ import annotations

from typing import Any

ROW: dict[str, Any] = {
    "question": "Which one is it?",
    "choices": ["cup", "hat", "dog", "cat"],
    "gold": 1,
    "n": 3,
    "x": 0.5,
    "null": None,
    "nested": {"a": [1, 2, {"b": "c"}]},
    "a_s": "a" * 30,
    "long": "ab " * 10_000,
    "many": list(range(3_000)),
}

EXPRESSIONS = [
    # numbers
    "10 ** (10 ** 8)", "9 ** (9 ** 9)", "2 ** 100000000", "(7 ** 1000000) | string", "10 ** (n ** 20)",
    "1 % 0", "1 // 0", "1 / 0", "0 ** -1", "(-1) ** 0.5", "1e308 * 10", "-(10 ** 400 * 1.0)",
    "9" * 5_000, "1" + "_1" * 3_000, "0x" + "f" * 100_000, "1e999999", "x ** 100000",
    "round(x)", "x | round(10 ** 7)", "1.5 | round(100000000, 'ceil')", "'1e400' | float | int",
    "n.to_bytes(10 ** 10, 'big')", "n.from_bytes", "(2 ** 64) | filesizeformat", "n | abs | int",
    # text
    "'a' * 10 ** 10", "10 ** 10 * 'a'", "[0] * 10 ** 10", "choices * 10 ** 9", "('a',) * 10 ** 9",
    "question * 100000000", "'a' * n * 100000 * 100000", "'%1000000000d' % n", "'%*d' % (10**9, 1)",
    "'%.1000000000f' % x", "'%1000000000d' | format(n)", "'{:1000000000}'.format(n)",
    "'{:{w}}'.format(n, w=10**10)", "'{0.__class__}'.format(n)", "'{a[0].__class__}'.format(a=[n])",
    "'{:>1000000000}'.format_map({})", "'a'.center(10 ** 10)", "'a'.ljust(10 ** 10)",
    "'a'.zfill(10 ** 10)", "'\\t'.expandtabs(10 ** 10)", "question.replace('', 'b' * 10 ** 8)",
    "('a' * 10000).replace('a', 'b' * 100000)", "('a' * 10000).join(many | map('string'))",
    "question | replace('', long) | replace('', long) | replace('', long)",
    "long | replace('a', long) | length", "question | center(10 ** 10)", "long | indent(10 ** 8)",
    "long | wordwrap(1, wrapstring='x' * 10 ** 7)", "long | truncate(10 ** 10)",
    "long | batch(10 ** 9, 'x') | list", "many | slice(10 ** 9) | list", "long | urlize(10 ** 9)",
    "many | tojson(indent=10 ** 7)", "nested | tojson(10 ** 9)", "nested | xmlattr", "long | list",
    "long | join(long)", "many | join(long)", "long | list | join(long)", "long | wordcount",
    "question | e | e | e | e | e | e | e | e | e | e | e | e | e | e | e", "long | pprint",
    "(question | string | list)" + " | string | list" * 14, "nested | string" + " | tojson" * 40,
    "[" * 40 + "nested" + "]" * 40, "[[[[question ~ ''] ~ ''] ~ ''] ~ '']" + " ~ ''" * 40,
    "[[[[[[[[[[[[[[[[question] ~ ''] ~ ''] ~ ''] ~ ''] ~ ''] ~ ''] ~ ''] ~ ''] ~ ''] ~ ''] ~ ''] ~ ''] ~ ''] ~ ''] ~ '']",
    "many | map('string') | map('center', 10 ** 7) | list", "many | sort | unique | sum | string",
    "many | groupby('real') | list | length", "lipsum(n=10 ** 6)", "lipsum(1, True, 10 ** 8, 10 ** 9)",
    "question.translate({})", "question.encode('utf-16')", "question.splitlines() * 10 ** 8",
    "many | sum(start=question)", "many | random", "namespace(a=1).a", "cycler(*many).next()",
    # ranges
    "range(10 ** 9) | list", "range(99999) | list | length", "range(10 ** 30)", "range(-1)",
    "range(99999) | map('string') | join | length", "range(1, 2, 0)", "range('a')",
    "range(100000) | sum ** 10 ** 8", "(range(99999) | list) * 99999", "'9' * 9 | int | string",
    # patterns
    "a_s | regex_replace('(a+)+$', 'x')", "(a_s ~ 'b') | regex_replace('(a+)+$', 'x')",
    "(a_s ~ 'b') | regex_replace('(a|a)*$', 'x')", "(a_s ~ 'b') | regex_replace('(a|aa)+$', '')",
    "long | regex_replace('(.*)(.*)(.*)(.*)(.*)z', '')", "long | regex_replace('', long)",
    "question | regex_replace('(', '')", "question | regex_replace('(?P<', '')",
    "question | regex_replace('a', '\\\\9')", "question | regex_replace('\\\\w{1000000000}', '')",
    "question | regex_replace('(?:a{0,1000}){0,1000}', '')", "question | regex_replace(none, n)",
    "question | regex_replace('(' * 200, '')", "question | regex_replace('a', 'b', 'c')",
    # Python
    "question.__class__.__mro__", "''.__class__.__base__.__subclasses__()", "render.__globals__",
    "cycler.__init__.__globals__", "self.__init__", "question['__class__']", "_TemplateReference",
    "question | attr('__class__')", "namespace.__init__", "joiner.__call__", "self._TemplateReference__context",
    "lipsum.__globals__['os'].popen('id').read()", "x.is_integer.__self__", "(1).__class__",
    "choices | map(attribute='__class__') | list", "nested | dictsort | map('attr', '__class__') | list",
    # nothing there
    "nothing", "nothing.at.all", "question.nothing", "null", "choices[99]", "nested.a.b.c", "nested['x']",
    "question | nofilter", "question is notest", "question | join(5)", "question | map('nofilter') | list",
    "question | round", "choices | first | last | first", "null | length", "n()", "question(1)", "range",
    "choices.index('x')", "choices.pop()", "choices.append(choices)", "nested.update(nested)",
    # syntax
    "", "(", ")", "1 +", "'", "[1, 2", "{'a': }", "a b", "if", "question |", "question.", "..", "@", "$",
    "'\\ud800'", "'\\x00'", "'\\U00110000'", "'\\N{nothing}'", "question if", "not", "1 if 2 else", "**choices",
    "(" * 300 + ")" * 300, "(" * 20_000, "[" * 300 + "]" * 300, "not " * 2_000 + "n", "-" * 2_000 + "1",
    "n" + " + n" * 5_000, "n" + " ~ n" * 20_000, "n" + " ** n" * 500, "question" + ".a" * 5_000,
    "question" + " | trim" * 3_000, "1 if n else " * 2_000 + "2", "n and " * 10_000 + "n",
    "n" + " < n" * 10_000, "{'a': " * 300 + "1" + "}" * 300, "f(" * 300 + ")" * 300, "a" * 200_000,
]  # fmt: skip

BLOCKS = [
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
    "{% for a in many %}{% for b in many %}{% for c in many %}{{ c }}{% endfor %}{% endfor %}{% endfor %}",
    "{% for a in many %}{{ many }}{% endfor %}",
    "{% for a in long %}{{ long }}{% endfor %}",
    "{% for a in long %}{% if a in long %}{% endif %}{% endfor %}",
    "{% for a in many %}{% for b in many if b in many and many == many %}{% endfor %}{% endfor %}",
    "{% set k = namespace(s='a') %}{% for i in range(60) %}{% set k.s = k.s ~ k.s %}{% endfor %}",
    "{% set k = namespace(s='a') %}{% for i in range(60) %}{% set k.s = k.s + k.s %}{% endfor %}",
    "{% set k = namespace(s=[1]) %}{% for i in range(60) %}{% set k.s = [k.s, k.s] %}{% endfor %}{{ k.s }}",
    "{% set k = namespace(s=[1]) %}{% for i in range(60) %}{% set k.s = [k.s, k.s] %}{% endfor %}{{ k.s == k.s | list }}",
    "{% set k = namespace(s=2) %}{% for i in range(60) %}{% set k.s = k.s * k.s %}{% endfor %}{{ k.s }}",
    "{% set k = namespace(s={}) %}{% for i in range(99) %}{% set k.s = {'a': k.s, 'b': k.s} %}{% endfor %}{{ k.s | tojson }}",
    "{% set a = 'x' * 1000 %}" + "".join("{% set a = a ~ a %}" for _ in range(40)) + "{{ a }}",
    "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "{% macro f() %}{{ caller() }}{{ caller() }}{% endmacro %}{% call f() %}{% call f() %}x{% endcall %}{% endcall %}",
    "{% for a in [1, 2] recursive %}{{ loop([1, 2]) }}{% endfor %}",
    "{% for a in choices recursive %}{{ loop(choices) }}{% endfor %}",
    "{% for a in nested.a %}{{ loop.cycle(*many) }}{% endfor %}",
    "{% set _ = choices.append(choices) %}{{ choices }}",
    "{% for c in choices %}{% set _ = choices.append(c) %}{% endfor %}",
    "{% for c in choices %}{% set _ = choices.extend(choices) %}{% endfor %}{{ choices }}",
    "{% set _ = nested.update({'self': nested}) %}{{ nested | tojson }}",
    "{% autoescape 10 ** (10 ** 8) %}x{% endautoescape %}",
    "{% autoescape true %}{{ long }}{% endautoescape %}",
    "{% filter center(10 ** 10) %}x{% endfilter %}",
    "{% filter upper %}{{ question }}{% endfilter %}",
    "{% with a = 'x' * 10 ** 10 %}{{ a }}{% endwith %}",
    "{% if 10 ** (10 ** 8) %}x{% endif %}",
    "{% if false %}{{ 10 ** (10 ** 8) }}{% endif %}fine",
    "{% include 'a' %}", "{% import 'a' as b %}", "{% from 'a' import b %}", "{% extends 'a' %}",
    "{% include question %}", "{% block a %}{{ self.a() }}{% endblock %}", "{% block a %}x{% endblock %}",
    "{% raw %}" + "{{" * 20_000 + "{% endraw %}", "{#" * 30_000, "{{" * 30_000, "{%" * 30_000,
    "}}" * 30_000, "{% raw %}" * 5_000, "{# " + "#" * 90_000, "{{ '" + "a" * 90_000,
    "{% if n %}" * 200 + "x" + "{% endif %}" * 200, "{% for a in choices %}" * 30 + "{% endfor %}" * 30,
    "{% if n %}" * 59 + "x" + "{% endif %}" * 59, "{% for a in many %}" * 15 + "{% endfor %}" * 15,
    "{% if n %}a" + "{% elif n %}b" * 3_000 + "{% endif %}", "{% with %}" * 100 + "{% endwith %}" * 100,
    "{% set a = 1 %}" * 5_000, "{{ long }}" * 5_000, "{{ many }}" * 8_000, "{{ question }}\n" * 5_000,
    "{% set a, b = n %}", "{% set a.b = 1 %}", "{% set loop = 1 %}{{ loop }}", "{% for loop in n %}{% endfor %}",
    "{% break %}", "{% continue %}", "{% do x %}", "{% trans %}a{% endtrans %}", "{% debug %}", "{% nothing %}",
    "{% endfor %}", "{% for %}", "{% for a in %}", "{% if %}", "{% else %}", "{% macro %}", "{% call %}", "{% set %}",
    "\x00{{ n }}", "\ud800{{ n }}", "\u202e{{ n }}", "{{ n }}" + "\n" * 90_000, "{{\n" * 500 + "n" + "}}" * 500,
]  # fmt: skip

TEMPLATES = [f"{{{{ {expression} }}}}" for expression in EXPRESSIONS] + BLOCKS
"""Templates over `ROW`."""
