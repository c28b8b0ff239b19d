"""Which files and hosts a task and its data may name.

YAML, rows and pictures may come from a stranger, and what is read of them is sent to the model:
perhaps to a server, and often into a published record. So a task reads what lies beside it or
where the user keeps data, and the network only if the user says so.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from vlmbench.spec import Located, TaskSpec
from vlmbench.tasks.sources import DATA_VARIABLE, data_home
from vlmbench.types import VlmbenchError

_SCHEMES = ("http://", "https://", "hf://")


def confined(task: Located[TaskSpec], path: Path, field: str) -> Path:
    """Return a path that a task or its data names, if it may be read.

    It must lie below the folder of the task's file, below `data_home()`, or in the caches of
    `datasets` and the hub, wherever links lead; only links in `data_home()` are the user's own.

    Raises:
        VlmbenchError: If it lies elsewhere.
    """
    home = data_home()
    if path.is_relative_to(home) and ".." not in path.parts:
        return path
    try:
        real = os.path.realpath(path)
    except ValueError as error:  # NUL, or half of a character
        raise VlmbenchError(task.problem(field, f"{path} cannot be a path: {error}")) from error
    if any(Path(real).is_relative_to(root) for root in _roots(task.folder.absolute(), home)):
        return path
    shown = real if real == str(path) else f"{path} ({real})"
    raise VlmbenchError(
        task.problem(
            field,
            f"{shown} lies outside the task's folder and the data folder {home}",
            "What a task or its data names is read only there. Move or copy it, or set "
            f"{DATA_VARIABLE} to a folder that holds it.",
        )
    )


def confined_tree(task: Located[TaskSpec], folder: Path, field: str) -> None:
    """Refuse a file or folder, or what links within the folder lead to; raises as `confined`."""
    confined(task, folder, field)
    if not folder.is_relative_to(data_home()):
        for path in folder.rglob("*"):
            if path.is_symlink():
                confined(task, path, field)


@lru_cache(maxsize=1024)
def _roots(folder: Path, home: Path) -> tuple[str, ...]:
    import datasets
    from huggingface_hub.constants import HF_HUB_CACHE

    roots = (folder, home, HF_HUB_CACHE, datasets.config.HF_DATASETS_CACHE)
    return tuple(map(os.path.realpath, roots))


def is_address(text: str) -> bool:
    """Tell whether a name of a file is one that `datasets` would look for elsewhere."""
    return "://" in text or "::" in text


def check_addresses(
    task: Located[TaskSpec], names: Any, field: str, *, allow_network: bool
) -> None:
    """Refuse addresses among names of files, unless the user allows the network.

    Args:
        task: Whose data it is.
        names: Text, or lists and mappings of it.
        field: Where they stand in the task's file.
        allow_network: Whether http, https and hf addresses may be asked for.

    Raises:
        VlmbenchError: For the first that may not be.
    """
    import datasets

    for name in _texts(names):
        if not is_address(name):
            continue
        message = f"{name!r} is an address"
        if "::" in name or not name.startswith(_SCHEMES):
            remedy = "Only http, https and hf are fetched: download it, and name the file."
        elif not allow_network:
            message += ", and the network may not be used"
            remedy = "Download it, or allow it with --allow-network."
        elif datasets.config.HF_HUB_OFFLINE:
            message += ", and HF_HUB_OFFLINE is set"
            remedy = "Download it, or unset HF_HUB_OFFLINE."
        else:
            continue
        raise VlmbenchError(task.problem(field, message, remedy))


def check_card(task: Located[TaskSpec], folder: Path, *, allow_network: bool) -> None:
    """Refuse addresses in what a folder of data says about itself, which `datasets` follows.

    Raises:
        VlmbenchError: As `check_addresses`.
    """
    import datasets
    import yaml
    from huggingface_hub import DatasetCard

    card, more = folder / datasets.config.REPOCARD_FILENAME, folder / ".huggingface.yaml"
    said: list[Any] = []
    if card.is_file():
        said.append(DatasetCard.load(card, ignore_metadata_errors=True).data.to_dict())
    if more.is_file():
        said.append(yaml.safe_load(more.read_text(encoding="utf-8")))
    for one in said:
        configs = one.get("configs") if isinstance(one, dict) else None
        check_addresses(task, configs, "dataset_path", allow_network=allow_network)


def _texts(names: Any) -> Iterator[str]:
    if isinstance(names, str):
        yield names
    elif isinstance(names, dict):
        for value in names.values():
            yield from _texts(value)
    elif isinstance(names, list | tuple):
        for value in names:
            yield from _texts(value)
