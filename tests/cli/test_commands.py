"""The small commands, called as a user calls them."""

from __future__ import annotations

import json
import sys

import pytest

from vlmbench.cli import main


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vlmbench", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        said = capsys.readouterr()
        return int(stopped.value.code or 0), said.out, said.err

    return run


@pytest.mark.parametrize("what", ["models", "tasks", "studies", "readouts", "backends"])
def test_ls_prints_a_list_of_named_objects(call, what):
    code, out, _ = call("ls", what, "--json")
    rows = json.loads(out)
    assert code == 0
    assert len(rows) >= 2
    assert all(row["name"] for row in rows)


def test_shipped_files_validate(call):
    code, out, _ = call("validate")
    assert code == 0
    assert out.startswith("valid: ")


def test_validate_prints_every_error_of_every_file(call, tmp_path):
    (tmp_path / "one.yaml").write_text("task: one\ndoc_to_texd: '<image>'\n")
    (tmp_path / "two.yaml").write_text("model: two\ncheckpoint: x\ndtype: float7\n")
    code, _, err = call("validate", tmp_path)
    assert code == 1
    assert "one.yaml:2:1" in err
    assert "doc_to_text" in err  # the nearest key
    assert "two.yaml:3" in err
    assert "float7" in err


@pytest.mark.parametrize("kind", ["task", "model"])
def test_init_writes_what_validates_and_never_overwrites(call, tmp_path, kind):
    assert call("init", kind, "mine", "--output", tmp_path)[0] == 0
    assert call("validate", tmp_path / "mine.yaml")[0] == 0
    code, _, err = call("init", kind, "mine", "--output", tmp_path)
    assert code == 1
    assert "exists" in err


def test_plan_counts_without_running(call):
    code, out, _ = call("plan", "-m", "tiny-clip", "-t", "depth,naming", "--limit", 10, "--json")
    rows = json.loads(out)
    assert code == 0
    assert [(r["task"], r["condition"], r["readout"]) for r in rows] == [
        (task, condition, readout)
        for task in ("depth", "naming")
        for condition, readout in (("own", "prompted"), ("blank", "prompted"), ("own", "encoder"))
    ]
    assert {r["documents"] for r in rows} == {10}


def test_unknown_names_are_met_with_the_nearest(call):
    code, _, err = call("run", "-m", "tiny-clip", "-t", "deptj")
    assert code == 1
    assert "deptj" in err
    assert "depth" in err


def test_an_empty_plan_says_why(call, tmp_path):
    (tmp_path / "m.yaml").write_text("model: bare\ncheckpoint: x\n")
    (tmp_path / "s.yaml").write_text("study: only\ncells: [{readout: encoder}]\n")
    code, _, err = call(
        "run", "-m", "bare", "-t", "depth", "--study", "only", "-i", tmp_path, "-o", tmp_path / "r"
    )
    assert code == 1
    assert "twin" in err
    assert not (tmp_path / "r").exists()


def test_show_renders_a_document_with_its_images(call, tmp_path):
    (tmp_path / "img").mkdir()
    from PIL import Image

    Image.new("RGB", (12, 8), (250, 0, 0)).save(tmp_path / "img" / "a.png")
    row = {"image": "img/a.png", "question": "Which?", "gold": 1}
    (tmp_path / "d.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "t.yaml").write_text(
        "task: shown\ndataset_path: json\ndataset_kwargs: {data_files: {test: d.jsonl}}\n"
        "test_split: test\noutput_type: multiple_choice\ndoc_to_text: '<image>{{ question }}'\n"
        "doc_to_image: [image]\ndoc_to_choice: [A, B]\ndoc_to_target: gold\n"
        "metadata: {vlmbench: {ability: x}}\n"
    )
    code, out, _ = call("show", tmp_path / "t.yaml", "--output", tmp_path / "out")
    assert code == 0
    assert "<image>Which?" in out
    assert "gold 'B'" in out
    (written,) = (tmp_path / "out").glob("*.png")
    with Image.open(written) as picture:
        assert picture.size == (12, 8)


def test_leaderboard_refuses_an_unfinished_run(call, tmp_path):
    (tmp_path / "run" / "records").mkdir(parents=True)
    code, _, err = call("leaderboard", tmp_path / "run", "--output", tmp_path / "board")
    assert code == 1
    assert "the run is not finished" in err
    assert not (tmp_path / "board").exists()
