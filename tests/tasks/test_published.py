"""Which files a task's data comes from: those that are named, as they are now, and no others."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from home import task_keys
from PIL import Image

from vlmbench.spec import load_file
from vlmbench.tasks import load_documents
from vlmbench.types import VlmbenchError

# `datasets` leaves the metadata of a folder of images open.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

TASKS = Path(__file__).parents[2] / "tasks" / "hidden_in_plain_sight"


def picture(folder: Path, level: int) -> Path:
    path = folder / "a.png"
    Image.new("RGB", (8, 8), (level, 0, 0)).save(path)
    return path


def parquet(folder: Path, question: str, level: int) -> Path:
    image = {"bytes": picture(folder, level).read_bytes(), "path": None}
    rows = datasets.Dataset.from_list([{"question": question, "image": image, "answer": 0}])
    rows.cast_column("image", datasets.Image()).to_parquet(folder / "rows.parquet")
    return folder / "rows.parquet"


def fill(folder: Path, question: str, level: int) -> None:
    """Write one document in every form."""
    (folder / "pictures" / "test").mkdir(parents=True)
    parquet(folder, question, level)
    row = {"question": question, "image": "a.png", "answer": 0}
    (folder / "rows.jsonl").write_text(json.dumps(row))
    (folder / "rows.csv").write_text(f"question,image,answer\n{question},a.png,0\n")
    shutil.copy(folder / "a.png", folder / "pictures" / "test")
    (folder / "pictures" / "test" / "metadata.csv").write_text(
        f"file_name,question,answer\na.png,{question},0\n"
    )


def asked(folder: Path, path: str, **kwargs: Any) -> list[tuple[str, int]]:
    """Return the question and the red of each document's first pixel."""
    keys = task_keys("t", dataset_path=path, dataset_kwargs=kwargs)
    (folder / "t.yaml").write_text(json.dumps(keys))
    found = load_documents(load_file(folder / "t.yaml"), "reported", folder)
    return [
        (document.row["question"], document.images[0].decode().getpixel((0, 0))[0])
        for document in found
    ]


# Each beside a folder that its name would match as a pattern.
NAMES = [("run[1]", "run1"), ("q?x", "qax"), ("s*", "sab"), ("[!a]", "b")]
FORMS: dict[str, Callable[[Path], tuple[str, dict[str, Any]]]] = {
    "json": lambda _: ("json", {"data_files": {"test": "rows.jsonl"}}),
    "json pattern": lambda _: ("json", {"data_files": {"test": "*.jsonl"}}),
    "json list": lambda _: ("json", {"data_files": {"test": ["rows.jsonl"]}}),
    "json absolute": lambda at: ("json", {"data_files": {"test": str(at / "rows.jsonl")}}),
    "csv": lambda _: ("csv", {"data_files": {"test": "rows.csv"}}),
    "parquet": lambda _: ("parquet", {"data_files": {"test": "rows.parquet"}}),
    "imagefolder": lambda _: ("imagefolder", {"data_dir": "pictures"}),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("name", "other"), NAMES)
def test_a_folders_name_is_no_pattern(tmp_path: Path, name: str, other: str, form: str) -> None:
    for folder, level in ((name, 40), (other, 80)):
        fill(tmp_path / folder, f"in {folder}", level)
    for folder, level in ((name, 40), (other, 80)):
        path, kwargs = FORMS[form](tmp_path / folder)
        assert asked(tmp_path / folder, path, **kwargs) == [(f"in {folder}", level)]


def test_a_file_whose_name_is_a_pattern_is_meant_itself(tmp_path: Path) -> None:
    fill(tmp_path, "the other", 1)
    for name in ("rows[1].jsonl", "rows1.jsonl"):
        row = {"question": name, "image": "a.png", "answer": 0}
        (tmp_path / name).write_text(json.dumps(row))
    for name in ("rows[1].jsonl", "rows1.jsonl"):
        assert asked(tmp_path, "json", data_files={"test": name}) == [(name, 1)]


def test_a_folder_that_datasets_would_take_for_a_pattern_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "set[1]"
    (folder / "data").mkdir(parents=True)
    shutil.copy(parquet(tmp_path, "q", 1), folder / "data" / "test-0.parquet")
    with pytest.raises(VlmbenchError, match="Give the folder another name"):
        asked(tmp_path, str(folder))


@pytest.mark.parametrize("form", ["json", "csv", "parquet", "imagefolder"])
def test_a_file_that_changed_is_read_again_whatever_its_time(tmp_path: Path, form: str) -> None:
    fill(tmp_path, "before", 40)
    path, kwargs = FORMS[form](tmp_path)
    assert asked(tmp_path, path, **kwargs) == [("before", 40)]
    times = {file: file.stat() for file in tmp_path.rglob("*") if file.is_file()}
    shutil.rmtree(tmp_path / "pictures")
    fill(tmp_path, "behind", 80)  # as long as the word before
    for file, stat in times.items():
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert asked(tmp_path, path, **kwargs) == [("behind", 80)]


