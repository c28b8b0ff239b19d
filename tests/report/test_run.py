"""Only a finished, well-formed run is believed."""

from __future__ import annotations

import pytest

from vlmbench.report import read_run
from vlmbench.types import VlmbenchError


def test_a_finished_run_is_read(run_folder):
    folder = run_folder()
    run = read_run(folder.write())
    assert [row.to_json() for row in run.rows] == [row.to_json() for row in folder.rows]
    assert run.manifest.tasks["depth"].chance == 0.5
    assert run.manifest.versions.metrics == 1


def test_a_missing_folder_and_a_missing_manifest_are_told_apart(tmp_path, run_folder):
    with pytest.raises(VlmbenchError, match="no such folder"):
        read_run(tmp_path / "nowhere")
    path = run_folder().write()
    (path / "manifest.json").unlink()
    with pytest.raises(VlmbenchError, match=r"no manifest\.json, which a run writes last"):
        read_run(path)


@pytest.mark.parametrize("complete", [False, None, "true", 1])
def test_an_unfinished_run_is_refused(run_folder, complete):
    folder = run_folder()
    folder.manifest["complete"] = complete
    with pytest.raises(VlmbenchError, match="the run did not end"):
        read_run(folder.write())
    del folder.manifest["complete"]
    with pytest.raises(VlmbenchError, match="the run did not end"):
        read_run(folder.write())


def test_missing_or_empty_statistics_are_refused(run_folder):
    path = run_folder().write()
    (path / "stats.json").write_text("[]")
    with pytest.raises(VlmbenchError, match="measured nothing"):
        read_run(path)
    (path / "stats.json").unlink()
    with pytest.raises(VlmbenchError, match="holds no statistics"):
        read_run(path)


def test_every_problem_of_a_manifest_is_told(run_folder):
    folder = run_folder()
    del folder.manifest["tasks"]["depth"]["digest"]
    folder.manifest["tasks"]["naming"]["chance"] = 2
    folder.manifest["models"]["tiny-a"]["relation"] = "cousin"
    with pytest.raises(VlmbenchError) as caught:
        read_run(folder.write())
    assert [problem.field for problem in caught.value.problems] == [
        "tasks.depth.digest",
        "tasks.naming.chance",
        "models.tiny-a.relation",
    ]


def test_broken_json_names_its_place(run_folder):
    path = run_folder().write()
    (path / "manifest.json").write_text('{\n "complete": tru')
    with pytest.raises(VlmbenchError, match=r"manifest\.json:2:14"):
        read_run(path)


def test_rows_must_belong_to_the_manifest_and_stand_once(run_folder):
    folder = run_folder()
    del folder.manifest["tasks"]["depth"]
    folder.manifest["models"]["tiny-b"] = folder.manifest["models"].pop("tiny-a")
    folder.rows.append(folder.rows[0])
    with pytest.raises(VlmbenchError) as caught:
        read_run(folder.write())
    text = str(caught.value)
    assert "'tiny-a' stands in no manifest" in text
    assert "'depth' stands in no manifest" in text
    assert "tiny-a/depth/own/prompted/accuracy stands there more than once" in text
