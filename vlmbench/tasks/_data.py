"""Opening a task's data: procedural worlds, local files, or a hub data set."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmbench.spec import FORMATS, HUB_ID, Located, Role, TaskSpec, is_folder
from vlmbench.tasks import worlds
from vlmbench.tasks._allowed import check_addresses, check_card, confined, confined_tree, is_address
from vlmbench.tasks._lm_eval import lm_eval_rows
from vlmbench.tasks._published import open_published
from vlmbench.tasks.sources import (
    add_points,
    copy_revisions,
    external_places,
    hub_copy,
    hub_remedy,
    read_source,
)
from vlmbench.types import VlmbenchError

if TYPE_CHECKING:
    from datasets import Dataset


def split_name(spec: TaskSpec, role: Role) -> str | None:
    """Return the name of the split that has a role, or None if the task does not have one.

    As in lm-eval, the reported split is the test split, or the validation split of a task
    without one; then that split is no longer available for choosing hyperparameters.
    """
    match role:
        case "reported":
            return spec.test_split or spec.validation_split
        case "train":
            return spec.training_split
        case "validation":
            return spec.validation_split if spec.test_split else None


def open_split(
    task: Located[TaskSpec],
    role: Role,
    data_root: Path,
    limit: int | None = None,
    *,
    allow_network: bool = False,
) -> Dataset:
    """Return one split with its images as undecoded bytes, without columns of sound or video.

    Args:
        task: The task and its file.
        role: Which split.
        data_root: Folder for rendered data and for what was read from sources.
        limit: How many documents of a world to draw at most; other data is given whole.
        allow_network: Whether addresses that the task names are asked; a hub id always is.

    Raises:
        VlmbenchError: If the data or the split is missing, or the split is empty.
    """
    name = split_name(task.spec, role)
    if name is None:
        raise VlmbenchError(task.problem("task", f"the task has no {role} split"))
    for field, place in external_places(task.spec):
        confined_tree(task, place, field)
    generator = task.spec.bench.generator
    if generator is not None:
        split = _world_split(task, name)
        part = worlds.Part(generator=generator, split=split, first=limit)
        worlds.build_parts([part], root=data_root, processes=drawing_processes())
        dataset = worlds.load(generator, split, data_root, first=limit)
    elif task.spec.bench.reader is not None:
        dataset = _read(task, name, data_root)
    else:
        dataset = _load(task, name, allow_network)
    _check_count(task, role, name, len(dataset))
    if len(dataset) == 0:
        raise VlmbenchError(
            task.problem("dataset_path", f"split {name!r} has no documents", "Check the files.")
        )
    if task.spec.bench.lm_eval is not None:
        dataset = lm_eval_rows(task, dataset)
    try:
        dataset = _undecoded(dataset)
        return add_points(task, dataset, document_ids(task.spec, name, dataset))
    except VlmbenchError:
        raise
    except Exception as error:  # values that Python does not have, such as times of the year 99999
        message = f"split {name!r} cannot be read: {type(error).__name__}: {error}"
        raise VlmbenchError(task.problem("dataset_path", message)) from error


def _check_count(task: Located[TaskSpec], role: Role, name: str, count: int) -> None:
    """Refuse published data that has another number of documents than the task says it has."""
    source = task.spec.bench.source
    expected = None if source is None or role != "reported" else source.documents
    if expected not in (None, count):
        raise VlmbenchError(
            task.problem(
                "metadata.vlmbench.source.documents",
                f"split {name!r} has {count} documents here, and {expected} as published",
                "Download the data again. If other data is meant, say so in a task of your own: "
                "one that has this file under `include`, and its own number (or null) here.",
            )
        )


def draw_ahead(
    splits: Iterable[tuple[Located[TaskSpec], Role, int | None]],
    data_root: Path,
    start: Callable[[int], Callable[[int], None]],
) -> None:
    """Draw what is missing of many splits of worlds in one pool of processes.

    Args:
        splits: Task, role and limit, as `open_split` will be asked for them.
        data_root: Folder for rendered data.
        start: Called with how many documents are to be drawn; what it returns, as they come.
    """
    parts = []
    for task, role, limit in splits:
        generator, name = task.spec.bench.generator, split_name(task.spec, role)
        # What is wrong with one of them is said when that is opened.
        if generator is not None and name is not None:
            with suppress(VlmbenchError):
                split = _world_split(task, name)
                parts.append(worlds.Part(generator=generator, split=split, first=limit))
    with suppress(VlmbenchError):
        worlds.build_parts(parts, root=data_root, processes=drawing_processes(), start=start)


def _world_split(task: Located[TaskSpec], name: str) -> worlds.Split:
    for split in worlds.SPLITS:
        if split == name:
            return split
    raise VlmbenchError(
        task.problem("test_split", f"worlds have no split {name!r}", f"They have {worlds.SPLITS}.")
    )


def cores() -> int:
    """Return how many cores this process may use."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return found or 1


