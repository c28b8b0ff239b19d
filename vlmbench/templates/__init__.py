"""Jinja of strangers, with limits. Imports little, so that a helper process starts at once."""

from vlmbench.templates._jinja import (
    DEEPEST_TEMPLATE,
    LONGEST_TEMPLATE,
    LONGEST_TEXT,
    MOST_TOKENS,
    TemplateFaultError,
    rendered,
    syntax_error,
    undeclared,
)
from vlmbench.templates._limited import LONGEST_RESULT, MEMORY, SECONDS, CallError, Limited

__all__ = [
    "DEEPEST_TEMPLATE",
    "LONGEST_RESULT",
    "LONGEST_TEMPLATE",
    "LONGEST_TEXT",
    "MEMORY",
    "MOST_TOKENS",
    "SECONDS",
    "CallError",
    "Limited",
    "TemplateFaultError",
    "rendered",
    "syntax_error",
    "undeclared",
]
