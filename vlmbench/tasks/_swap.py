"""Giving every document the images of another one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np


def swap(
    groups: Sequence[Hashable], contents: Sequence[Hashable], rng: np.random.Generator
) -> list[int] | None:
    """Return for each item another one of its group with other content, each used once.

    Within a group, items are laid out content by content, in random order, and each takes the
    one as many places on as the commonest content has items: that one never has its content, and
    such a choice exists exactly if no content fills more than half of the group.

    Args:
        groups: Items exchange only with items of an equal group.
        contents: Items with equal content are never exchanged.
        rng: Where the order is drawn from.

    Returns:
        Position of the other item for each item, or None if there is no such choice.
    """
    members: dict[Hashable, dict[Hashable, list[int]]] = {}
    for index, (group, content) in enumerate(zip(groups, contents, strict=True)):
        members.setdefault(group, {}).setdefault(content, []).append(index)
    other = [0] * len(groups)
    for classes in members.values():
        alike = list(classes.values())
        most = max(len(items) for items in alike)
        total = sum(len(items) for items in alike)
        if 2 * most > total:
            return None
        order = [
            item
            for position in rng.permutation(len(alike))
            for item in rng.permutation(alike[position])
        ]
        for place, item in enumerate(order):
            other[item] = int(order[(place + most) % total])
    return other