def drawing_processes() -> int:
    """Return with how many processes documents are drawn."""
    return min(cores(), 8)


def document_ids(spec: TaskSpec, split: str, dataset: Dataset) -> list[str]:
    """Return the documents' ids: those of `id_column`, else numbered within the split."""
    column = spec.bench.id_column
    if column is None or column not in dataset.column_names:
        return [f"{split}-{index}" for index in range(len(dataset))]
    return [str(value) for value in dataset[column]]


def _read(task: Located[TaskSpec], name: str, data_root: Path) -> Dataset:
    assert task.spec.bench.reader is not None, "called for tasks with a reader"
    try:
        return read_source(task.spec.bench.reader, name, cache=data_root)
    except VlmbenchError as error:
        raise _placed(task, "metadata.vlmbench.reader", error) from error


def _placed(task: Located[TaskSpec], field: str, error: VlmbenchError) -> VlmbenchError:
    """Return an error whose problems lie in a field of the task, where they name no file."""
    return VlmbenchError(
        problem
        if problem.file
        else task.problem(problem.field or field, problem.message, problem.remedy)
        for problem in error.problems
    )


def _load(task: Located[TaskSpec], name: str, allow_network: bool) -> Dataset:
    spec = task.spec
    if spec.dataset_path is None:
        raise VlmbenchError(
            task.problem(
                "task",
                "no data: neither `dataset_path` nor `metadata.vlmbench.generator`",
                "Give one of the two.",
            )
        )
    options = spec.dataset_kwargs
    for field in ("data_files", "data_dir"):
        given = getattr(options, field)
        check_addresses(task, given, f"dataset_kwargs.{field}", allow_network=allow_network)
    try:
        path = _place(task, spec.dataset_path)
        if Path(path).is_dir():
            check_card(task, Path(path), allow_network=allow_network)
        allowed = partial(_check_file, task, allow_network)
        return open_published(path, spec.dataset_name, name, resolved_kwargs(task), allowed)
    except StopIteration as error:  # what datasets makes of an empty file
        raise VlmbenchError(
            task.problem("dataset_path", f"split {name!r} has no documents", "Check the files.")
        ) from error
    except VlmbenchError as error:
        raise _placed(task, "dataset_path", error) from error
    except Exception as error:  # what reads a damaged file may raise anything
        reason = error.__cause__ or error
        said = str(reason) if isinstance(reason, OSError | ValueError) else repr(reason)
        raise VlmbenchError(
            task.problem(
                "dataset_path",
                f"cannot load split {name!r} of {spec.dataset_path!r}: {said}",
                _remedy(spec.dataset_path, options.revision),
            )
        ) from error


def _place(task: Located[TaskSpec], dataset_path: str) -> str:
    """Return a form or hub id as it is, and a folder of data as an absolute path."""
    if is_folder(dataset_path):
        return str(confined(task, task.folder / dataset_path, "dataset_path").absolute())
    copy = hub_copy(dataset_path)
    if copy is None:
        return dataset_path
    _check_revision(task, copy)
    return str(copy)


