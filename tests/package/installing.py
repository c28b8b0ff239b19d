"""Environments that hold the wheel and what it declares, and nothing else of this one."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from home import ROOT, program
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

OURS = "vlmbench-gap"


def build(folder: Path) -> Path:
    """Build the sdist, and of it the wheel, with what is installed here; return the folder."""
    program("python", "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    return folder


def environment(folder: Path, archives: Path, extras: frozenset[str] = frozenset()) -> Path:
    """Install the wheel into a fresh environment and return its folder of programs.

    Nothing is downloaded: what the wheel and the wanted extras require, and what that requires in
    turn, is linked to from here. A package that is not declared is not there.
    """
    program("python", "-m", "venv", "--without-pip", folder)
    (wheel,) = archives.glob("*.whl")
    pip = ("python", "-m", "pip", "--quiet", "--disable-pip-version-check")
    python = folder / "bin" / "python"
    program(*pip, "--python", python, "install", "--no-deps", "--no-index", wheel)
    (site,) = folder.glob("lib/python*/site-packages")
    (ours,) = (one for one in metadata.distributions(path=[str(site)]) if one.name == OURS)
    linked = folder / "required"
    linked.mkdir()
    for place in set(_places(ours, extras)):
        (linked / place.name).symlink_to(place)
    (site / "required.pth").write_text(f"{linked}\n")
    return python.parent


def _places(root: metadata.Distribution, extras: frozenset[str]) -> Iterator[Path]:
    """Yield what the distributions that one requires, directly or not, have in site-packages."""
    waiting, seen = [(root, extra) for extra in ("", *extras)], set[tuple[str, str]]()
    while waiting:
        dist, extra = waiting.pop()
        for text in dist.requires or ():
            needed = Requirement(text)
            if needed.marker is not None and not needed.marker.evaluate({"extra": extra}):
                continue
            found = metadata.distribution(needed.name)
            for key in ((canonicalize_name(needed.name), one) for one in ("", *needed.extras)):
                if key not in seen:
                    seen.add(key)
                    waiting.append((found, key[1]))
                    yield from _tops(found)


def _tops(dist: metadata.Distribution) -> Iterator[Path]:
    tops = {file.parts[0] for file in dist.files or ()} - {"..", "__pycache__"}
    yield from (Path(str(dist.locate_file(top))) for top in tops)
