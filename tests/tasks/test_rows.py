"""JSON and CSV files give what stands in them, whatever `datasets` would make of it."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import datasets
import pytest
from home import task_keys
from lm_eval.api.task import ConfigurableTask

from vlmbench.spec import TaskSpec, load_file
from vlmbench.tasks import load_documents, task_over
from vlmbench.tasks._data import open_split
from vlmbench.types import VlmbenchError

# Columns that one line of JSON or another would change, were they read by `datasets`.
COLUMNS: dict[str, list[Any]] = {
    "date": ["2024-01-05", "2024-02-06", "2024-03-07"],
    "time": ["2024-01-05T10:00:00Z", "2024-01-05T10:00:00Z", "2024-01-05T10:00:00Z"],
    "dates": [["2024-01-05"], ["2024-02-06"], []],
    "number": [1, 2.5, None],
    "points": [[[1, 2], [3.5, 4]], [[0, 0], [1, 1]], [[9, 8], [7, 6]]],
    "either": [3, "3", "null"],
    "truth": [True, 1, "true"],
    "large": [2**63 + 1, 2, -1],
    "keys": [{"x": 1}, {"y": "2024-01-05"}, {}],
    "order": [{"b": 1, "a": 2}, {"a": 2, "b": 1}, {"b": 0, "a": 0}],
    "digits": [0.12345678901234566, 1e22, 5e-324],
    "nothing": [None, None, None],
    "plain": ["a", "b", "c"],
    "whole": [1, 2, 3],
    "letters": [["A", "B"], ["A", "B"], ["A", "B"]],
}
ROWS = [{name: values[i] for name, values in COLUMNS.items()} for i in range(3)]
# What `datasets` 5.2 gives back otherwise than it stands.
CHANGED = {"date", "time", "dates", "number", "points", "either", "truth", "large"}


def write(folder: Path, text: str, form: str = "json", **options: Any) -> Path:
    """Write a file and a task over it, and return the task's file."""
    name = f"rows.{'csv' if form == 'csv' else 'jsonl'}"
    (folder / name).write_text(text, "utf-8")
    kwargs = {"data_files": {"test": name}, **options}
    keys = task_keys("t", dataset_path=form, dataset_kwargs=kwargs)
    (folder / "t.yaml").write_text(json.dumps(keys))
    return folder / "t.yaml"


def opened(path: Path) -> datasets.Dataset:
    return open_split(load_file(path), "reported", path.parent)


def lines(rows: list[dict[str, Any]]) -> str:
    return "\n".join(map(json.dumps, rows))


@pytest.mark.parametrize("text", [lines(ROWS), json.dumps(ROWS), "\ufeff" + lines(ROWS) + "\n\n"])
def test_json_stays_as_it_stands(tmp_path: Path, text: str) -> None:
    found = opened(write(tmp_path, text))
    assert repr(list(found)) == repr(ROWS)  # which tells 1 from 1.0 and from True
    assert repr(found[1]) == repr(ROWS[1])
    assert found.column_names == list(COLUMNS)
    for name, values in COLUMNS.items():
        assert repr(list(found[name])) == repr(values)


def test_what_datasets_makes_of_the_same(tmp_path: Path) -> None:
    """A control: were it to stop guessing, we would have nothing left to do."""
    write(tmp_path, lines(ROWS))
    files = {"test": str(tmp_path / "rows.jsonl")}
    theirs = datasets.load_dataset("json", data_files=files, split="test", cache_dir=str(tmp_path))
    changed = {n for n in COLUMNS if repr(list(theirs[n])) != repr(COLUMNS[n])}
    assert changed >= CHANGED


def test_further_columns_and_fewer_rows_leave_values_alone(tmp_path: Path) -> None:
    found = opened(write(tmp_path, lines(ROWS)))
    more = found.add_column("n", [0, 1, 2]).select_columns(["either", "n"]).select(range(1, 3))
    assert repr(list(more)) == "[{'either': '3', 'n': 1}, {'either': 'null', 'n': 2}]"


def test_lm_eval_renders_from_the_same_values(tmp_path: Path) -> None:
    """What `vlmbench lm-eval` hands to lm-eval is rendered from the values as they stand too."""
    text = "{{ date }} {{ number or '' }} {{ either }} {{ large }} {{ points }}"
    path = write(tmp_path, lines(ROWS))
    spec = load_file(path).spec
    assert isinstance(spec, TaskSpec)
    config = json.loads(path.read_text()) | {"doc_to_text": text, "doc_to_target": "{{ 0 }}"}
    inner: ConfigurableTask = task_over(config, opened(path))
    assert [inner.doc_to_text(row) for row in inner.test_docs()] == [
        "2024-01-05 1 3 9223372036854775809 [[1, 2], [3.5, 4]]",
        "2024-02-06 2.5 3 2 [[0, 0], [1, 1]]",
        "2024-03-07  null -1 [[9, 8], [7, 6]]",
    ]


