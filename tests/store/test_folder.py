"""A run's folder is claimed for one plan, finished once, and believed only when it is whole."""

from __future__ import annotations

import json
from pathlib import Path

import handmade
import pytest

from vlmbench.metrics import StatRow
from vlmbench.store import Run, RunFolder
from vlmbench.types import VlmbenchError

MODEL = "some/model"


def row(metric: str = "accuracy", **changes) -> StatRow:
    cell = {"model": MODEL, "task": "depth", "condition": "own", "readout": "prompted"}
    return StatRow(
        **cell | changes, metric=metric, value=0.5, low=0.4, high=0.6, n=100, coverage=1.0
    )


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


@pytest.fixture
def run(folder: RunFolder) -> Run:
    """A finished run of one model on two tasks."""
    folder.claim("p")
    cells = [
        handmade.write(folder, handmade.basis(MODEL, task, label=label), handmade.scores())
        for task in ("depth", "naming")
        for label in ("own", "blank")
    ]
    return handmade.finish(folder, ["depth", "naming"], [MODEL], cells, [row(), row("gap")])


def edit(folder: RunFolder, *dropped: str, **changes) -> None:
    """Drop and change keys of the manifest."""
    file = folder.path / "manifest.json"
    data = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: data[key] for key in data.keys() - set(dropped)}))


def problems_of(folder: RunFolder):
    with pytest.raises(VlmbenchError) as caught:
        folder.read()
    return caught.value.problems


def test_a_finished_run_is_read_as_it_was_written(folder, run):
    back = folder.read()
    assert back == run
    assert back.manifest.versions.of("numpy") == "2"
    assert back.manifest.versions.of("torch") is back.manifest.versions.of("nothing") is None
    assert back.name == str(folder.path)


def test_files_have_their_places(folder, run):
    files = {str(path.relative_to(folder.path)) for path in folder.path.rglob("*.*")}
    assert files == {
        "manifest.json", "stats.json", "results.json", ".lock",
        *(f"records/some--model/{task}/prompted-{label}.parquet"
          for task in ("depth", "naming") for label in ("own", "blank")),
    }  # fmt: skip
    assert folder.answers(MODEL) == folder.path / "answers" / "some--model.jsonl"


def test_records_are_found_by_model_and_task(run):
    found = [record.require().basis for record in run.records(MODEL, "depth")]
    assert [(basis.task, basis.condition.label) for basis in found] == [
        ("depth", "blank"),
        ("depth", "own"),
    ]
    assert run.records("some", "model") == run.records(MODEL, "pointing") == ()


def test_a_record_in_the_place_of_another_is_refused(folder, run):
    of = folder.path / "records" / "some--model" / "depth"
    (of / "prompted-own.parquet").write_bytes((of / "prompted-blank.parquet").read_bytes())
    with pytest.raises(VlmbenchError, match="it is the record of some/model/depth/prompted-blank"):
        run.records(MODEL, "depth")


def test_the_manifest_comes_last(folder):
    folder.claim("p")
    about = handmade.manifest({}, {})
    with pytest.raises(ValueError, match="not JSON compliant"):
        folder.finish(about, [row()], {"accuracy": float("nan")})
    assert not (folder.path / "manifest.json").exists()
    with pytest.raises(VlmbenchError, match=r"no manifest\.json, which a run writes last"):
        folder.read()


def test_a_finished_run_stays_so_until_it_is_reopened_and_keeps_its_records(folder, run):
    with folder.claim("p"):
        assert folder.read() == run
        folder.reopen()
    assert not (folder.path / "manifest.json").exists()
    assert all(record.about() is not None for record in run.records(MODEL, "depth"))
    folder.claim("another")  # an unfinished run is anyone's


def test_two_runs_do_not_write_to_one_folder(folder):
    with folder.claim("p"):
        for plan in ("p", "another"):
            with pytest.raises(VlmbenchError, match="another run is writing to the folder"):
                RunFolder(folder.path).claim(plan)
    with folder.claim("p"):
        pass


def test_what_killed_writers_left_is_swept(folder, run):
    (record, *_) = run.records(MODEL, "depth")
    left = record.path.with_name(record.path.name + ".0f0f0f0f.partial")
    left.write_bytes(b"half a rec")
    folder.claim("p")
    assert not left.exists()


