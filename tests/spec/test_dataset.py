"""What `dataset_path` and `dataset_kwargs` may say, and what is answered to anything else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from home import task_keys

from vlmbench.spec import TaskSpec, load_file
from vlmbench.types import VlmbenchError


def said(folder: Path, **keys: Any) -> str:
    path = folder / "t.yaml"
    path.write_text(json.dumps(task_keys("t", **keys)))
    with pytest.raises(VlmbenchError) as caught:
        load_file(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("options", "field", "says"),
    [
        ({"data_fils": "a"}, "data_fils", "Did you mean `data_files`?"),
        ({"split": "test"}, "split", "It is `test_split` of the task"),
        ({"streaming": True}, "streaming", "Leave it out"),
        ({"name": "a"}, "name", "It is `dataset_name`"),
        ({"path": "a"}, "path", "It is `dataset_path`"),
        ({"cache_dir": "/tmp"}, "cache_dir", "Keys here: data_files"),
        ({"features": {"a": "int"}}, "features", "Keys here"),
        ({"storage_options": 3}, "storage_options", "Keys here"),
        ({"download_config": {}}, "download_config", "Keys here"),
        ({"converters": {"a": 1}}, "converters", "Keys here"),
        ({"data_files": 3}, "data_files", "3 must be text or a list or keys and values"),
        ({"data_files": {"test": None}}, "data_files", "must be text or a list"),
        ({"data_files": {"test": [["a"]]}}, "data_files", "must be text or a list"),
        ({"data_dir": 3}, "data_dir", "3 must be text"),
        ({"revision": 3}, "revision", "Put the number in quotes"),
        ({"field": 3}, "field", "3 must be text"),
        ({"encoding": 3}, "encoding", "3 must be text"),
        ({"encoding_errors": "nosuch"}, "encoding_errors", "Choices: strict, ignore"),
        ({"sep": "xx"}, "sep", "text of at most 1 characters"),
        ({"quotechar": ""}, "quotechar", "text of at least 1 characters"),
        ({"column_names": "ab"}, "column_names", "must be a list"),
        ({"column_names": [1, "a"]}, "column_names.0", "1 must be text"),
        ({"filters": [["a", "~", 1]]}, "filters.0.1", "must be"),
        ({"verification_mode": "x"}, "verification_mode", "Choices: no_checks"),
    ],
)
def test_options_are_named_with_what_would_have_been_right(
    tmp_path: Path, options: dict[str, Any], field: str, says: str
) -> None:
    found = said(tmp_path, dataset_kwargs=options)
    assert f"dataset_kwargs.{field}: " in found
    assert says in found
    assert len(found) < 1000


@pytest.mark.parametrize(
    "path", ["json", "a/b", "A-1/b.c_d", "./", "../x", "/data/x", "imagefolder"]
)
def test_forms_hub_ids_and_folders_are_known(tmp_path: Path, path: str) -> None:
    (tmp_path / "t.yaml").write_text(json.dumps(task_keys("t", dataset_path=path)))
    load_file(tmp_path / "t.yaml")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("pandas", "json, csv, parquet, imagefolder"),
        ("sql", "there is no form of data 'sql'"),
        ("webdataset", "ORGANISATION/NAME"),
        ("parqet", "Did you mean `parquet`?"),
        ("script.py", "there is no form of data"),
        ("", "there is no form of data ''"),
        ("~", "with a leading `./`"),
        ("a/b/c", "with a leading `./`"),
        ("a/..", "with a leading `./`"),
        ("org/na me", "ORGANISATION/NAME"),
        ("hf://datasets/a/b", "is an address"),
        ("https://example.org/a.parquet", "is an address"),
        ("a" * 300, "there is no form of data"),
    ],
)
def test_other_sources_are_refused_as_the_file_is_read(
    tmp_path: Path, path: str, says: str
) -> None:
    found = said(tmp_path, dataset_path=path)
    assert "dataset_path: " in found
    assert says in found


def test_only_what_is_written_is_part_of_a_task() -> None:
    """Else each new option would make records of all earlier runs those of another task."""
    written = {"data_files": {"test": ["a"]}, "filters": [["task", "==", "Depth"]]}
    spec = TaskSpec.model_validate(
        task_keys("t", dataset_kwargs=written | {"trust_remote_code": True, "num_proc": 2})
    )
    assert spec.model_dump(mode="json")["dataset_kwargs"] == written