def _check_file(task: Located[TaskSpec], allow_network: bool, path: str) -> None:
    """Refuse a file, among those that `datasets` would read, that it may not."""
    field = "dataset_kwargs.data_files"
    if not is_address(path):
        confined(task, Path(path), field)
    elif not path.startswith("hf://") or task.spec.dataset_path in FORMATS:
        check_addresses(task, path, field, allow_network=allow_network)


def _check_revision(task: Located[TaskSpec], copy: Path) -> None:
    """Refuse a downloaded copy that is known to be of another revision than the task's."""
    revision, found = task.spec.dataset_kwargs.revision, copy_revisions(copy)
    if revision is not None and found and found != {revision}:
        raise VlmbenchError(
            task.problem(
                "dataset_kwargs.revision",
                f"the copy in {copy} is of revision {', '.join(sorted(found))}",
                f"Download the one that is asked for:\n    "
                f"{hub_remedy(str(task.spec.dataset_path), revision)}",
            )
        )


def _remedy(dataset_path: str, revision: str | None) -> str:
    """Return how to get data that did not load."""
    if HUB_ID.fullmatch(dataset_path):
        return (
            f"Without network (or with HF_HUB_OFFLINE set), download it first:\n    "
            f"{hub_remedy(dataset_path, revision)}"
        )
    return "Local files are looked up from the folder of the task's YAML."


def resolved_kwargs(task: Located[TaskSpec]) -> dict[str, Any]:
    """Return `dataset_kwargs`, paths of local files made absolute from the YAML's folder."""
    kwargs = task.spec.dataset_kwargs.model_dump(exclude_none=True, mode="json")
    folder = task.folder.absolute()
    if task.spec.dataset_path not in FORMATS:  # its files are named from its own top
        return kwargs
    if "data_dir" in kwargs:
        kwargs["data_dir"] = glob.escape(str(folder / kwargs["data_dir"]))
    if "data_files" in kwargs:
        kwargs["data_files"] = _absolute(kwargs["data_files"], folder)
    return kwargs


def _absolute(files: Any, folder: Path) -> Any:
    """Return paths of files as patterns; one that exists stands for itself."""
    match files:
        case str() if is_address(files):
            return files
        case str() if (folder / files).exists():
            return glob.escape(str(folder / files))
        case str():
            return files if Path(files).is_absolute() else f"{glob.escape(str(folder))}/{files}"
        case Mapping():
            return {split: _absolute(value, folder) for split, value in files.items()}
        case _:
            return [_absolute(value, folder) for value in files]


def image_folder(task: Located[TaskSpec], role: Role) -> Path:
    """Return the folder at which image paths in the data start: that of the data file."""
    files = task.spec.dataset_kwargs.data_files
    if isinstance(files, Mapping):
        files = files.get(str(split_name(task.spec, role)))
    if isinstance(files, str) and not is_address(files):
        return (task.folder / files).parent
    return task.folder


def _undecoded(dataset: Dataset) -> Dataset:
    """Return the data set with images as file bytes, without columns of other things to decode."""
    kept, features = [], dataset.features.copy()
    for column, feature in dataset.features.items():
        with suppress(TypeError):
            features[column] = _raw(feature)
            kept.append(column)
    for column in kept:
        if features[column] != dataset.features[column]:
            dataset = dataset.cast_column(column, features[column])
    return dataset if len(kept) == len(features) else dataset.select_columns(kept)


def _raw(feature: Any) -> Any:
    """Return the type of a column with nothing in it decoded; raises TypeError where it must be."""
    from datasets import Array2D, Array3D, ClassLabel, Image, LargeList, List, Value

    match feature:
        case Image():
            return replace(feature, decode=False)
        case List() | LargeList():
            return replace(feature, feature=_raw(feature.feature))
        case dict():
            return {name: _raw(inner) for name, inner in feature.items()}
        case Value() | ClassLabel() | Array2D() | Array3D():
            return feature
        case _:
            raise TypeError(feature)