def test_a_request_comes_back_or_is_refused(folder):
    folder.claim("p")
    folder.ask({"models": "m"})
    assert folder.asked() == {"models": "m"}
    for text in ("{", "[]", "\x00"):
        (folder.path / "request.json").write_text(text)
        with pytest.raises(VlmbenchError, match="missing or damaged"):
            folder.asked()


def test_another_plans_run_is_not_touched(folder, run):
    before = (folder.path / "manifest.json").read_bytes()
    with pytest.raises(VlmbenchError, match="the run of another plan") as caught:
        folder.claim("another")
    assert "another folder" in caught.value.problems[0].remedy
    assert (folder.path / "manifest.json").read_bytes() == before


def test_what_is_not_a_run_is_not_claimed(folder):
    folder.path.mkdir()
    folder.claim("p")  # empty
    (folder.path / "records").rmdir()
    (folder.path / "thesis.tex").write_text("years of work")
    with pytest.raises(VlmbenchError, match="files that do not belong to a run"):
        folder.claim("p")
    assert not (folder.path / "records").exists()


@pytest.mark.parametrize("name", [".lock", "answers", "records/some--model", "request.json"])
def test_nothing_is_written_where_a_link_in_a_folder_leads(folder, tmp_path, name):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("precious")
    link = folder.path / name
    (folder.path / "records").mkdir(parents=True)
    link.symlink_to(elsewhere)
    with pytest.raises(VlmbenchError, match=f"{name} is a link, and would be written through"):
        folder.claim("p")
    assert elsewhere.read_text() == "precious"


def test_a_missing_folder_and_a_missing_manifest_are_told_apart(folder):
    with pytest.raises(VlmbenchError, match="no such folder"):
        folder.read()
    folder.claim("p")
    with pytest.raises(VlmbenchError, match="the run is not finished"):
        folder.read()


@pytest.mark.parametrize("complete", [False, None, "true", 1])
def test_an_unfinished_run_is_refused(folder, run, complete):
    edit(folder, complete=complete)
    assert "the run did not finish" in problems_of(folder)[0].message
    edit(folder, "complete")
    assert "the run did not finish" in problems_of(folder)[0].message


def test_a_run_from_before_formats_had_numbers_is_read_without_its_records(folder, run):
    edit(folder, "format", "cells")
    old = folder.read()
    assert old.rows == run.rows
    assert (old.manifest.tasks, old.manifest.models) == (run.manifest.tasks, run.manifest.models)
    with pytest.raises(VlmbenchError, match=r"written by vlmbench 0\.1\.0 in an earlier") as caught:
        old.records(MODEL, "depth")
    assert "Run the study again" in caught.value.problems[0].remedy
    folder.claim("p")  # and may be run again where it is


@pytest.mark.parametrize("written", [2, "1", -1])
def test_an_unknown_format_is_refused_with_a_way_out(folder, run, written):
    edit(folder, format=written)
    (problem,) = problems_of(folder)
    assert (problem.file, problem.field) == (str(folder.path / "manifest.json"), "format")
    assert f"format {written!r}, and this version of vlmbench reads 1" in problem.message
    assert "the version of vlmbench that wrote it" in problem.remedy
    with pytest.raises(VlmbenchError, match="has format"):
        folder.claim("p")
    assert (folder.path / "manifest.json").exists()


def test_missing_statistics_are_refused(folder, run):
    (folder.path / "stats.json").unlink()
    (problem,) = problems_of(folder)
    assert "no statistics" in problem.message


def test_every_problem_of_a_manifest_is_told(folder, run):
    tasks = json.loads((folder.path / "manifest.json").read_text())["tasks"]
    del tasks["depth"]["digest"]
    tasks["naming"]["chance"] = 2
    edit(folder, tasks=tasks, seed="none")
    assert [problem.field for problem in problems_of(folder)] == [
        "seed",
        "tasks.depth.digest",
        "tasks.naming.chance",
    ]


def test_broken_json_names_its_place(folder, run):
    (folder.path / "manifest.json").write_text('{\n "complete": tru')
    (problem,) = problems_of(folder)
    assert (problem.line, problem.column) == (2, 14)


def test_rows_must_belong_to_the_manifest_and_stand_once(folder):
    rows = [row(), row(), row(model="other"), row(task="naming")]
    handmade.finish(folder, ["depth"], [MODEL], rows=rows)
    assert [(problem.field, problem.message) for problem in problems_of(folder)] == [
        ("model", "'other' is not in the manifest"),
        ("task", "'naming' is not in the manifest"),
        ("", "row some/model/depth/own/prompted/accuracy is there more than once"),
    ]
