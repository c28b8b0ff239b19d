"""The small JSON files of a checkpoint, in a folder or on the hub, read without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlmbench.files import contents
from vlmbench.registry._paths import folder_named
from vlmbench.registry._section import AGAIN, Section
from vlmbench.spec import HUB_ID
from vlmbench.types import Problem, VlmbenchError, parse_json

LONGEST_FILE = 32 * 2**20
"""Most bytes of a checkpoint's JSON or template file."""


def is_checkpoint(term: str) -> bool:
    """Tell whether a selector is a folder with a config.json, or has the form of a hub id."""
    folder = folder_named(term)
    if folder is not None:
        return (folder / "config.json").is_file()
    return HUB_ID.fullmatch(term) is not None and not Path(term).exists()


def read_text(path: Path) -> str:
    """Return the text of a checkpoint's file.

    Raises:
        VlmbenchError: If it cannot be read, is longer than `LONGEST_FILE`, or is not UTF-8.
    """
    try:
        return contents(path, LONGEST_FILE).decode()
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        raise VlmbenchError(Problem(file=str(path), message=message, remedy=AGAIN)) from error
    except UnicodeDecodeError as error:
        message = f"is not text: {error.reason} at byte {error.start:,}"
        raise VlmbenchError(Problem(file=str(path), message=message, remedy=AGAIN)) from error


def read_object(path: Path) -> Section:
    """Return the JSON object in a checkpoint's file.

    Raises:
        VlmbenchError: As `read_text`, or if the file does not contain a JSON object.
    """
    found = parse_json(read_text(path), file=str(path), remedy=AGAIN, finite=False)
    if not isinstance(found, dict):
        message = "does not contain a JSON object"
        raise VlmbenchError(Problem(file=str(path), message=message, remedy=AGAIN))
    return Section(values=found, file=str(path))


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFiles:
    """A checkpoint's files, fetched when asked for.

    Attributes:
        source: Folder or hub id, as it was given.
        folder: Where config.json lies: the folder itself, or the hub's cached snapshot.
        local: Whether `source` is a folder.
    """

    source: str
    folder: Path
    local: bool
    _read: dict[str, Section] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, source: str) -> CheckpointFiles:
        """Find a checkpoint.

        Raises:
            VlmbenchError: It has no config.json, or the hub cannot be reached; with the command
                that fetches it.
        """
        folder = Path(source).expanduser()
        if (folder / "config.json").is_file():
            return cls(source=source, folder=folder, local=True)
        if folder.is_dir():
            problem = Problem(
                file=str(folder / "config.json"),
                message="is missing, or is not a file",
                remedy="Give a folder written by save_pretrained, or a hub id.",
            )
            raise VlmbenchError(problem)
        return cls(source=source, folder=_from_hub(source, "config.json").parent, local=False)

    @property
    def revision(self) -> str | None:
        """The hub's commit, which the cache names its folder by."""
        return None if self.local else self.folder.name

    def json(self, name: str) -> Section:
        """Return a file's content; empty if the checkpoint has no such file.

        Raises:
            VlmbenchError: As `read_object`.
        """
        if name not in self._read:
            path = self._find(name)
            empty: Mapping[str, Any] = {}
            self._read[name] = (
                Section(values=empty, file=name) if path is None else read_object(path)
            )
        return self._read[name]

    def text(self, name: str) -> str | None:
        """Return a file's text, or None if the checkpoint has no such file."""
        path = self._find(name)
        return None if path is None else read_text(path)

    def _find(self, name: str) -> Path | None:
        """Return a file's path, or None if the checkpoint has no such file."""
        path = self.folder / name
        if not path.is_file() and not self.local:
            try:
                path = _from_hub(self.source, name, revision=self.revision)
            except VlmbenchError:
                return None
        return path if path.is_file() else None


def _from_hub(source: str, name: str, revision: str | None = None) -> Path:
    """Return the cached path of a file on the hub, downloading it if the hub can be asked."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(source, name, revision=revision))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        first = str(error).strip().partition("\n")[0]
        raise VlmbenchError(
            Problem(
                message=f"{source!r} is not a folder with a config.json, and the hub did not give "
                f"{name}: {first}",
                remedy=f"With network access: unset HF_HUB_OFFLINE; hf download {source}",
            )
        ) from error
