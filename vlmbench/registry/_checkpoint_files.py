"""The small JSON files of a checkpoint, in a folder or on the hub, read without torch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlmbench.registry._paths import folder_named
from vlmbench.types import Problem, VlmbenchError

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.\-]{0,95}/[\w.\-]{1,96}", re.ASCII)


def is_checkpoint(term: str) -> bool:
    """Tell whether a selector is a folder with a config.json, or has the form of a hub id."""
    folder = folder_named(term)
    if folder is not None:
        return (folder / "config.json").is_file()
    return _HUB_ID.fullmatch(term) is not None and not Path(term).exists()


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
    _read: dict[str, Any] = field(default_factory=dict, repr=False)

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
        return cls(source=source, folder=_from_hub(source, "config.json").parent, local=False)

    @property
    def revision(self) -> str | None:
        """The hub's commit, which the cache names its folder by."""
        return None if self.local else self.folder.name

    def json(self, name: str) -> Mapping[str, Any]:
        """Return a file's content; empty if the checkpoint has no such file.

        Raises:
            VlmbenchError: The file does not contain a JSON object.
        """
        if name not in self._read:
            text = self.text(name)
            try:
                self._read[name] = {} if text is None else json.loads(text)
            except json.JSONDecodeError as error:
                where = self.folder / name
                problem = Problem(file=str(where), line=error.lineno, message=error.msg)
                raise VlmbenchError(problem) from error
        content: Mapping[str, Any] = self._read[name]
        return content

    def text(self, name: str) -> str | None:
        """Return a file's text, or None if the checkpoint has no such file."""
        path = self.folder / name
        if not path.is_file() and not self.local:
            try:
                path = _from_hub(self.source, name, revision=self.revision)
            except VlmbenchError:
                return None
        return path.read_text(encoding="utf-8") if path.is_file() else None


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
