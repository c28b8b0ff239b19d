"""Which templates cannot take long, as far as their syntax tells: the others are given limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import nodes

MOST_STEPS = 100_000_000
"""Characters that a template may touch at the very most, to be rendered without limits."""

_EACH = 10
# None of these makes more of what it is given, however they are put together.
_PARTS = (
    nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem,
    nodes.Slice, nodes.List, nodes.Tuple, nodes.Compare, nodes.Operand, nodes.And, nodes.Or,
    nodes.Not, nodes.CondExpr, nodes.Test, nodes.Add, nodes.Sub, nodes.Neg, nodes.If,
)  # fmt: skip
_FILTERS = {
    "trim", "lower", "upper", "capitalize", "title", "length", "count", "first", "last", "int",
    "float", "abs", "default", "d",
}  # fmt: skip
# These do, once, so what they are given must be a part of the row.
_WIDENING = {"join", "string", "list"}
_METHODS = {
    "strip", "lstrip", "rstrip", "lower", "upper", "capitalize", "title", "split", "rsplit",
    "startswith", "endswith", "index", "find", "count",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bound:
    """How the work of a template grows with the row.

    Attributes:
        text: Characters that stand in the template.
        operations: How often something is done with a part of the row.
        constants: Weight of the constants.
        loops: Loops within each other.
        ranges: Whether a number decides how often something is done.
    """

    text: int
    operations: int
    constants: int
    loops: int
    ranges: bool

    def steps(self, values: Mapping[str, Any]) -> int:
        """Return how many characters are touched at the very most."""
        size = self.constants + sum(_weight(value, self.ranges) for value in values.values())
        return int((self.text + self.operations * size) * size**self.loops)


def bound(tree: nodes.Template) -> Bound | None:
    """Return how the work of a template grows; None if it may do so without limit."""
    parts = list(tree.find_all(nodes.Node))
    ranges = any(map(_is_range, parts))
    if not all(_is_straight(part, ranges) for part in parts):
        return None
    constants = [part.value for part in parts if isinstance(part, nodes.Const)]
    return Bound(
        text=sum(len(part.data) for part in parts if isinstance(part, nodes.TemplateData)),
        operations=len(parts),
        constants=sum(_weight(value, ranges) for value in constants),
        loops=_loops(tree),
        ranges=ranges,
    )


def _is_straight(node: nodes.Node, ranges: bool) -> bool:
    """Tell whether a part of a template makes no more of what it is given."""
    match node:
        case nodes.For():
            return not node.recursive
        case nodes.Name(name="loop", ctx="store"):
            return False
        case nodes.Filter():
            return _is_straight_filter(node, ranges)
        case nodes.Call():
            known = isinstance(node.node, nodes.Getattr) and node.node.attr in _METHODS
            return (known or _is_range(node)) and not _spreads(node)
        case _:
            return isinstance(node, _PARTS)


def _is_straight_filter(node: nodes.Filter, ranges: bool) -> bool:
    if node.node is None or _spreads(node):
        return False
    fixed = [argument.value for argument in node.args if isinstance(argument, nodes.Const)]
    if len(fixed) < len(node.args):
        return False
    if node.name == "replace":
        texts = len(fixed) == 2 and all(isinstance(text, str) for text in fixed)
        return texts and 0 < len(fixed[0]) >= len(fixed[1])
    if node.name in _WIDENING:
        return _is_of_row(node.node)
    return node.name in _FILTERS and not (ranges and node.name == "int")


def _spreads(node: nodes.Filter | nodes.Call) -> bool:
    return bool(node.kwargs or node.dyn_args or node.dyn_kwargs)


def _is_range(node: nodes.Node) -> bool:
    return (
        isinstance(node, nodes.Call)
        and isinstance(node.node, nodes.Name)
        and node.node.name == "range"
    )


def _is_of_row(node: nodes.Node) -> bool:
    """Tell whether an expression is a column or a part of one."""
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        node = node.node
    return isinstance(node, nodes.Name)


def _loops(node: nodes.Node) -> int:
    inner = max(map(_loops, node.iter_child_nodes()), default=0)
    return inner + isinstance(node, nodes.For)


def _weight(value: Any, numbers: bool) -> int:
    """Return how much a value is: its characters, and some for everything in it.

    Args:
        value: Of a row, or a constant.
        numbers: Whether whole numbers weigh what they are, for `range`.
    """
    match value:
        case str():
            return len(value) + _EACH
        case None | bool() | float():
            return _EACH
        case int():
            return (abs(value) if numbers else value.bit_length()) + _EACH
        case list() | tuple():
            return _EACH + sum(_weight(inner, numbers) for inner in value)
        case dict():
            return _EACH + sum(_weight(inner, numbers) for inner in (*value, *value.values()))
        case _:
            return MOST_STEPS
