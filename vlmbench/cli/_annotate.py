"""`vlmbench annotate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vlmbench.cli._folders import data_folder
from vlmbench.cli._printing import say
from vlmbench.cli._progress import reporting
from vlmbench.registry import catalogue
from vlmbench.spec import Located, TaskSpec
from vlmbench.types import Problem, VlmbenchError


def annotate(
    name: str,
    *,
    output: Path | None,
    threshold: float,
    review: Path | None,
    include_paths: Sequence[Path],
    limit: int | None,
    allow_network: bool,
) -> bool:
    """Write the markers of a task's documents; return whether every document has them."""
    from vlmbench import annotate as room

    task = _one_task(name, include_paths)
    path = output or room.annotations_file(task)
    room.check_replaceable(path)
    documents = room.marked_documents(task, data_folder(None), limit, allow_network=allow_network)
    annotations = []
    with reporting() as reporter:
        advance = reporter.start(task.spec.task, len(documents))
        for annotation in room.annotate(task, documents, threshold):
            annotations.append(annotation)
            advance(1)
    rows = room.write_annotations(annotations, path)
    refused = [annotation for annotation in annotations if annotation.refusal]
    for annotation in refused:
        say(f"left out {annotation.document.doc_id}: {annotation.refusal}")
    kept = len(annotations) - len(refused)
    where = path if rows else f"nothing is written to {path}"
    say(f"{rows} markers from {kept} of {len(annotations)} documents: {where}")
    if review is not None:
        pages = room.write_sheets(annotations, review)
        say(f"{len(pages)} review sheets: {review}")
    return not refused


def _one_task(name: str, include_paths: Sequence[Path]) -> Located[TaskSpec]:
    found = catalogue(include_paths)
    found.check()
    tasks = found.select_tasks(name)
    if len(tasks) != 1:
        names = ", ".join(task.spec.task for task in tasks)
        raise VlmbenchError(
            Problem(field="TASK", message=f"give one task at a time; {name!r} selects {names}")
        )
    return tasks[0]
