"""How pages are made: templates that escape whatever they are given, and tables from markdown."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from vlmbench.metrics import MISSING
from vlmbench.report._format import line_of

_HERE = Path(__file__).parent
STATIC = tuple(sorted((_HERE / "static").iterdir()))
"""Files that every site has."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)
"""Nothing is loaded but the site's own files, and no script or style that stands in a page runs."""

# Text cannot hold these: its quotes and angles are escaped. A style that stands in a page is not
# applied (see `POLICY`).
_CELLS = (
    (' style="text-align:right"', ' class="number"'),
    (' style="text-align:left"', ""),
    ("<th", '<th scope="col"'),
    ('<th scope="col"ead', "<thead"),
)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    jinja = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.filters |= {
        "line": lambda value: MISSING if value is None else line_of(str(value)),
        "markdown": markdown,
    }
    jinja.globals |= {"policy": POLICY}
    return jinja


def page(template: str, **context: Any) -> str:
    """Return a page; all text in it is escaped, and what is missing is an error."""
    return _environment().get_template(f"{template}.html.jinja").render(**context)


def markdown(text: str) -> Markup:
    """Return a report's markdown as HTML; HTML within it is text, and tables have scopes."""
    html = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    for given, shown in _CELLS:
        html = html.replace(given, shown)
    return Markup(html)  # noqa: S704  (escaped by the parser)