def test_absent_keys_are_null_and_other_forms_are_read(tmp_path: Path) -> None:
    assert list(opened(write(tmp_path, '{"a": 1}\n{"b": "x"}'))) == [
        {"a": 1, "b": None}, {"a": None, "b": "x"},
    ]  # fmt: skip
    nested = json.dumps({"rows": ROWS, "about": "x"})
    assert repr(list(opened(write(tmp_path, nested, field="rows")))) == repr(ROWS)
    (value,) = opened(write(tmp_path, '{"a": NaN}'))["a"]
    assert math.isnan(value)  # is refused where it would be printed (tests/spec/test_template.py)


def test_several_and_compressed_files(tmp_path: Path) -> None:
    path = write(tmp_path, lines(ROWS))
    keys = json.loads(path.read_text())
    keys["dataset_kwargs"] = {"data_files": {"test": "part*.jsonl.gz"}}
    path.write_text(json.dumps(keys))
    for number, row in enumerate(ROWS):
        with gzip.open(tmp_path / f"part{number}.jsonl.gz", "wt") as file:
            file.write(json.dumps(row))
    assert repr(list(opened(path))) == repr(ROWS)
    with gzip.open(tmp_path / "part0.jsonl.gz", "wt") as file:
        file.write(json.dumps(ROWS[2]))
    assert repr(opened(path)[0]) == repr(ROWS[2])  # not what was unpacked before


CSV = '''\
id,word,version,sure,count,day,ratio,mixed,note
007,NA,1.10,True,1,2024-01-05,0.5,1," a, ""b"""
008,None,2,False,,2024-01-06,1.25,2.5,"two
lines"
'''


def test_csv_stays_as_it_stands(tmp_path: Path) -> None:
    assert repr(list(opened(write(tmp_path, CSV, "csv")))) == repr(
        [
            {"id": "007", "word": "NA", "version": "1.10", "sure": True, "count": 1,
             "day": "2024-01-05", "ratio": 0.5, "mixed": 1, "note": ' a, "b"'},
            {"id": "008", "word": "None", "version": "2", "sure": False, "count": None,
             "day": "2024-01-06", "ratio": 1.25, "mixed": 2.5, "note": "two\nlines"},
        ]
    )  # fmt: skip


def test_every_cell_is_printed_as_it_is_written(tmp_path: Path) -> None:
    cells = ["1", "-1", "0", "-0", "+1", "1e5", "1.0", "0x1", "1_000", "nan", "inf", " 1", "true",
             "True", "٣", "1.", ".5", "12345678901234567890123", "0.1", "00"]  # fmt: skip
    for first in cells:
        for second in ("1", "x", "2.5", ""):
            found = opened(write(tmp_path, f'a,b\n"{first}",k\n{second},k\n', "csv"))["a"]
            shown = ["" if value is None else str(value) for value in found]
            assert shown == [first, second]


def test_csv_options(tmp_path: Path) -> None:
    found = opened(write(tmp_path, "1;2\n3;4\n", "csv", sep=";", column_names=["p", "q"]))
    assert list(found) == [{"p": 1, "q": 2}, {"p": 3, "q": 4}]


@pytest.mark.parametrize(
    ("text", "form", "options", "says"),
    [
        ('{"a": 1}\n{"a": 1,}', "json", {}, r"rows\.jsonl:2:9: .*one object a line"),
        ('{"a": 1, "a": 2}', "json", {}, r"rows\.jsonl:1: the key 'a' stands twice"),
        ('{"a": 1}\n"x"', "json", {}, r"rows\.jsonl:2: a str stands where a row should"),
        ('{"rows": []}', "json", {"field": "row"}, "not an object with the key 'row'"),
        ('{"a": "\\ud800"}', "json", {}, r"rows\.jsonl: a: .*half of a character"),
        ("a,b\n1,2,3\n", "csv", {}, r"rows\.csv:2: it has 3 cells, and there are 2 columns"),
        ("a,a\n1,2\n", "csv", {}, r"rows\.csv:1: two columns have one name"),
        ('a,b\n1,"2\n', "csv", {}, r"rows\.csv: unexpected end of data"),
        ("", "json", {}, "split 'test' has no documents"),
        ("a,b\n", "csv", {}, "split 'test' has no documents"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(
    tmp_path: Path, text: str, form: str, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(VlmbenchError, match=f"(?s){says}"):
        opened(write(tmp_path, text, form, **options))


def test_options_that_a_folder_says_of_its_own_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    card = "---\nconfigs:\n- config_name: default\n  data_files: rows.csv\n  na_values: '1'\n---\n"
    (tmp_path / "README.md").write_text(card)
    keys = task_keys("t", dataset_path="./", test_split="train", dataset_kwargs=None)
    (tmp_path / "t.yaml").write_text(json.dumps(keys))
    with pytest.raises(VlmbenchError, match="'na_values' is not supported"):
        opened(tmp_path / "t.yaml")


def test_a_split_that_is_not_there(tmp_path: Path) -> None:
    path = write(tmp_path, lines(ROWS))
    path.write_text(path.read_text().replace('"test_split": "test"', '"test_split": "val"'))
    with pytest.raises(VlmbenchError, match=r"Unknown split 'val'. Should be one of \['test'\]"):
        load_documents(load_file(path), "reported", tmp_path)
