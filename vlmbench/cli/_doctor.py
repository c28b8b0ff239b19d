"""`vlmbench doctor`: what is installed and found here, and what to do about the rest."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

import vlmbench
from vlmbench.cli._folders import cache_root, data_folder
from vlmbench.cli._printing import display, say, say_json, table
from vlmbench.registry import catalogue
from vlmbench.report import Column
from vlmbench.types import DISTRIBUTION, Problem, VlmbenchError

EXTRAS = {
    "worlds": "draws the rendered tasks; trains the tiny models",
    "nyuv2": "reads NYU Depth V2, on which depth heads are fitted",
    "openai": "asks servers that speak OpenAI's protocol",
    "vllm": "runs models in vLLM's engine",
    "ray": "spreads a run over a Ray cluster",
    "publish": "writes inspect_ai's logs (docs/publishing.md)",
    "vision": "some families' processors (docs/families.md)",
    "sentencepiece": "tokenizers that are only a tokenizer.model",
    "pretrained": "the example with real weights (docs/pretrained.md)",
}
"""What each extra is for; others are for working on vlmbench itself."""

_PACKAGES = (Column(head="package"), Column(head="version"), Column(head="what to do", wraps=True))
_EXTRAS = (
    Column(head="extra"),
    Column(head="what it is for", wraps=True),
    Column(head="installed", wraps=True),
)
_DATA = (Column(head="data"), Column(head="tasks", right=True), Column(head="here"))


def doctor(include_paths: Sequence[Path], data_root: Path | None, *, as_json: bool) -> None:
    """Print what is here.

    Raises:
        VlmbenchError: If something that every run needs is wrong, with what to do.
    """
    wrong: list[Problem] = []
    packages = list(_packages(wrong))
    cache = cache_root()
    _check_writable(cache, wrong)
    drawn = data_folder(data_root)
    here = {
        "vlmbench": vlmbench.__version__,
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "packages": packages,
        "devices": _devices(wrong),
        "extras": list(_extras()),
        "data": _data(include_paths, drawn),
        "folders": _folders(cache, drawn),
    }
    if as_json:
        say_json({**here, "wrong": [str(problem) for problem in wrong]})
    else:
        _show(here)
    if wrong:
        raise VlmbenchError(wrong)


def _installed() -> metadata.Distribution:
    """Return what pip knows of vlmbench; raise VlmbenchError if that is nothing."""
    try:
        return metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        message = "vlmbench is on Python's path but not installed, so nobody knows what it needs"
        remedy = "In its folder: pip install --editable ."
        raise VlmbenchError(Problem(message=message, remedy=remedy)) from None


def _required(extra: str) -> Iterator[Requirement]:
    """Yield what vlmbench itself, or one of its extras, requires on this platform."""
    for needed in map(Requirement, _installed().requires or ()):
        of = {name for name in ("", extra) if _applies(needed, name)}
        if of and ("" in of) == (not extra):
            yield needed


def _applies(needed: Requirement, extra: str) -> bool:
    return needed.marker is None or needed.marker.evaluate({"extra": extra})


def _version(needed: Requirement) -> str | None:
    """Return the installed version of a package; None if it is not installed."""
    try:
        return metadata.version(needed.name)
    except metadata.PackageNotFoundError:
        return None


def _fits(needed: Requirement) -> bool:
    found = _version(needed)
    return found is not None and needed.specifier.contains(found, prereleases=True)


def _packages(wrong: list[Problem]) -> Iterator[dict[str, object]]:
    """Yield the packages that every run needs; note those that are missing or do not fit."""
    for needed in _required(""):
        found, remedy = _version(needed), ""
        if not _fits(needed):
            remedy = f'pip install "{needed.name}{needed.specifier}"'
            said = "is not installed" if found is None else f"is {found}"
            message = f"{needed.name} {said}; vlmbench needs {needed.name}{needed.specifier}"
            wrong.append(Problem(message=message, remedy=remedy))
        yield {"package": needed.name, "version": found or "missing", "what to do": remedy}


def _extras() -> Iterator[dict[str, object]]:
    """Yield every extra, with how to get it where a package of it is missing or does not fit."""
    declared = _installed().metadata.get_all("Provides-Extra") or []
    for extra in (name for name in EXTRAS if name in declared):
        missing = [needed.name for needed in _required(extra) if not _fits(needed)]
        remedy = f'{", ".join(missing)} missing: pip install "{DISTRIBUTION}[{extra}]"'
        yield {
            "extra": extra,
            "what it is for": EXTRAS[extra],
            "installed": remedy if missing else "yes",
        }


def _devices(wrong: list[Problem]) -> list[str]:
    """Return what models run on, the one that `--device auto` takes first."""
    try:
        from vlmbench.models import devices

        return devices()
    except (ImportError, OSError, RuntimeError) as error:  # a build for other drivers, say
        message = f"torch cannot be used: {error}"
        remedy = "Install a build for this machine: https://pytorch.org/get-started/locally/"
        wrong.append(Problem(message=message, remedy=remedy))
        return []


def _data(include_paths: Sequence[Path], drawn: Path) -> list[dict[str, object]]:
    """Return the data sets that tasks name, with how many tasks name them."""
    from vlmbench.tasks import found

    tasks: dict[str, list[bool]] = {}
    for _, task in catalogue(include_paths).tasks.items():
        data = found(task.spec, drawn)
        if data is not None:
            tasks.setdefault(data[0], []).append(data[1])
    return [
        {"data": name, "tasks": len(there), "here": _share(there)}
        for name, there in sorted(tasks.items())
    ]


def _share(there: Sequence[bool]) -> str:
    if all(there) or not any(there):
        return "yes" if all(there) else "no"
    return f"for {sum(there)} of {len(there)}"


def _folders(cache: Path, drawn: Path) -> dict[str, str]:
    from vlmbench.tasks.sources import DATA_VARIABLE, data_home

    return {
        "cache (VLMBENCH_CACHE)": str(cache),
        "rendered data (--data-root)": str(drawn),
        f"published data ({DATA_VARIABLE})": str(data_home()),
    }


def _check_writable(folder: Path, wrong: list[Problem]) -> None:
    """Note where nothing can be kept; the folder itself need not be there yet."""
    nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
        message = "the cache folder cannot be written"
        remedy = "Name another one: export VLMBENCH_CACHE=FOLDER"
        wrong.append(Problem(file=str(folder), message=message, remedy=remedy))


def _show(here: Mapping[str, Any]) -> None:
    say(f"vlmbench {here['vlmbench']}, Python {here['python']}")
    for name, columns in (("packages", _PACKAGES), ("extras", _EXTRAS), ("data", _DATA)):
        say("")
        display(table(here[name], columns))
    display(
        "Rendered data is drawn when a run needs it; docs/data.md says how to get the rest. What "
        "the hub's client keeps in its own cache is not looked for."
    )
    say("")
    for what, folder in here["folders"].items():
        say(f"{what}: {folder}")
    for device in here["devices"]:
        say(f"device: {device}")
