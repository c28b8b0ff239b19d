"""What tells whether the files of a model are the same as those that a record was made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vlmbench.models import checkpoint_path
from vlmbench.spec import Located, ModelSpec

# Files next to a checkpoint that people read and models do not.
_PAGES = frozenset({".md", ".svg", ".png"})


def checkpoint_identity(model: Located[ModelSpec]) -> list[Any]:
    """Return what tells whether the files of the model, its updates and twin are the same."""
    spec, twin = model.spec, model.spec.twin
    if spec.checkpoint is None:
        return []
    found = [_files(spec.checkpoint, spec.revision, model.folder)]
    if spec.weights is not None:
        found.append(_files(spec.weights.lora, None, model.folder))
    if twin is not None and twin.checkpoint is not None:
        found.append(_files(twin.checkpoint, twin.revision, model.folder))
    return found


def _files(checkpoint: str | None, revision: str | None, folder: Path) -> list[Any]:
    """Return names, sizes and times of a local checkpoint's files, or its hub id and revision.

    A model card and its pictures are not among them: a new edition of a page changes no score.
    """
    source = Path(checkpoint_path(checkpoint, folder))
    if not source.is_dir():
        return [checkpoint, revision]
    files = sorted(p for p in source.iterdir() if p.is_file() and p.suffix not in _PAGES)
    return [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files]
