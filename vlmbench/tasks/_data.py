"""Opening a task's data: procedural worlds, local files, or a hub data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vlmbench.spec import Located, TaskSpec
from vlmbench.types import VlmbenchError

if TYPE_CHECKING:
    from datasets import Dataset

Role = Literal["reported", "train", "validation"]


def split_name(spec: TaskSpec, role: Role) -> str | None:
    """Return the name of the split that plays a role, or None if the task has none.

    As in lm-eval the reported split is the test split, or the validation split of a task
    without one; then that split is no longer available for choosing hyperparameters.
    """
    match role:
        case "reported":
            return spec.test_split or spec.validation_split
        case "train":
            return spec.training_split
        case "validation":
            return spec.validation_split if spec.test_split else None


def open_split(task: Located[TaskSpec], role: Role, data_root: Path) -> Dataset:
    """Return one split with its images as undecoded bytes.

    Args:
        task: The task and the file it stands in.
        role: Which split.
        data_root: Where procedural data is kept.

    Raises:
        VlmbenchError: If the data or the split is not there, or the split is empty.
    """
    name = split_name(task.spec, role)
    if name is None:
        raise VlmbenchError(task.problem("task", f"the task has no {role} split"))
    generator = task.spec.bench.generator
    if generator is not None:
        from vlmbench.tasks import worlds

        worlds.build(generator, root=data_root)
        dataset = worlds.load(generator, name, root=data_root)
    else:
        dataset = _load(task, name)
    if len(dataset) == 0:
        raise VlmbenchError(
            task.problem("dataset_path", f"split {name!r} holds no documents", "Check the files.")
        )
    return _undecoded(dataset)


def _load(task: Located[TaskSpec], name: str) -> Dataset:
    import datasets

    spec = task.spec
    if spec.dataset_path is None:
        raise VlmbenchError(
            task.problem(
                "task",
                "no data: neither `dataset_path` nor `metadata.vlmbench.generator`",
                "Give one.",
            )
        )
    try:
        return datasets.load_dataset(
            spec.dataset_path, spec.dataset_name, split=name, **resolved_kwargs(task)
        )
    except StopIteration as error:  # what datasets makes of an empty JSON file
        raise VlmbenchError(
            task.problem("dataset_path", f"split {name!r} holds no documents", "Check the files.")
        ) from error
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = error.__cause__ or error
        raise VlmbenchError(
            task.problem(
                "dataset_path",
                f"cannot load split {name!r} of {spec.dataset_path!r}: {reason}",
                "Local files are looked up from the folder of the task's YAML; hub data must be "
                "downloaded or downloadable (HF_HUB_OFFLINE unset).",
            )
        ) from error


def resolved_kwargs(task: Located[TaskSpec]) -> dict[str, Any]:
    """Return `dataset_kwargs` with relative paths made absolute from the YAML's folder."""
    kwargs = dict(task.spec.dataset_kwargs)
    folder = task.folder
    if "data_dir" in kwargs:
        kwargs["data_dir"] = str(folder / kwargs["data_dir"])
    if "data_files" in kwargs:
        kwargs["data_files"] = _absolute(kwargs["data_files"], folder)
    return kwargs


def _absolute(files: Any, folder: Path) -> Any:
    match files:
        case str():
            return files if "://" in files else str(folder / files)
        case Mapping():
            return {split: _absolute(value, folder) for split, value in files.items()}
        case _:
            return [_absolute(value, folder) for value in files]


def image_folder(task: Located[TaskSpec], role: Role) -> Path:
    """Return the folder at which image paths in the data start: that of the data file."""
    files = resolved_kwargs(task).get("data_files")
    if isinstance(files, Mapping):
        files = files.get(split_name(task.spec, role))
    if isinstance(files, str) and "://" not in files:
        return Path(files).parent
    return task.folder


def _undecoded(dataset: Dataset) -> Dataset:
    """Return the data set with every image column giving file bytes instead of pixels."""
    from datasets import Features, Image, List

    features = dict(dataset.features)
    for column, feature in features.items():
        if isinstance(feature, Image):
            features[column] = Image(decode=False)
        elif isinstance(feature, List) and isinstance(feature.feature, Image):
            features[column] = List(Image(decode=False))
    return dataset.cast(Features(features))
