"""One small registry for everything that has a name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from vlmbench.spec import did_you_mean
from vlmbench.types import Problem, VlmbenchError

T_co = TypeVar("T_co", covariant=True)


class Registry(Mapping[str, T_co], Generic[T_co]):
    """Names and what they refer to, in the order in which they were found.

    Args:
        what: What one entry is called in messages ("task").
        entries: (name, thing) pairs; of equal names the first is kept and the rest reported.
        clash: Phrases the problem of two things with one name.
    """

    def __init__(
        self,
        what: str,
        entries: Iterable[tuple[str, T_co]],
        *,
        clash: Callable[[str, T_co, T_co], Problem],
    ) -> None:
        self.what = what
        self._entries: dict[str, T_co] = {}
        problems = []
        for name, thing in entries:
            if name in self._entries:
                problems.append(clash(name, self._entries[name], thing))
            else:
                self._entries[name] = thing
        self.problems: tuple[Problem, ...] = tuple(problems)

    def __getitem__(self, name: str) -> T_co:
        """Return the thing called `name`; raises VlmbenchError with the nearest names."""
        try:
            return self._entries[name]
        except KeyError:
            raise VlmbenchError(self.unknown(name)) from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name, in the order found."""
        return tuple(self._entries)

    @property
    def plural(self) -> str:
        """What several are called, as in `vlmbench ls studies`."""
        return f"{self.what[:-1]}ies" if self.what.endswith("y") else f"{self.what}s"

    def unknown(self, name: str) -> Problem:
        """Return the problem that there is nothing called `name`."""
        return Problem(
            message=f"there is no {self.what} `{name}`",
            remedy=did_you_mean(name, self.names, what=f"`vlmbench ls {self.plural}` shows"),
        )
