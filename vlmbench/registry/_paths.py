"""Where YAML is looked for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import vlmbench
from vlmbench.types import Problem, VlmbenchError

_SKIPPED = frozenset({"__pycache__", ".ipynb_checkpoints", ".git", ".venv", "node_modules"})


def packaged_paths() -> list[Path]:
    """Return the folders that came with vlmbench: inside the wheel, or next to it in a checkout."""
    package = Path(vlmbench.__file__).parent
    for base in (package / "shipped", package.parent):
        folders = [base / "tasks", base / "models"]
        if all(folder.is_dir() for folder in folders):
            return folders
    return []


def search_paths(include_paths: Sequence[Path] = ()) -> list[Path]:
    """Return all folders and files searched: packaged, `VLMBENCH_PATH`, given ones, packages'.

    Raises:
        VlmbenchError: A path that was asked for, or a package's folder, does not exist.
    """
    variable = [
        Path(part) for part in os.environ.get("VLMBENCH_PATH", "").split(os.pathsep) if part
    ]
    asked = [(path, "VLMBENCH_PATH") for path in variable]
    asked += [(Path(path), "--include-path") for path in include_paths]
    asked = [(path.expanduser(), origin) for path, origin in asked]
    problems = [
        Problem(message=f"{origin}: there is no folder {path}")
        for path, origin in asked
        if not path.exists()
    ]
    if problems:
        raise VlmbenchError(problems)
    paths = [*packaged_paths(), *(path for path, _ in asked), *_package_paths()]
    first: dict[Path, Path] = {}
    for path in paths:
        first.setdefault(path.resolve(), path)
    return list(first.values())


def folder_named(text: str, start: Path = Path()) -> Path | None:
    """Return the folder that any text names from `start`, resolved; None if it names none."""
    try:
        folder = start / Path(text).expanduser()
        return folder.resolve() if folder.is_dir() else None
    except (OSError, ValueError, RuntimeError):  # too long, with NUL, or in the home of nobody
        return None


def yaml_files(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield every YAML file below `paths` once, sorted within each path."""
    seen: set[str] = set()
    for path in paths:
        for file in _below(path):
            identity = os.path.realpath(file)
            if identity not in seen:
                seen.add(identity)
                yield file


def _below(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED)
        for name in sorted(files):
            if name.endswith((".yaml", ".yml")):
                yield Path(folder, name)


def _package_paths() -> list[Path]:
    """Return the folders of packages named by entry points `vlmbench.paths`.

    The value of an entry point is a package; its folder is searched, and it is not imported.
    """
    paths = []
    for entry in entry_points(group="vlmbench.paths"):
        try:
            spec = find_spec(entry.module)
        except ModuleNotFoundError:
            spec = None
        folders = spec.submodule_search_locations if spec else None
        if not folders:
            message = f"the entry point `{entry.name}` of vlmbench.paths does not name a package"
            raise VlmbenchError(Problem(message=f"{message}: {entry.value}"))
        paths += [Path(folder) for folder in folders]
    return paths
