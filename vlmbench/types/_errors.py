"""Errors that a user can act on: where, what, what was allowed, what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with the input, phrased so that the user can fix it.

    Attributes:
        message: What is wrong, naming the offending value.
        file: File that it is in, as the user would type it; empty if there is none.
        line: 1-based line in `file`, or None.
        column: 1-based column in `file`, or None.
        field: Dotted key (`metadata.vlmbench.probe.kind`) or data column, if any.
        remedy: What to do about it; empty if the message already says so.
    """

    message: str
    file: str = ""
    line: int | None = None
    column: int | None = None
    field: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        head = ": ".join(part for part in (where, self.field, self.message) if part)
        return f"{head}\n    {self.remedy}" if self.remedy else head


class VlmbenchError(Exception):
    """Bad input. Carries every problem found, not only the first.

    Args:
        problems: What is wrong; a bare string stands for one problem with that message.
    """

    def __init__(self, problems: str | Problem | Iterable[Problem]) -> None:
        if isinstance(problems, str):
            problems = [Problem(message=problems)]
        elif isinstance(problems, Problem):
            problems = [problems]
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class DocumentError(VlmbenchError):
    """One document cannot be asked of a model; it has failed, and the others can be asked."""


class ComparisonError(VlmbenchError):
    """Two sets of scores do not cover the same documents in the same order."""
