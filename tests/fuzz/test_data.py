"""Whatever a data file holds, its documents are read or refused in a few words, and alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from caches import kept_in
from drawn import counted
from guard import Outcome, guarded
from home import Home, noise
from nasty_rows import NASTY_TYPES, ROW, VALUES, as_json, as_parquet, files

from vlmbench.spec import load_file
from vlmbench.tasks import check_documents, load_documents

BENCH: dict[str, Any] = {
    "id_column": "id", "cluster_by": "group", "markers": "drawn",
    "regions": {"reference": {"kind": "point", "column": "reference"},
                "choices": {"kind": "point", "column": "points"}},
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = Home(tmp_path_factory.mktemp("data"))
    noise(0).save(home.folder / "a.png")
    for form in ("json", "csv", "parquet"):
        for name, bench in ((form, {}), (f"{form}-regions", BENCH)):
            options = {"data_files": {"test": f"rows.{form}"}}
            choices = "choices" if bench else ["A", "B"]
            home.task(name, [], dataset_path=form, dataset_kwargs=options, bench=bench,
                      doc_to_choice=choices)  # fmt: skip
    with kept_in(home.folder):
        yield home.folder


def read(form: str, data: bytes, folder: Path, task: str = "") -> Outcome:
    (folder / f"rows.{form}").write_bytes(data)

    def call() -> str:
        located = load_file(folder / f"{form}{task}.yaml")
        return check_documents(load_documents(located, "reported", folder))

    return guarded(call, folder=folder)


def test_all_values_at_once(folder: Path) -> None:
    """All but the one for which a file is refused as a whole."""
    odd = [ROW | {name: value} for value in VALUES if value != "\ud800" for name in ROW]
    outcome = read("json", b"\n".join(map(as_json, odd)), folder, "-regions")
    assert outcome.fault is None
    assert outcome.refused is not None
    assert "more documents like these" in outcome.refused


@pytest.mark.soak
@pytest.mark.parametrize("number", range(len(VALUES)))
def test_values_by_hand(number: int, folder: Path) -> None:
    """Each in every column at once: some are read, and none is a fault."""
    data = "\n".join(as_json(ROW | {name: VALUES[number]}).decode() for name in ROW).encode()
    assert read("json", data, folder, "-regions").fault is None


@pytest.mark.soak
@pytest.mark.parametrize("name", NASTY_TYPES)
@pytest.mark.parametrize("column", ["id", "question", "image", "points"])
def test_types_by_hand(name: str, column: str, folder: Path) -> None:
    assert read("parquet", as_parquet(ROW, (column, name)), folder, "-regions").fault is None


def sound(outcome: Outcome) -> None:
    assert outcome.fault is None


def fuzz(examples: int, folder: Path) -> Counter[str]:
    """Try so many files; return how many were accepted and refused."""

    def run(file: tuple[str, bytes]) -> Outcome:
        form, data = file
        return read(form, data, folder, "-regions" if len(data) % 2 else "")

    return counted(files(), examples, run, sound)


def test_a_few_files(folder: Path) -> None:
    assert set(fuzz(20, folder)) == {"accepted", "refused"}


@pytest.mark.soak
def test_many_files(folder: Path) -> None:
    counts = fuzz(600, folder)
    print(f"\n600 data files: {dict(counts)}")  # noqa: T201
    assert min(counts["accepted"], counts["refused"]) > 60
