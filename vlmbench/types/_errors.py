"""Errors that a user can act on: where, what, what was allowed, what to do."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vlmbench.types._plain import one_line, plain

_LONGEST_TEXT = 2_000
_LONGEST_MESSAGE = 16_000
_LONGEST_REASON = 500
_PACKAGE = Path(__file__).parents[1]


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
        parts = (where, self.field, self.message)
        head = ": ".join(plain(part, longest=_LONGEST_TEXT) for part in parts if part)
        remedy = plain(self.remedy, longest=_LONGEST_TEXT)
        return f"{head}\n    {remedy}" if remedy else head


def reason(error: BaseException) -> str:
    """Return why something failed, on one line: where nobody foresaw it, with kind and place.

    The place is the line that raised it and, if that is a library's, the line of this package
    that called it.
    """
    if isinstance(error, VlmbenchError):
        return one_line(str(error), longest=_LONGEST_REASON)
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(_PACKAGE)]
    places = dict.fromkeys(
        f"{Path(frame.filename).name}:{frame.lineno}" for frame in (*frames[-1:], *ours[-1:])
    )
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    said = one_line(said, longest=_LONGEST_REASON)
    return f"{said} ({', from '.join(places)})" if places else said


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
        super().__init__(self.problems)  # what it is pickled by

    def __str__(self) -> str:
        return _together(self.problems)


def _together(problems: tuple[Problem, ...]) -> str:
    """Return what is wrong, a problem a line, as far as it can be read at one go."""
    told: list[str] = []
    length = 0
    for place, problem in enumerate(problems):
        text = str(problem)
        length += len(text) + 1
        if told and length > _LONGEST_MESSAGE:
            files = dict.fromkeys(problem.file for problem in problems[place:] if problem.file)
            where = plain(f" in {', '.join(files)}" if files else "", longest=_LONGEST_TEXT)
            return "\n".join([*told, f"... and {len(problems) - place} more problems{where}"])
        told.append(text)
    return "\n".join(told)


class DocumentError(VlmbenchError):
    """One document cannot be asked of a model; it has failed, and the others can be asked."""


class ComparisonError(VlmbenchError):
    """Two sets of scores do not cover the same documents in the same order."""
