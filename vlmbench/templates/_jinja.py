"""Jinja with limits: nothing of a template is executed when it is loaded.

Filters and white space follow `env` and `apply_template` in lm_eval/utils.py (0.4.13), so that
prompts agree byte for byte. Deviations: the environment is sandboxed, and a null is not printed as
"None". A template that might take long, by its syntax and the size of the row, is rendered in a
helper process (`vlmbench.templates._limited`), which is stopped at limits of time and memory.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache
from itertools import islice
from typing import Any

from jinja2 import (
    StrictUndefined,
    Template,
    TemplateError,
    TemplateRuntimeError,
    TemplateSyntaxError,
    nodes,
    pass_context,
)
from jinja2.meta import TrackingCodeGenerator
from jinja2.sandbox import SandboxedEnvironment

from vlmbench.templates._limited import CallError, Limited
from vlmbench.templates._steps import MOST_STEPS, Bound, bound

Row = Mapping[str, Any]

LONGEST_TEMPLATE = 100_000
"""Characters of a template."""
MOST_TOKENS = 20_000
"""Names, operators, constants and texts of a template."""
DEEPEST_TEMPLATE = 60
"""Blocks and expressions within each other."""
LONGEST_TEXT = 1_000_000
"""Characters that a template may render."""


def regex_replace(string: str, pattern: str, repl: str, count: int = 0) -> str:
    """Return `string` with matches of `pattern` replaced, as lm-eval's filter does."""
    return re.sub(pattern, repl, string, count=count)


@pass_context  # so that constants are not printed, and that is executed, when it is compiled
def _printed(_: object, value: Any) -> Any:
    """Return what a template prints."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        raise TemplateRuntimeError(
            f"it would print {value} where the data holds no value; `{{{{ x or '' }}}}` prints "
            "nothing there"
        )
    return value


_ENV = SandboxedEnvironment(
    undefined=StrictUndefined,
    keep_trailing_newline=True,
    autoescape=False,
    finalize=_printed,
    optimized=False,
)
_ENV.filters["regex_replace"] = regex_replace
_DEPTH = f"more than {DEEPEST_TEMPLATE} blocks and expressions within each other"
_LOADS_FILES = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)


class TemplateFaultError(Exception):
    """A template cannot be rendered; the text says why."""


def rendered(template: str, row: Row) -> str:
    """Return the template filled in from a row.

    Raises:
        TemplateFaultError: A name is not in the row, the template fails on its values, or it
            reaches a limit: `LONGEST_TEXT`, or the time or memory of a helper process.
    """
    if template in _AT_LIMIT:
        raise TemplateFaultError(_AT_LIMIT[template])
    try:
        used = {name: row[name] for name in undeclared(template) if name in row}
        limit = _bound(template)
        if limit is not None and limit.steps(used) <= MOST_STEPS:
            return fill_in(template, used)
        text: str = _FILL_IN(template, used)
    except CallError as error:
        if error.at_limit:
            _AT_LIMIT[template] = error.message
        raise TemplateFaultError(error.message) from error
    except TemplateSyntaxError as error:
        raise TemplateFaultError(error.message) from error
    except RecursionError as error:
        raise TemplateFaultError("the row holds values within each other without end") from error
    return text


# One that has reached a limit is not tried on other rows: each would take as long.
_AT_LIMIT: dict[str, str] = {}


def fill_in(template: str, row: Row) -> str:
    """Return what a template renders, without limits of time and memory.

    Raises:
        TemplateFaultError: It fails, or renders more than `LONGEST_TEXT`.
    """
    try:
        text = _compiled(template).render(row)
    except TemplateError as error:
        raise TemplateFaultError(error.message) from error
    except MemoryError:
        raise
    except Exception as error:  # an expression may raise anything on some row
        raise TemplateFaultError(f"{type(error).__name__}: {error}") from error
    if len(text) > LONGEST_TEXT:
        message = f"it renders {len(text):,} characters, and at most {LONGEST_TEXT:,} are taken"
        raise TemplateFaultError(message)
    return text


_FILL_IN = Limited(f"{__name__}:fill_in")


@lru_cache(maxsize=512)
def _compiled(template: str) -> Template:
    return _ENV.from_string(template)


@lru_cache(maxsize=512)
def _bound(template: str) -> Bound | None:
    return bound(_parsed(template))


@lru_cache(maxsize=512)
def undeclared(template: str) -> frozenset[str]:
    """Return the names a template takes from the row, in untaken branches too."""
    names = _Names()
    names.visit(_parsed(template))
    return frozenset(names.undeclared_identifiers)


class _Names(TrackingCodeGenerator):
    """Finds names as jinja2's own `find_undeclared_variables`, which also computes constants."""

    def __init__(self) -> None:
        super().__init__(_ENV)
        self.optimizer = None


@lru_cache(maxsize=512)
def syntax_error(template: str) -> tuple[str, int] | None:
    """Return what is wrong with a template and in which of its lines, or None."""
    try:
        tree = _parsed(template)
        found = next(_unknown(tree), None)
        if found is None and _bound(template) is None:
            undeclared(template)  # finds what the parser does not, in blocks and assignments
    except TemplateSyntaxError as error:
        return str(error.message), error.lineno
    return found


def _unknown(tree: nodes.Template) -> Iterator[tuple[str, int]]:
    """Yield filters, tests and blocks that there are not, with their lines."""
    for node in tree.find_all(nodes.Filter):
        if node.name not in _ENV.filters:
            guess = get_close_matches(node.name, _ENV.filters, n=1)
            hint = f"; did you mean `{guess[0]}`?" if guess else ""
            yield f"there is no filter `{node.name}`{hint}", node.lineno
    for test in tree.find_all(nodes.Test):
        if test.name not in _ENV.tests:
            yield f"there is no test `{test.name}`", test.lineno
    for loading in tree.find_all(_LOADS_FILES):
        yield "templates cannot load other templates", loading.lineno


@lru_cache(maxsize=512)
def _parsed(template: str) -> nodes.Template:
    """Return the tree of a template.

    Raises:
        TemplateSyntaxError: It is not valid, too long, or too deep.
    """
    if len(template) > LONGEST_TEMPLATE:
        message = f"it has {len(template):,} characters, and a template has at most "
        raise TemplateSyntaxError(f"{message}{LONGEST_TEMPLATE:,}", 1)
    try:
        if len(template) > MOST_TOKENS and any(islice(_ENV.lex(template), MOST_TOKENS, None)):
            raise _beyond(f"more than {MOST_TOKENS:,} names, operators and texts", 1)
        tree = _ENV.parse(template)
    except TemplateSyntaxError:
        raise
    except RecursionError:
        raise _beyond(_DEPTH, 1) from None
    except Exception as error:  # such as a number of too many digits
        raise TemplateSyntaxError(f"{type(error).__name__}: {error}", 1) from error
    inner: list[tuple[nodes.Node, int]] = [(tree, 0)]
    while inner:
        node, depth = inner.pop()
        if depth > DEEPEST_TEMPLATE:
            raise _beyond(_DEPTH, node.lineno)
        if isinstance(node, nodes.EvalContextModifier):  # the compiler computes its value
            raise TemplateSyntaxError("`autoescape` has no place in a prompt", node.lineno)
        inner += [(child, depth + 1) for child in node.iter_child_nodes()]
    return tree


def _beyond(limit: str, line: int) -> TemplateSyntaxError:
    return TemplateSyntaxError(f"the template has {limit}", line)
