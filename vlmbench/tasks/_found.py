"""Where the data of tasks would be on this machine, told without opening any of it."""

from __future__ import annotations

from pathlib import Path

from vlmbench.spec import HUB_ID, TaskSpec
from vlmbench.tasks import worlds
from vlmbench.tasks.sources import hub_copy, source_folder


def found(spec: TaskSpec, data_root: Path) -> tuple[str, bool] | None:
    """Return what a task's data is called, and whether it is there.

    Args:
        spec: The task.
        data_root: Folder for rendered data.

    Returns:
        A world, a published layout or a hub id, and whether all of its splits are drawn, its
        folder is there, or a copy of it was downloaded whole; None for data beside the task's file.
    """
    if spec.bench.generator is not None:
        generator = spec.bench.generator
        return f"world {generator.world}", worlds.is_built(generator, root=data_root)
    if spec.bench.reader is not None:
        return f"layout {spec.bench.reader.layout}", source_folder(spec.bench.reader).is_dir()
    if spec.dataset_path is not None and HUB_ID.fullmatch(spec.dataset_path):
        return spec.dataset_path, hub_copy(spec.dataset_path) is not None
    return None