def test_metadata_of_a_folder_that_datasets_would_change_are_refused(tmp_path: Path) -> None:
    fill(tmp_path, "007", 40)
    with pytest.raises(VlmbenchError, match=r"metadata\.csv: question: .* '007' as it stands"):
        asked(tmp_path, "imagefolder", data_dir="pictures")
    metadata = tmp_path / "pictures" / "test" / "metadata.csv"
    metadata.rename(metadata.with_suffix(".jsonl")).write_text(
        json.dumps({"file_name": "a.png", "question": "2024-01-05", "answer": 0})
    )
    with pytest.raises(VlmbenchError, match=r"(?s)'2024-01-05' as it stands.*`dataset_path: json`"):
        asked(tmp_path, "imagefolder", data_dir="pictures")


# --- published data ------------------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A downloaded data set of two documents, as MOCHI publishes them."""
    folder = tmp_path / "tzler" / "MOCHI"
    (folder / "data").mkdir(parents=True)
    cells = [{"bytes": picture(tmp_path, level).read_bytes(), "path": None} for level in (1, 2, 3)]
    rows = [{"n_objects": 3, "oddity_index": i, "images": cells} for i in range(2)]
    features = datasets.Features(
        {
            "n_objects": datasets.Value("int64"), "oddity_index": datasets.Value("int64"),
            "images": datasets.List(datasets.Image()),
        }
    )  # fmt: skip
    data = datasets.Dataset.from_list(rows, features=features)
    data.to_parquet(folder / "data" / "train-00000-of-00001.parquet")
    monkeypatch.setenv("VLMBENCH_DATA", str(tmp_path))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    return folder


def variant(folder: Path, **keys: Any) -> Path:
    path = folder / "mine.yaml"
    path.write_text(json.dumps({"include": str(TASKS / "mochi.yaml"), "task": "mine", **keys}))
    return path


def counted(number: int | None) -> dict[str, Any]:
    return {"metadata": {"vlmbench": {"source": {"documents": number}}}}


def test_published_data_has_the_published_number_of_documents(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(VlmbenchError) as caught:
        load_documents(load_file(TASKS / "mochi.yaml"), "reported", tmp_path)
    (problem,) = caught.value.problems
    assert problem.field == "metadata.vlmbench.source.documents"
    assert problem.message == "split 'train' has 2 documents here, and 2019 as published"
    assert "under `include`" in problem.remedy
    for number in (2, None):
        task = load_file(variant(tmp_path, **counted(number)))
        assert len(load_documents(task, "reported", tmp_path)) == 2
    assert len(load_documents(task, "reported", tmp_path, limit=1)) == 1
    with pytest.raises(VlmbenchError, match="2 documents here, and 3 as published"):
        load_documents(load_file(variant(tmp_path, **counted(3))), "reported", tmp_path, limit=1)


def test_a_copy_of_another_revision_is_refused(copy: Path, tmp_path: Path) -> None:
    task = load_file(variant(tmp_path, dataset_kwargs={"revision": "b" * 40}, **counted(2)))
    found = load_documents(task, "reported", tmp_path)
    assert found.source == f"tzler/MOCHI@{'b' * 40}"
    notes = copy / ".cache" / "huggingface" / "download" / "data"
    notes.mkdir(parents=True)
    note = notes / "train-00000-of-00001.parquet.metadata"
    note.write_text(f"{'b' * 40}\netag\n1.0\n")
    assert len(load_documents(task, "reported", tmp_path)) == 2
    note.write_text(f"{'a' * 40}\netag\n1.0\n")
    with pytest.raises(VlmbenchError) as caught:
        load_documents(task, "reported", tmp_path)
    assert f"is of revision {'a' * 40}" in str(caught.value)
    assert f"hf download tzler/MOCHI --repo-type dataset --revision {'b' * 40}" in str(caught.value)


def test_every_task_on_the_hub_says_how_many_documents_there_are() -> None:
    specs = [load_file(path).spec for path in sorted(TASKS.glob("[!_]*.yaml"))]
    hub = [spec for spec in specs if getattr(spec, "dataset_path", None) is not None]
    assert len(hub) > 12
    pinned = ("BLINK-Benchmark/BLINK", "nyu-visionx/CV-Bench")
    for spec in hub:
        assert spec.bench.source.documents is not None, spec.task
        assert (spec.dataset_kwargs.revision is not None) == (spec.dataset_path in pinned), (
            spec.task
        )
