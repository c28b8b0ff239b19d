"""`vlmbench data build` and `vlmbench data ls`."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from vlmbench.cli._folders import data_folder
from vlmbench.registry import catalogue
from vlmbench.spec import Generator, Located, TaskSpec
from vlmbench.tasks import worlds
from vlmbench.types import Problem, VlmbenchError


def _generated(
    names: tuple[str, ...], include_paths: tuple[Path, ...]
) -> list[tuple[Located[TaskSpec], Generator]]:
    """Return tasks with a generator, one for each distinct data set."""
    found = catalogue(include_paths)
    found.check()
    tasks = found.select_tasks(",".join(names)) if names else [t for _, t in found.tasks.items()]
    drawn: dict[str, tuple[Located[TaskSpec], Generator]] = {}
    for task in tasks:
        generator = task.spec.bench.generator
        if generator is not None:
            drawn.setdefault(worlds.fingerprint(generator), (task, generator))
    if not drawn:
        raise VlmbenchError(
            Problem(
                message=f"no procedural data in {', '.join(names) or 'any task'}",
                remedy="Only tasks with metadata.vlmbench.generator are built.",
            )
        )
    return list(drawn.values())


def build(
    names: tuple[str, ...],
    output: Path | None,
    include_paths: tuple[Path, ...],
    data_root: Path | None,
) -> None:
    """Build data sets that are not there yet, and export them if asked."""
    root = data_folder(data_root)
    console = Console()
    with Progress(console=Console(stderr=True)) as progress:
        for task, generator in _generated(names, include_paths):
            total = generator.train + generator.validation + generator.test
            bar = progress.add_task(task.spec.task, total=total)
            folder = worlds.build(
                generator,
                root=root,
                progress=partial(progress.advance, bar),
            )
            progress.update(bar, completed=total)
            console.print(f"{task.spec.task}: {folder}", highlight=False, soft_wrap=True)
            if output is not None:
                worlds.export(generator, output / task.spec.task, root=root)
                console.print(f"    {output / task.spec.task}", highlight=False, soft_wrap=True)


def ls(
    names: tuple[str, ...],
    include_paths: tuple[Path, ...],
    data_root: Path | None,
    *,
    as_json: bool,
) -> None:
    """List data sets with their fingerprints and whether they are built."""
    root = data_folder(data_root)
    rows = [
        {
            "name": task.spec.task,
            "world": generator.world,
            "train": generator.train,
            "validation": generator.validation,
            "test": generator.test,
            "fingerprint": worlds.fingerprint(generator),
            "built": worlds.is_built(generator, root=root),
        }
        for task, generator in _generated(names, include_paths)
    ]
    if as_json:
        print(json.dumps(rows, indent=1))  # noqa: T201
        return
    table = Table(box=None, pad_edge=False)
    for name in rows[0]:
        table.add_column(name)
    for row in rows:
        table.add_row(*("yes" if value is True else str(value) for value in row.values()))
    Console().print(table)
