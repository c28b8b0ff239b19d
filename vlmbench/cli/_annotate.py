"""`vlmbench annotate`."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress import track

from vlmbench.cli._folders import data_folder
from vlmbench.registry import catalogue
from vlmbench.types import Problem, VlmbenchError


def annotate(
    name: str,
    *,
    output: Path | None,
    threshold: float,
    review: Path | None,
    include_paths: tuple[Path, ...],
    limit: int | None,
) -> bool:
    """Write the markers of a task's documents; return whether every document has them."""
    from vlmbench import annotate as room

    found = catalogue(include_paths)
    found.check()
    tasks = found.select_tasks(name)
    if len(tasks) != 1:
        names = ", ".join(task.spec.task for task in tasks)
        raise VlmbenchError(
            Problem(field="TASK", message=f"one task at a time, {name!r} is {names}")
        )
    task = tasks[0]
    path = output or room.annotations_file(task)
    documents = room.marked_documents(task, data_folder(None), limit)
    bar = track(
        room.annotate(task, documents, threshold),
        description=task.spec.task,
        total=len(documents),
        console=Console(stderr=True),
    )
    annotations = list(bar)
    rows = room.write_annotations(annotations, path)
    refused = [annotation for annotation in annotations if annotation.refusal]
    console = Console()
    for annotation in refused:
        console.print(
            f"left out {annotation.document.doc_id}: {annotation.refusal}",
            highlight=False,
            soft_wrap=True,
        )
    kept = len(annotations) - len(refused)
    console.print(
        f"{rows} markers of {kept} of {len(annotations)} documents: {path}",
        highlight=False,
        soft_wrap=True,
    )
    if review is not None:
        pages = room.write_sheets(annotations, review)
        console.print(f"{len(pages)} review sheets: {review}", highlight=False, soft_wrap=True)
    return not refused
