"""Where published data is on this machine: everything below one folder, `$VLMBENCH_DATA`."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_data_path

from vlmbench.types import Problem, VlmbenchError

DATA_VARIABLE = "VLMBENCH_DATA"


def data_home() -> Path:
    """Return the folder of all published data: `$VLMBENCH_DATA`, or the user's data folder."""
    given = os.environ.get(DATA_VARIABLE)
    return Path(given).expanduser() if given else user_data_path("vlmbench")


def below_home(place: str, folder: str = "") -> Path:
    """Return a folder or file of published data; relative ones start at a folder of `data_home()`.

    A `~` of a user that there is not is a name like any other.
    """
    return data_home() / folder / os.path.expanduser(place)  # noqa: PTH111  (Path's raises)


def hub_copy(dataset_path: str) -> Path | None:
    """Return the folder of a hub data set that was downloaded whole, or None.

    `<organisation>/<name>` below `data_home()` is preferred over the hub, so that a machine
    without network runs the same task files.
    """
    folder = data_home() / dataset_path
    return folder if dataset_path.count("/") == 1 and folder.is_dir() else None


def copy_revisions(folder: Path) -> set[str]:
    """Return of which revisions `hf download` noted a copy's files to be; empty without notes."""
    notes = (folder / ".cache" / "huggingface" / "download").rglob("*.metadata")
    return {note.read_text(encoding="utf-8").partition("\n")[0] for note in notes}


def hub_remedy(dataset_path: str, revision: str | None = None) -> str:
    """Return the command that downloads a hub data set to where it is looked for."""
    pinned = "" if revision is None else f" --revision {revision}"
    place = data_home() / dataset_path
    return f'hf download {dataset_path} --repo-type dataset{pinned} --local-dir "{place}"'


def named(root: Path, *names: str, what: str, remedy: str = "") -> Path:
    """Return a file that data names, in the folder of the data.

    Raises:
        VlmbenchError: If the names lead out of the folder, or the file does not exist.
    """
    if any(Path(name).is_absolute() or ".." in Path(name).parts for name in names):
        message = f"{'/'.join(names)} is named by the data, and leads out of its folder"
        raise VlmbenchError(Problem(file=str(root), message=message))
    return require(root.joinpath(*names), what, remedy)


def require(path: Path, what: str, remedy: str) -> Path:
    """Return `path`; raises VlmbenchError with the remedy if it does not exist."""
    if not path.exists():
        raise VlmbenchError(
            Problem(file=str(path), message=f"{what} does not exist", remedy=remedy)
        )
    return path
