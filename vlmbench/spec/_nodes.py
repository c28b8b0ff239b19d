"""YAML as nodes that know their file, line and column; code tags and repeated keys refused."""

from __future__ import annotations

import os.path
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from vlmbench.types import Problem

Keys = tuple[str | int, ...]
"""Path into a document: mapping keys and list positions."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PREFIX = "tag:yaml.org,2002:"
_MAX_NODES = 100_000
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


def compose(path: Path, problems: list[Problem]) -> yaml.MappingNode | None:
    """Return the checked node tree of one file, or None after noting why it cannot be read."""
    try:
        with path.open("rb") as stream:  # marks take their file name from the stream
            loader = _LOADER(stream)
            node = loader.get_single_node()
            if node is not None:
                _check(node, loader, problems)
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        problems.append(Problem(file=shown(path), message=message))
        return None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problems.append(_syntax_problem(path, error))
        return None
    if not isinstance(node, yaml.MappingNode):
        held = "a list" if isinstance(node, yaml.SequenceNode) else "text"
        what = "is empty" if node is None else f"contains {held}, not keys and values"
        remedy = "Start from `vlmbench init task NAME` or `vlmbench init model NAME`."
        problems.append(Problem(file=shown(path), line=1, column=1, message=what, remedy=remedy))
        return None
    return node


def _check(root: yaml.Node, loader: Any, problems: list[Problem]) -> None:
    """Collect code tags, unreadable scalars and repeated keys, and expand `<<`."""
    stack: list[tuple[yaml.Node, Keys, frozenset[int]]] = [(root, (), frozenset())]
    visited = 0
    while stack:
        node, keys, above = stack.pop()
        visited += 1
        if id(node) in above or visited > _MAX_NODES:
            # The tree below cannot be walked, so the file ends here.
            raise yaml.MarkedYAMLError(
                problem="aliases refer back to themselves or multiply without end",
                problem_mark=node.start_mark,
            )
        tag_problem = _tag_problem(node, keys)
        if tag_problem is not None:
            problems.append(tag_problem)
        inside = above | {id(node)}
        if isinstance(node, yaml.MappingNode):
            problems.extend(_key_problems(node, keys))
            loader.flatten_mapping(node)
            pairs = [(value, (*keys, str(key.value))) for key, value in node.value]
            stack.extend((value, inner, inside) for value, inner in reversed(pairs))
        elif isinstance(node, yaml.SequenceNode):
            items = list(enumerate(node.value))
            stack.extend((value, (*keys, i), inside) for i, value in reversed(items))


def _key_problems(node: yaml.MappingNode, keys: Keys) -> Iterator[Problem]:
    """Yield keys that are not text, and keys given twice in one mapping."""
    first: dict[str, yaml.Node] = {}
    for key, _ in node.value:
        if key.tag == f"{_PREFIX}merge":
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
    """Return what is wrong with a node's type, if anything."""
    tag: str = node.tag
    if tag.startswith(("!", f"{_PREFIX}python/")):
        message = f"{tag.replace(_PREFIX, '!!')}: code and custom tags in YAML are never run"
        return problem_at(node, message, keys, _NO_CODE)
    if not isinstance(node, yaml.ScalarNode):
        known = tag in (f"{_PREFIX}map", f"{_PREFIX}seq")
    else:
        known = tag in _CONSTRUCTORS and _constructs(node)
    if known:
        return None
    kind = tag.removeprefix(_PREFIX)
    written = f" `{node.value}`" if isinstance(node, yaml.ScalarNode) else ""
    message = f"{written.strip() or 'this'} would be read as a YAML {kind}, which specs do not use"
    return problem_at(node, message, keys, "Put the value in quotes.")


def _constructs(node: yaml.ScalarNode) -> bool:
    """Tell whether a scalar with an explicit tag (`!!int x`) holds such a value."""
    try:
        _CONSTRUCTORS[node.tag](node)
    except (ValueError, KeyError):
        return False
    return True


def _syntax_problem(path: Path, error: Exception) -> Problem:
    """Return a parser's complaint as a Problem with its place."""
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    context = getattr(error, "context", None)
    if mark is not None:  # at the end of a file the parser points past the last line
        lines = len(path.read_bytes().split(b"\n"))
    return Problem(
        file=shown(path),
        line=min(mark.line + 1, lines) if mark else None,
        column=mark.column + 1 if mark else None,
        message=f"is not valid YAML: {what}" + (f" ({context})" if context else ""),
        remedy="Text with `: ` or ` #`, or that starts with `{`, `[`, `%`, `@`, `*`, `&` or `!`, "
        "needs quotes or a block (`|`).",
    )
