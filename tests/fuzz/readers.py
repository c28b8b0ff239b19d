"""What a reader of each format makes of a file: its structure, and the texts that stand in it."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import subprocess
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import yaml
from markdown_it import MarkdownIt

from vlmbench.report.site._page import STATIC
from vlmbench.types import plain

_PLACE = re.compile(r"\bend of \w+\.")
"""By which texts of strangers end, so that one of them can be told from another key."""
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SHOWN = {"title", "alt", "aria-label"}
"""Attributes of HTML that people read."""


@dataclass(frozen=True)
class Read:
    """What was read.

    Attributes:
        shape: The structure, without the texts.
        texts: The texts, in order.
        exact: They are for machines, which take them as they are; others are looked at.
    """

    shape: Any
    texts: tuple[str, ...]
    exact: bool = False

    def holds(self, text: str) -> bool:
        """Tell whether a text is there: as it is or, for people, spelt out, quoted, or cut."""
        if self.exact:  # inspect_ai spells half a character out
            forms = (text, text.replace("\ud800", r"\ud800"))
            return any(form in one for one in self.texts for form in forms)
        there = _tight(" ".join(self.texts))
        return any(
            _is_in(_tight(one), there) for one in (text, shlex.quote(text), repr(text)[1:-1])
        )

    @property
    def acts(self) -> str:
        """The first text for people that acts on them or hides; empty if there is none."""
        return next((one for one in self.texts if not self.exact and plain(one) != one), "")


def _tight(text: str) -> str:
    """Return what can be seen of a text, wherever its lines break."""
    return re.sub(r"\s|\\u2028", "", plain(text))


def _is_in(text: str, there: str) -> bool:
    cut = re.escape(text[:40]) + r".*?\[[\d,]+charactersleftout\].*?" + re.escape(text[-12:])
    return text in there or re.search(cut, there) is not None


class _Page(HTMLParser):
    """A page; text is code or not by what it can hold, and `code` is left out."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.shape: list[Any] = []
        self.texts: list[str] = [""]
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "code":
            return
        self.shape.append((tag, [(name, "" if name in _SHOWN else said) for name, said in attrs]))
        self.texts += [said for name, said in attrs if name in _SHOWN and said]
        self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag != "code":
            self.shape.append(tag)

    def handle_comment(self, data: str) -> None:
        self.shape.append(("comment", data))

    def handle_decl(self, decl: str) -> None:
        self.shape.append(("declaration", decl))

    def handle_pi(self, data: str) -> None:
        self.shape.append(("instruction", data))

    def unknown_decl(self, data: str) -> None:
        self.shape.append(("unknown", data))

    def handle_data(self, data: str) -> None:
        self.texts[-1] += data


def html(text: str) -> Read:
    page = _Page(text)
    return Read(page.shape, tuple(page.texts))


def markdown(text: str) -> Read:
    """Read a page as a browser is shown it, raw HTML included."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    return html(parser.render(text))


def svg(text: str) -> Read:
    """Read a plot: its letters are drawn, so it holds no text, and as many parts as letters."""
    parts = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(text).iter()}
    return Read(parts, ())


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    assert len(found) == len(pairs), "a key is there twice"
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def json_of(text: str) -> Read:
    """Read JSON as strictly as a reader may."""
    return data(json.loads(text, object_pairs_hook=_once, parse_constant=_refuse))


def json_lines(text: str, *, finite: bool = True) -> Read:
    """Read an object a line; inspect_ai writes NaN for what is unscored."""
    constants = _refuse if finite else str
    return data([json.loads(line, parse_constant=constants) for line in text.splitlines()])


def site_data(text: str) -> Read:
    """Read a file of a site's data: one call with a name and JSON, on one line."""
    found = re.fullmatch(r'vlmbenchData\(("[^"\\]*"),(.*)\);?\n?', text)
    assert found is not None, text[:200]
    return Read(json_of(found[2]).shape, json_of(found[2]).texts)


def yaml_of(text: str) -> Read:
    return data(yaml.safe_load(text))


def table(text: str) -> Read:
    """Read CSV; a spreadsheet takes what begins with one of four signs and no number, as one."""
    lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    for cell in (cell for line in lines for cell in line if cell[:1] in ("=", "+", "-", "@")):
        float(cell)
    return Read([len(line) for line in lines], tuple(cell for line in lines for cell in line), True)


def shell(command: str) -> Read:
    """Have a shell take a command apart, which is not run."""
    done = subprocess.run(
        ["sh", "-c", f"printf '%s\\0' {command}"], capture_output=True, check=True
    )
    words = done.stdout.decode().split("\0")[:-1]
    assert words == shlex.split(command, comments=True)
    return Read([word for word in words if not _PLACE.search(word)], tuple(words))


def terminal(text: str) -> Read:
    """Read what is shown on a terminal that is wider than any text."""
    return Read(len(text.split("\n")), (text,))


def data(value: Any) -> Read:
    """Read values of JSON or YAML."""
    texts: list[str] = []

    def shape(one: Any) -> Any:
        match one:
            case dict():
                return {shape_of_key(key): shape(item) for key, item in one.items()}
            case list():
                return [shape(item) for item in one]
            case str():
                texts.append(one)
        return type(one).__name__

    def shape_of_key(key: Any) -> Any:
        texts.append(str(key))
        return "a text" if _PLACE.search(str(key)) else key

    return Read(shape(value), tuple(texts), exact=True)


BY_ENDING = {
    ".html": html, ".md": markdown, ".svg": svg, ".json": json_of, ".jsonl": json_lines,
    ".js": site_data, ".yaml": yaml_of, ".csv": table,
}  # fmt: skip

CODE = {path.name for path in STATIC}
"""Files of a site that ship with vlmbench."""


def files(folder: Path) -> dict[str, Read]:
    """Read every file below a folder that holds text, by its name and the nature of it."""
    return {
        _UUID.sub("UUID", str(path.relative_to(folder))): BY_ENDING[path.suffix](
            path.read_text("utf-8")
        )
        for path in sorted(folder.rglob("*"))
        if path.suffix in BY_ENDING and path.name not in CODE
    }
