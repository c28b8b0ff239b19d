"""YAML as nodes that know their file, line and column; code tags and repeated keys refused."""

from __future__ import annotations

import os.path
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from vlmbench.files import contents
from vlmbench.spec._limits import (
    LOADER,
    LONGEST,
    MOST_VALUES,
    TooLarge,
    check_size,
    stream_of,
)
from vlmbench.types import Problem

Keys = tuple[str | int, ...]
"""Path into a document: mapping keys and list positions."""

MOST_PROBLEMS = 20
"""Problems of one file that are noted; so many tell as much as all of them."""
LARGEST = 10**15
"""Numbers lie between this and its negative; all of these are exact as a float too."""

_PREFIX = "tag:yaml.org,2002:"
_MERGE = f"{_PREFIX}merge"
_LONGEST_NUMBER = 100
_SCALARS = SafeConstructor()
_CONSTRUCTORS: dict[str, Any] = {
    f"{_PREFIX}str": _SCALARS.construct_yaml_str,
    f"{_PREFIX}int": _SCALARS.construct_yaml_int,
    f"{_PREFIX}float": _SCALARS.construct_yaml_float,
    f"{_PREFIX}bool": _SCALARS.construct_yaml_bool,
    f"{_PREFIX}null": _SCALARS.construct_yaml_null,
}
_NO_CODE = (
    "Prompts, choices and targets are Jinja over the data row (filters such as regex_replace "
    "work); prepare anything else in the data itself, as another column of a JSONL or "
    "Parquet file. With its code a task runs in lm-eval itself: `vlmbench lm-eval --tasks "
    "NAME --include-path FOLDER`."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A place in a file; line and column count from 1."""

    file: str
    line: int
    column: int


def shown(path: Path) -> str:
    """Return the path as a user would type it: relative where it lies below the cwd."""
    absolute = Path(os.path.normpath(path.absolute()))
    cwd = Path.cwd()
    return str(absolute.relative_to(cwd) if absolute.is_relative_to(cwd) else absolute)


def dotted(keys: Keys) -> str:
    """Return `("cells", 0, "readout")` as `cells.0.readout`."""
    return ".".join(str(key) for key in keys)


def mark_of(node: yaml.Node) -> Mark:
    """Return where a node starts."""
    mark = node.start_mark
    return Mark(file=shown(Path(mark.name)), line=mark.line + 1, column=mark.column + 1)


def problem_at(node: yaml.Node, message: str, keys: Keys, remedy: str = "") -> Problem:
    """Return a Problem placed at a node."""
    mark = mark_of(node)
    return Problem(
        file=mark.file,
        line=mark.line,
        column=mark.column,
        field=dotted(keys),
        message=message,
        remedy=remedy,
    )


def child(node: yaml.Node, key: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """Return the key and value nodes under `key` (an item of a list is its own key)."""
    if isinstance(node, yaml.MappingNode):
        pairs = [pair for pair in node.value if pair[0].value == key]
        return pairs[-1] if pairs else None
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key], node.value[key]
    return None


def construct(node: yaml.Node) -> Any:
    """Turn a checked node into plain Python values."""
    if isinstance(node, yaml.MappingNode):
        return {key.value: construct(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [construct(item) for item in node.value]
    return _CONSTRUCTORS[node.tag](node)


def compose(
    path: Path, problems: list[Problem], most: int = LONGEST
) -> tuple[yaml.MappingNode | None, int]:
    """Return the checked node tree of one file of at most so many bytes, and how many it has.

    The tree is None where the file cannot be read, and why is noted. Nothing noted holds text of
    a file that is no YAML: an `include` may name anybody's.
    """
    data = b""
    try:
        data = contents(path, most)
        check_size(data, path)
        node = yaml.compose(stream_of(data, path), Loader=LOADER)
        if isinstance(node, yaml.MappingNode):
            _check(node, problems)
            return node, len(data)
        problems.append(_no_mapping(path, node))
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        remedy = f"Give a file: with all that it includes a file has at most {LONGEST:,} bytes."
        remedy = "" if error.errno else remedy
        problems.append(Problem(file=shown(path), message=message, remedy=remedy))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problems.append(_syntax_problem(path, error, data))
    return None, len(data)


def _no_mapping(path: Path, node: yaml.Node | None) -> Problem:
    held = "a list" if isinstance(node, yaml.SequenceNode) else "text"
    what = "is empty" if node is None else f"contains {held}, not keys and values"
    remedy = "Start from `vlmbench init task NAME` or `vlmbench init model NAME`."
    return Problem(file=shown(path), line=1, column=1, message=what, remedy=remedy)


def _check(root: yaml.Node, problems: list[Problem]) -> None:
    """Collect code tags, unreadable scalars and repeated keys, and expand `<<`."""
    stack: list[tuple[yaml.Node, Keys, frozenset[int]]] = [(root, (), frozenset())]
    visited, most = 0, len(problems) + MOST_PROBLEMS
    while stack and len(problems) < most:
        node, keys, above = stack.pop()
        visited += 1
        if id(node) in above or visited > MOST_VALUES:
            # The tree below cannot be walked, so the file ends here.
            raise TooLarge("aliases that refer back to themselves or multiply without end", node)
        tag_problem = _tag_problem(node, keys)
        if tag_problem is not None:
            problems.append(tag_problem)
        inside = above | {id(node)}
        if isinstance(node, yaml.MappingNode):
            problems.extend(islice(_key_problems(node, keys), MOST_PROBLEMS))
            _expand(node)
            pairs = [(value, (*keys, _identity(key))) for key, value in node.value]
            stack.extend((value, inner, inside) for value, inner in reversed(pairs))
        elif isinstance(node, yaml.SequenceNode):
            items = list(enumerate(node.value))
            stack.extend((value, (*keys, i), inside) for i, value in reversed(items))


def _expand(node: yaml.MappingNode) -> None:
    """Put the pairs that a mapping merges by `<<` before its own, each key once."""
    merges = [value for key, value in node.value if key.tag == _MERGE]
    if not merges:
        return
    own = [pair for pair in node.value if pair[0].tag != _MERGE]
    node.value = own  # is all that is found by whoever merges this while it is being merged
    pairs: dict[str, tuple[yaml.Node, yaml.Node]] = {}
    for value in merges:
        sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
        for source in reversed(sources):  # the first of them has the last word
            if not isinstance(source, yaml.MappingNode):
                problem = "`<<` takes keys and values, or a list of them"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=source.start_mark)
            _expand(source)
            pairs.update((_identity(pair[0]), pair) for pair in source.value)
    pairs.update((_identity(pair[0]), pair) for pair in own)
    node.value = list(pairs.values())


def _identity(key: yaml.Node) -> str:
    """Return the text of a key; what is none was reported, and may hold aliases without end."""
    return str(key.value) if isinstance(key, yaml.ScalarNode) else f"a key {id(key)}"


def _key_problems(node: yaml.MappingNode, keys: Keys) -> Iterator[Problem]:
    """Yield keys that are not text, and keys given twice in one mapping."""
    first: dict[str, yaml.Node] = {}
    for key, _ in node.value:
        if key.tag == _MERGE:
            continue
        if not isinstance(key, yaml.ScalarNode) or key.tag != f"{_PREFIX}str":
            written = key.value if isinstance(key, yaml.ScalarNode) else f"a {key.id}"
            yield problem_at(key, f"the key {written} is not text", keys, "Put it in quotes.")
        elif key.value in first:
            line = first[key.value].start_mark.line + 1
            message = f"key `{key.value}` is given twice, first in line {line}"
            yield problem_at(key, message, (*keys, key.value), "Keep one of the two.")
        else:
            first[key.value] = key


def _tag_problem(node: yaml.Node, keys: Keys) -> Problem | None:
    """Return what is wrong with a node's type or value, if anything."""
    tag: str = node.tag
    if tag.startswith(("!", f"{_PREFIX}python/")):
        message = f"{tag.replace(_PREFIX, '!!')}: code and custom tags in YAML are never run"
        return problem_at(node, message, keys, _NO_CODE)
    kind = tag.removeprefix(_PREFIX)
    if not isinstance(node, yaml.ScalarNode):
        if kind == ("map" if isinstance(node, yaml.MappingNode) else "seq"):
            return None
        written = "this"
    elif tag in _CONSTRUCTORS:
        return _value_problem(node, keys)
    else:
        written = f"`{node.value}`"
    message = f"{written} would be read as a YAML {kind}, which specs do not use"
    return problem_at(node, message, keys, "Put the value in quotes.")


def _value_problem(node: yaml.ScalarNode, keys: Keys) -> Problem | None:
    """Return what is wrong with a text, number or truth value, if anything."""
    if node.tag == f"{_PREFIX}str":
        if "\0" not in node.value:
            return None
        return problem_at(node, "the text holds a NUL character", keys, "Leave it out.")
    kind, remedy = node.tag.removeprefix(_PREFIX), "Put the value in quotes."
    try:
        value = _CONSTRUCTORS[node.tag](node) if len(node.value) <= _LONGEST_NUMBER else None
    except (ValueError, KeyError, IndexError):  # an explicit tag: `!!int x`
        return problem_at(node, f"`{node.value}` is not a YAML {kind}", keys, remedy)
    if kind == "null" or isinstance(value, bool) or (value is not None and abs(value) <= LARGEST):
        return None
    message = f"`{node.value}` is not a number between -{LARGEST:,} and {LARGEST:,}"
    return problem_at(node, message, keys, "If it is text, put it in quotes.")


def _syntax_problem(path: Path, error: Exception, data: bytes) -> Problem:
    """Return a parser's complaint as a Problem with its place."""
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    context = getattr(error, "context", None)
    message = f"is not valid YAML: {what}" + (f" ({context})" if context else "")
    remedy = (
        "Text with `: ` or ` #`, or that starts with `{`, `[`, `%`, `@`, `*`, `&` or `!`, "
        "needs quotes or a block (`|`)."
    )
    if isinstance(error, TooLarge):
        message, remedy = f"is too large for a spec: {what}", ""
    lines = data.count(b"\n") + 1  # at the end of a file the parser points past the last line
    return Problem(
        file=shown(path),
        line=min(mark.line + 1, lines) if mark else None,
        column=mark.column + 1 if mark else None,
        message=message,
        remedy=remedy,
    )
