"""Jinja of strangers, with limits. Imports little, so that a helper process starts at once."""

from vlmbench.templates._jinja import (
    LONGEST_TEMPLATE,
    TemplateFaultError,
    rendered,
    syntax_error,
    undeclared,
)
from vlmbench.templates._limited import CallError, Limited

__all__ = [
    "LONGEST_TEMPLATE",
    "CallError",
    "Limited",
    "TemplateFaultError",
    "rendered",
    "syntax_error",
    "undeclared",
]
