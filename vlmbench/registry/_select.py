"""Selectors: `worlds,naming,*_blind,./my_task.yaml`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

from vlmbench.registry._registry import Registry
from vlmbench.spec import Located, Spec, did_you_mean
from vlmbench.types import Problem, VlmbenchError

SpecT = TypeVar("SpecT", bound=Spec)
Named = list[tuple[str, Located[SpecT]]]


def _nothing(_: str) -> list[Any]:
    return []


def select(
    selector: str,
    registry: Registry[Located[SpecT]],
    bundles: Mapping[str, tuple[str, ...]],
    load: Callable[[Path], Named[SpecT]],
    derive: Callable[[str], Named[SpecT]] = _nothing,
) -> list[Located[SpecT]]:
    """Return what a comma-separated list of terms means, in its order, each spec once.

    Args:
        selector: Terms; each is a name, a bundle, a path to a YAML file or a glob over names.
        registry: What can be selected by name.
        bundles: Group or tag -> names in `registry`.
        load: Reads the specs in a file.
        derive: Makes the spec of what is neither, such as a hub id; nothing by default.

    Raises:
        VlmbenchError: Every term that matches nothing, with the nearest names.
    """
    chosen: dict[str, Located[SpecT]] = {}
    problems: list[Problem] = []
    for term in filter(None, (part.strip() for part in selector.split(","))):
        try:
            found = _term(term, registry, bundles, load) or derive(term)
            if not found:
                raise VlmbenchError(_unknown(term, registry, bundles))
        except VlmbenchError as error:
            problems.extend(error.problems)
            continue
        for name, located in found:
            first = chosen.setdefault(name, located)
            if first.path.resolve() != located.path.resolve():
                problems.append(same_name(registry.what, name, first, located))
    if not chosen and not problems:
        problems.append(Problem(message=f"{selector!r} does not select any {registry.what}"))
    if problems:
        raise VlmbenchError(dict.fromkeys(problems))
    return list(chosen.values())


def _term(
    term: str,
    registry: Registry[Located[SpecT]],
    bundles: Mapping[str, tuple[str, ...]],
    load: Callable[[Path], Named[SpecT]],
) -> Named[SpecT]:
    """Return what one term means; nothing if no name or file does."""
    if term in registry:
        return [(term, registry[term])]
    if term in bundles:
        return [(name, registry[name]) for name in bundles[term]]
    if term.endswith((".yaml", ".yml")):
        return load(Path(term))
    return [(name, registry[name]) for name in registry if fnmatchcase(name, term)]


def _unknown(
    term: str, registry: Registry[Located[SpecT]], bundles: Mapping[str, tuple[str, ...]]
) -> Problem:
    problem = registry.unknown(term)
    remedy = did_you_mean(
        term, (*registry, *bundles), what=f"`vlmbench ls {registry.plural}` shows"
    )
    return Problem(message=problem.message, remedy=remedy)


def same_name(
    what: str, name: str, first: Located[Spec], second: Located[Spec], other: str | None = None
) -> Problem:
    """Return the problem that two files give one name; `other` is what the first one holds."""
    mark = first.document.mark((other or what,))
    message = f"`{name}` is also the {other or what} in {mark.file}:{mark.line}"
    return second.problem((what,), message, "Rename one of them.")
