"""YAML files with lm-eval's `include`, in which every value still knows its place.

Merging follows lm_eval/tasks/_yaml_loader.py of lm-eval 0.4.13: paths start at the including
file's folder, a list is merged in order, later files and then local keys replace whole
top-level keys, and no file is taken twice. Deviation: `metadata` is merged key by key, so that
a blind variant need not repeat what it shares.
"""

from __future__ import annotations

import os.path
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from vlmbench.spec._limits import LONGEST, MOST_FILES, stream_of
from vlmbench.spec._nodes import Keys, Mark, child, compose, construct, mark_of, problem_at, shown
from vlmbench.types import Problem, VlmbenchError

_MERGED_DEEP = "metadata"
_Pairs = dict[str, tuple[yaml.Node, yaml.Node]]


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlDocument:
    """One YAML file with its includes merged in.

    Attributes:
        path: The file that was asked for.
        data: Plain mapping after merging, without `include`.
        included: Every file that was merged in, in reading order.
        root: The merged nodes, each of which knows its own file.
    """

    path: Path
    data: dict[str, Any]
    included: tuple[Path, ...]
    root: yaml.MappingNode = field(repr=False)

    def mark(self, keys: Keys = (), *, of: Literal["key", "value"] = "value") -> Mark:
        """Return where the value or the key at `keys` is.

        For what does not exist the nearest enclosing key answers.
        """
        found: tuple[yaml.Node, yaml.Node] = (self.root, self.root)
        for position, key in enumerate(keys):
            below = child(found[1], key)
            if below is None:
                return (
                    mark_of(found[0]) if position else Mark(file=shown(self.path), line=1, column=1)
                )
            found = below
        return mark_of(found[0] if of == "key" else found[1])

    def style(self, keys: Keys) -> str | None:
        """Return how the text at `keys` is written: `|`, `>`, `"`, `'`, or None for plain."""
        node: yaml.Node = self.root
        for key in keys:
            below = child(node, key)
            if below is None:
                return None
            node = below[1]
        return node.style if isinstance(node, yaml.ScalarNode) else None


def read_yaml(path: str | Path) -> YamlDocument:
    """Parse a file and everything it includes.

    Raises:
        VlmbenchError: Every syntax error, repeated key, code tag and broken include found.
    """
    path = Path(path)
    with suppress(RuntimeError):  # the home of nobody
        path = path.expanduser()
    reading = _Reading()
    root = _load(path, reading)
    if reading.problems or root is None:
        raise VlmbenchError(reading.problems)
    included = tuple(reading.included)
    return YamlDocument(path=path, data=construct(root), included=included, root=root)


def read_data(data: Mapping[str, Any], path: Path) -> YamlDocument:
    """Return plain keys and values as a document, whatever text is among them.

    Marks name `path`, and lines of what is never written there.
    """
    text = yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True)
    root = yaml.compose(stream_of(text.encode(), path), Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    return YamlDocument(path=path, data=construct(root), included=(), root=root)


@dataclass(slots=True)
class _Reading:
    """What has been read of a file and its includes, and what may still be.

    Attributes:
        problems: What is wrong.
        included: The files that were merged in.
        seen: All files, by their resolved paths.
        left: Bytes that may still be read.
    """

    problems: list[Problem] = field(default_factory=list)
    included: list[Path] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    left: int = LONGEST


def _load(path: Path, reading: _Reading) -> yaml.MappingNode | None:
    """Compose `path` over what it includes; None if it cannot be read."""
    root, size = compose(path, reading.problems, reading.left)
    reading.left -= size
    if root is None:
        return None
    reading.seen.add(os.path.realpath(path))
    local = _pairs(root)
    merged: _Pairs = {}
    for node in _includes(local.pop("include", None), reading.problems):
        target = path.parent / node.value
        problem = _unusable(node, target, path, reading)
        if problem is not None:
            reading.problems.append(problem)
            continue
        reading.included.append(target)
        base = _load(target, reading)
        if base is not None:
            _merge(merged, _pairs(base))
    _merge(merged, local)
    return yaml.MappingNode(root.tag, list(merged.values()), root.start_mark, root.end_mark)


def _unusable(node: yaml.Node, target: Path, path: Path, reading: _Reading) -> Problem | None:
    """Return why a file cannot be included, if it cannot."""
    if os.path.realpath(target) in reading.seen:
        return _taken_twice(node, target, path)
    if not os.path.exists(target):  # noqa: PTH110 -- Path.exists raises where a name is too long
        remedy = "Paths in `include` start at the folder of the file they are in."
        return problem_at(node, f"there is no file {shown(target)}", ("include",), remedy)
    if len(reading.included) >= MOST_FILES:
        message = f"more than {MOST_FILES} files are included"
        return problem_at(node, message, ("include",), "Write them into fewer files.")
    return None


def _includes(
    pair: tuple[yaml.Node, yaml.Node] | None, problems: list[Problem]
) -> list[yaml.ScalarNode]:
    """Return the scalars of an `include`: one path, or a list of them."""
    if pair is None:
        return []
    nodes = pair[1].value if isinstance(pair[1], yaml.SequenceNode) else [pair[1]]
    paths = []
    for node in nodes:
        if isinstance(node, yaml.ScalarNode) and node.tag.endswith(":str"):
            paths += [] if "\0" in node.value else [node]  # NUL was reported with its value
        else:
            problems.append(problem_at(node, "must be a path or a list of paths", ("include",)))
    return paths


def _taken_twice(node: yaml.Node, target: Path, path: Path) -> Problem:
    itself = os.path.realpath(target) == os.path.realpath(path)
    what = "itself" if itself else shown(target)
    message = f"includes {what}, which is already part of this chain of includes"
    remedy = "Include every file once; lm-eval refuses a second time too."
    return problem_at(node, message, ("include",), remedy)


def _pairs(node: yaml.MappingNode) -> _Pairs:
    """Return the pairs by key; one whose key is not a scalar was reported when it was composed."""
    return {
        key.value: (key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode)
    }


def _merge(into: _Pairs, new: _Pairs) -> None:
    """Replace the top-level keys of `into` by those of `new`; merge `metadata` deep."""
    for name, (key, value) in new.items():
        deep = name == _MERGED_DEEP and name in into
        into[name] = (key, _merge_deep(into[name][1], value) if deep else value)


def _merge_deep(old: yaml.Node, new: yaml.Node) -> yaml.Node:
    """Return `new` laid over `old` where both are mappings, else `new`."""
    if not (isinstance(old, yaml.MappingNode) and isinstance(new, yaml.MappingNode)):
        return new
    pairs = _pairs(old)
    for name, (key, value) in _pairs(new).items():
        pairs[name] = (key, _merge_deep(pairs[name][1], value) if name in pairs else value)
    return yaml.MappingNode(new.tag, list(pairs.values()), new.start_mark, new.end_mark)
