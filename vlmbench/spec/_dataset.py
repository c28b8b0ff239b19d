"""Where a task's data comes from, and how it is loaded: what YAML may say about it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from vlmbench.spec._base import Spec
from vlmbench.spec._nearest import did_you_mean

HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/\w[\w.-]{0,95}", re.ASCII)
"""The form of a hub id, ORGANISATION/NAME."""

FORMATS: Final = ("json", "csv", "parquet", "imagefolder")
"""Forms of data that are read. `datasets` knows more, some of which run code or connect."""

# Arguments of `load_dataset` that say how to load and not what, and lm-eval's leave to run code,
# of which there is none. They are read past.
_HOW = frozenset({"trust_remote_code", "keep_in_memory", "save_infos", "num_proc"})

Files = str | tuple[str, ...]
_Operator = Literal["=", "==", "!=", "<", ">", "<=", ">=", "in", "not in"]
_Scalar = bool | int | float | str
_Compared = _Scalar | tuple[_Scalar, ...]
_Character = Annotated[str, Field(min_length=1, max_length=1)]


class DatasetOptions(Spec):
    """What is loaded: files, and for JSON and CSV how they are written."""

    data_files: Files | dict[str, Files] | None = None
    """Files or patterns, by split if there are several."""
    data_dir: str | None = None
    """A folder of files."""
    revision: str | None = None
    """Commit, tag or branch of a hub data set."""
    field: str | None = None
    """Key of a JSON object under which the list of rows stands."""
    encoding: str | None = None
    """Of JSON and CSV, as Python names it; UTF-8 if absent."""
    encoding_errors: Literal["strict", "ignore", "replace", "backslashreplace"] | None = None
    """What becomes of bytes that the encoding does not have."""
    sep: _Character | None = None
    """What stands between the cells of a CSV file; a comma if absent."""
    delimiter: _Character | None = None
    """The same as `sep`."""
    quotechar: _Character | None = None
    """What cells of a CSV file are quoted with; `"` if absent."""
    column_names: tuple[str, ...] | None = None
    """Of a CSV file whose first line holds none."""
    filters: tuple[tuple[str, _Operator, _Compared], ...] | None = None
    """Which rows of Parquet files to take: column, comparison and value, all of which hold."""
    verification_mode: Literal["no_checks", "basic_checks", "all_checks"] | None = None
    """Whether counts and checksums in a hub data set's card are compared with its files."""

    @model_validator(mode="before")
    @classmethod
    def _without_how(cls, data: Any) -> Any:
        """Leave out what makes no difference to the data."""
        if not isinstance(data, dict):
            return data
        return {key: value for key, value in data.items() if key not in _HOW}

    @model_serializer(mode="wrap")
    def _as_written(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Give only what was written, so that a new option changes no task's digest."""
        return {key: value for key, value in whole(self).items() if key in self.model_fields_set}


def is_folder(dataset_path: str) -> bool:
    """Tell whether a `dataset_path` names a folder on this machine."""
    return dataset_path.startswith(("/", "."))


def unknown_form(dataset_path: str) -> tuple[str, str] | None:
    """Return why a `dataset_path` names nothing that is read, and the remedy; None if it does."""
    if dataset_path in FORMATS or is_folder(dataset_path) or HUB_ID.fullmatch(dataset_path):
        return None
    if ":" in dataset_path:
        message = "is an address, and data is loaded from a hub id, files or a folder"
        remedy = "Write ORGANISATION/NAME of a hub data set, or a form with `data_files`."
        return f"{dataset_path!r} {message}", remedy
    remedy = did_you_mean(dataset_path, FORMATS, what="Forms of files that are read")
    return (
        f"there is no form of data {dataset_path!r}",
        f"{remedy} A hub data set is written ORGANISATION/NAME, and a folder with a leading `./`.",
    )
