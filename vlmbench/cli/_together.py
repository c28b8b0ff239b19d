"""Problems of several steps, told in one go."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, overload

from vlmbench.types import Problem, VlmbenchError

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")


@overload
def together(first: Callable[[], A], second: Callable[[], B], /) -> tuple[A, B]: ...
@overload
def together(
    first: Callable[[], A], second: Callable[[], B], third: Callable[[], C], /
) -> tuple[A, B, C]: ...


def together(*steps: Callable[[], object]) -> tuple[object, ...]:
    """Return what every step gives.

    Raises:
        VlmbenchError: With the problems of all steps, not of the first only.
    """
    results: list[object] = []
    problems: list[Problem] = []
    for step in steps:
        try:
            results.append(step())
        except VlmbenchError as error:
            problems += error.problems
    if problems:
        raise VlmbenchError(dict.fromkeys(problems))
    return tuple(results)
