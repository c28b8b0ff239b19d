"""`vlmbench show`, `validate` and `init`: looking at what there is, and starting something new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from rich.text import Text

from vlmbench.cli._answers import show_answers
from vlmbench.cli._folders import data_folder
from vlmbench.cli._printing import display, say
from vlmbench.cli._run import checkpoint_of
from vlmbench.registry import (
    catalogue,
    derive,
    derived_yaml,
    is_checkpoint,
    loads,
    pixels_of,
)
from vlmbench.report import Column, Layout, Row
from vlmbench.spec import Located, ModelSpec, TaskSpec, load_files, starter
from vlmbench.types import Document, Problem, VlmbenchError, file_name


def show(
    name: str,
    index: int,
    output: Path,
    include_paths: Sequence[Path],
    data_root: Path | None,
    *,
    derive: bool = False,
    allow_network: bool = False,
) -> None:
    """Print the resolved spec of a task, model, study or group, or what a checkpoint gives."""
    found = catalogue(include_paths)
    found.check()
    for registry in (found.studies, found.groups):
        if name in registry:
            _print_spec(registry[name])
            return
    if name in found.models:
        _show_model(found.models[name])
        return
    if name not in found.tasks and is_checkpoint(name):
        named = [] if derive else [model for model in found.models.values() if loads(model, name)]
        for model in named:
            say(checkpoint_of(name, model), style="dim")
            _show_model(model)
        if not named:
            _show_derived(name)
        return
    for task in found.select_tasks(name):
        _print_spec(task)
        _show_document(task, index, output, data_root, allow_network=allow_network)


def _show_model(model: Located[ModelSpec]) -> None:
    _print_spec(model)
    show_answers(model)
    for side, what in pixels_of(model).items():
        display(f"# pixels of the {side}: {what}", style="dim")


def _show_derived(source: str) -> None:
    """Print every value derived from a checkpoint's files, and where it came from."""
    rows: list[Row] = []
    derived = derive(source)
    for fact in derived.facts:
        value = "not found" if fact.value is None else str(fact.value)
        style = "" if fact.in_yaml else "dim"
        rows.append([Text(cell, style=style) for cell in (fact.key, value, fact.origin)])
    columns = (
        Column(head="key"),
        Column(head="value", wraps=True),
        Column(head="from", wraps=True),
    )
    display(Layout(columns=columns, rows=rows))
    show_answers(derived.model)
    for side, what in pixels_of(derived.model).items():
        display(f"pixels of the {side}: {what}")
    say(f"Write this to a file: vlmbench init model {source}")


def _print_spec(located: Located[Any]) -> None:
    say(f"# {located.path}", style="dim")
    values = _plain(located.spec.model_dump(exclude_defaults=True))
    say(yaml.safe_dump(values, sort_keys=False))


def _plain(value: Any) -> Any:
    """Return the value with tuples as lists, which YAML can write."""
    match value:
        case Mapping():
            return {key: _plain(item) for key, item in value.items()}
        case tuple() | list():
            return [_plain(item) for item in value]
        case _:
            return value


def _show_document(
    task: Located[TaskSpec],
    index: int,
    output: Path,
    data_root: Path | None,
    *,
    allow_network: bool,
) -> None:
    from vlmbench.tasks import apply_conditions, ask, load_documents

    documents = load_documents(
        task, "reported", data_folder(data_root), allow_network=allow_network
    )
    if index >= len(documents):
        raise VlmbenchError(
            Problem(
                field="--index",
                message=f"{task.spec.task} has {len(documents)} documents, counted from 0",
            )
        )
    condition = task.spec.bench.condition
    every = list(documents) if condition.image.needs_others else [documents[index]]
    document = apply_conditions(every, condition, task=task)[index if len(every) > 1 else 0]
    (asked,) = ask([document], task.spec, condition)
    say(f"document {document.doc_id}", style="bold")
    say(asked.text)
    say(f"choices {list(document.choices)}, gold {document.choices[document.gold]!r}")
    if (markers := task.spec.bench.markers) is not None:
        say(f"points and boxes: {markers.says}")
    if document.reference is not None:
        say(f"reference {document.reference}")
    for choice, region in zip(document.choices, document.candidates, strict=False):
        say(f"{choice}: {region}")
    _write_images(task, document, output)


def _write_images(task: Located[TaskSpec], document: Document, output: Path) -> None:
    from vlmbench.files import replacing

    for number, image in enumerate(document.images, start=1):
        path = output / f"{file_name(document.doc_id)}-{number}.png"
        try:
            picture = image.decode()
        except (OSError, ValueError) as error:
            message = f"document {document.doc_id!r}: cannot decode image {number}: {error}"
            raise VlmbenchError(task.problem("doc_to_image", message)) from error
        with replacing(path) as partial:
            picture.save(partial, format="PNG")
        say(f"image {number}: {path}")


def validate(paths: Sequence[Path], include_paths: Sequence[Path]) -> None:
    """Check files, folders, or everything on the search path."""
    if not paths:
        found = catalogue(include_paths)
        found.check()
        counts = (len(found.tasks), len(found.groups), len(found.models), len(found.studies))
    else:
        files = [
            file
            for path in paths
            for file in (sorted(path.rglob("*.yaml")) if path.is_dir() else [path])
        ]
        loaded = load_files(files)
        if loaded.problems:
            raise VlmbenchError(loaded.problems)
        counts = (
            len(loaded.tasks),
            len(loaded.groups),
            len(loaded.models),
            len(loaded.studies),
        )
    names = ("tasks", "groups", "models", "studies")
    summary = ", ".join(f"{count} {name}" for count, name in zip(counts, names, strict=True))
    say(f"valid: {summary}")


def init(what: str, name: str, folder: Path) -> None:
    """Write a starter YAML, or one derived from a checkpoint; never overwrite a file."""
    derived = what == "model" and is_checkpoint(name)
    stem = derive(name).model.spec.model if derived else name
    path = folder / f"{stem.replace('/', '--')}.yaml"
    if path.exists():
        raise VlmbenchError(
            Problem(
                file=str(path), message="this file already exists", remedy="Choose another name."
            )
        )
    folder.mkdir(parents=True, exist_ok=True)
    kind: Literal["task", "model"] = "task" if what == "task" else "model"
    text = derived_yaml(name, folder) if derived else starter(kind, name, folder)
    path.write_text(text, encoding="utf-8")
    say(f"wrote {path}\nnext: vlmbench validate {path}")
