"""Local and published data through `datasets`, without its guesses and its memory of old files."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmbench.spec import FORMATS
from vlmbench.tasks._rows import is_gzip, rows_of
from vlmbench.types import Problem, VlmbenchError

if TYPE_CHECKING:
    from datasets import Dataset

# `cache` is a hub data set that was loaded before, without network.
_READ = frozenset({*FORMATS, "cache"})
_METADATA = {"metadata.csv", "metadata.jsonl"}


def open_published(
    path: str,
    name: str | None,
    split: str,
    kwargs: Mapping[str, Any],
    allowed: Callable[[str], object],
) -> Dataset:
    """Return one split of what `datasets` finds under a path or hub id.

    JSON and CSV files are read as they stand (see `rows_of`). Everything else is read by
    `datasets`, which keeps what it makes of files; here it keeps it by their content.

    Args:
        path: Hub id, name of a format, or local folder.
        name: Configuration, if it has several.
        split: Name of the split.
        kwargs: Further arguments of `datasets.load_dataset`, paths absolute.
        allowed: Called with every file that would be read; raises VlmbenchError for one that may
            not be.

    Raises:
        VlmbenchError: If the files of a format that is read here are at fault, the data has
            another format than those that are read, or a local file is an archive.
        OSError: If the data is not there.
        ValueError: If there is no such configuration or split, or the data is at fault.
        datasets.exceptions.DatasetsError: The same.
    """
    import datasets
    from datasets.packaged_modules.csv.csv import CsvConfig
    from datasets.packaged_modules.json.json import JsonConfig

    if Path(path).is_dir() and glob.escape(path) != path:
        message = f"`datasets` takes one of []?* in the name of a folder for a pattern: {path}"
        raise VlmbenchError(Problem(message=message, remedy="Give the folder another name."))
    what = {key: value for key, value in kwargs.items() if key != "verification_mode"}
    builder = datasets.load_dataset_builder(path, name, **what)
    _check_form(type(builder).__module__)
    files = dict(builder.config.data_files or {})
    as_they_stand = isinstance(builder.config, JsonConfig | CsvConfig)
    for file in (file for listed in files.values() for file in listed):
        allowed(file)
        if "://" not in file and not (as_they_stand and is_gzip(file)):
            _check_unpacked(file)
    if as_they_stand:
        return rows_of(_fetched(files, split), builder.config)
    dataset = datasets.load_dataset(path, name, split=split, cache_dir=_cache_of(files), **kwargs)
    _refuse_guesses(dataset, files.get(split, ()))
    return dataset


def _check_form(module: str) -> None:
    """Refuse data that another builder of `datasets` would read: some run code, or connect."""
    form = module.rpartition(".")[2]
    if form not in _READ:
        message = f"its files are of the form {form!r}, which is not read"
        raise VlmbenchError(Problem(message=message, remedy=f"Read are: {', '.join(FORMATS)}."))


def _check_unpacked(path: str) -> None:
    """Refuse a file here that `datasets` would unpack, whatever comes out of it and how much."""
    from datasets.utils.extract import Extractor

    form = Extractor.infer_extractor_format(path)
    if form:
        message = f"it is an archive ({form}), which is not unpacked"
        remedy = "Unpack it, and name the files. JSON and CSV may be compressed with gzip."
        raise VlmbenchError(Problem(file=path, message=message, remedy=remedy))


def _fetched(files: Mapping[str, Sequence[str]], split: str) -> list[str]:
    """Return a split's files on this machine."""
    import datasets

    if split not in files:
        raise ValueError(f"Unknown split {split!r}. Should be one of {[*map(str, files)]}.")
    return list(datasets.DownloadManager().download(list(files[split])))


def _cache_of(files: Mapping[str, Sequence[str]]) -> str | None:
    """Return where `datasets` keeps what it makes of local files: elsewhere once one changes.

    By itself it goes by names and times of change, and would give yesterday's documents for a
    file that was replaced by another with an old time.
    """
    import datasets

    local = sorted({path for paths in files.values() for path in paths if "://" not in path})
    if not local:
        return None
    digest = hashlib.sha256()
    for path in local:
        with Path(path).open("rb") as file:
            digest.update(path.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
    return str(Path(datasets.config.HF_DATASETS_CACHE) / f"vlmbench-{digest.hexdigest()[:16]}")


def _refuse_guesses(dataset: Dataset, files: Sequence[str]) -> None:
    """Refuse a folder of images whose metadata `datasets` gives otherwise than they stand.

    Raises:
        VlmbenchError: With the first value that it changed.
    """
    import datasets
    from datasets.packaged_modules.csv.csv import CsvConfig
    from datasets.packaged_modules.json.json import JsonConfig

    for path in (path for path in files if Path(path).name in _METADATA):
        config = CsvConfig() if path.endswith(".csv") else JsonConfig()
        written = rows_of([path], config)
        for column in set(written.column_names) & set(dataset.column_names):
            if isinstance(dataset.features[column], datasets.Image):
                continue
            given = {repr(value) for value in dataset[column]}
            changed = [value for value in written[column] if repr(value) not in given]
            if changed:
                raise VlmbenchError(
                    Problem(
                        file=path,
                        field=column,
                        message=f"`datasets` does not give {changed[0]!r} as it stands",
                        remedy=f"Use `dataset_path: {'csv' if path.endswith('.csv') else 'json'}` "
                        "with this file, and its column of file names in `doc_to_image`.",
                    )
                )
