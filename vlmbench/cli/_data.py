"""`vlmbench data build` and `vlmbench data ls`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vlmbench.cli._folders import data_folder
from vlmbench.cli._printing import display, say, say_json, table
from vlmbench.cli._progress import reporting
from vlmbench.registry import catalogue
from vlmbench.report import Column
from vlmbench.spec import Generator, Located, TaskSpec
from vlmbench.tasks import drawing_processes, worlds
from vlmbench.types import Problem, VlmbenchError

_COLUMNS = (
    Column(head="name"),
    Column(head="world", spare=3),
    *(Column(head=split, right=True, spare=2) for split in worlds.SPLITS),
    Column(head="fingerprint", spare=1),
    Column(head="built"),
)


def _generated(
    names: Sequence[str], include_paths: Sequence[Path]
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
                message=f"there is no rendered data in {', '.join(names) or 'any task'}",
                remedy="Only tasks with metadata.vlmbench.generator can be built.",
            )
        )
    return list(drawn.values())


def build(
    names: Sequence[str],
    output: Path | None,
    include_paths: Sequence[Path],
    data_root: Path | None,
) -> None:
    """Build data sets that are not there yet, and export them if asked."""
    root = data_folder(data_root)
    with reporting() as reporter:
        for task, generator in _generated(names, include_paths):
            total = generator.train + generator.validation + generator.test
            advance = reporter.start(task.spec.task, total)
            if worlds.is_built(generator, root=root):
                advance(total)
            folder = worlds.build(
                generator, root=root, processes=drawing_processes(), progress=advance
            )
            say(f"{task.spec.task}: {folder}")
            if output is not None:
                worlds.export(generator, output / task.spec.task, root=root)
                say(f"    {output / task.spec.task}")


def ls(
    names: Sequence[str],
    include_paths: Sequence[Path],
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
        say_json(rows)
    else:
        display(table(rows, _COLUMNS))
