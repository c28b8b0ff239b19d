"""The small commands, called as a user calls them."""

from __future__ import annotations

import json

import pytest
from home import ROOT, Home, vlmbench
from PIL import Image


@pytest.mark.parametrize("what", ["models", "tasks", "studies", "readouts", "backends"])
def test_ls_prints_a_list_of_named_objects(what):
    rows = json.loads(vlmbench("ls", what, "--json").out)
    assert len(rows) >= 2
    assert all(row["name"] for row in rows)


def test_shipped_files_validate():
    assert vlmbench("validate").out.startswith("valid: ")


def test_validate_prints_every_error_of_every_file(tmp_path):
    (tmp_path / "one.yaml").write_text("task: one\ndoc_to_texd: '<image>'\n")
    (tmp_path / "two.yaml").write_text("model: two\ncheckpoint: x\ndtype: float7\n")
    err = vlmbench("validate", tmp_path, status=1).err
    assert "one.yaml:2:1" in err
    assert "doc_to_text" in err  # the nearest key
    assert "two.yaml:3" in err
    assert "float7" in err


@pytest.mark.parametrize("kind", ["task", "model"])
def test_init_writes_what_validates_and_never_overwrites(tmp_path, kind):
    vlmbench("init", kind, "mine", "--output", tmp_path)
    vlmbench("validate", tmp_path / "mine.yaml")
    before = (tmp_path / "mine.yaml").read_bytes()
    assert ("this file already exists") in vlmbench(
        "init", kind, "mine", "--output", tmp_path, status=1
    ).err
    assert (tmp_path / "mine.yaml").read_bytes() == before


def test_plan_counts_without_running():
    said = vlmbench("plan", "-m", "tiny-clip", "-t", "depth,naming", "--limit", 10, "--json")
    rows = json.loads(said.out)
    assert [(r["task"], r["condition"], r["readout"]) for r in rows] == [
        (task, condition, readout)
        for task in ("depth", "naming")
        for condition, readout in (("own", "prompted"), ("blank", "prompted"), ("own", "encoder"))
    ]
    assert {r["documents"] for r in rows} == {10}


def test_unknown_names_are_met_with_the_nearest():
    err = vlmbench("run", "-m", "tiny-clip", "-t", "deptj", status=1).err
    assert "`deptj`" in err
    assert "Did you mean `depth`?" in err


def test_an_empty_plan_says_why(tmp_path):
    home = Home(tmp_path)
    home.model("bare", "x")
    home.study("only", {"readout": "encoder"})
    said = vlmbench(
        "run", "-m", "bare", "-t", "depth", "--study", "only", "-i", tmp_path,
        "-o", tmp_path / "r", status=1,
    )  # fmt: skip
    assert "has no twin" in said.err
    assert not (tmp_path / "r").exists()


def test_show_renders_a_document_with_its_images(tmp_path):
    home = Home(tmp_path)
    home.image("a.png", Image.new("RGB", (12, 8), (250, 0, 0)))
    path = home.task("shown", [{"image": "a.png", "question": "Which?", "answer": 1}])
    out = vlmbench("show", path, "--output", tmp_path / "out").out
    assert "<image>Which?" in out
    assert "gold 'B'" in out
    (written,) = (tmp_path / "out").glob("*.png")
    with Image.open(written) as picture:
        assert picture.size == (12, 8)


def test_show_prints_the_tokens_that_are_scored_for_a_choice():
    for name in ("tiny-clip", ROOT / "models" / "tiny-clip"):
        out = vlmbench("show", name).out
        assert r"a prompt ends in 'USER: Which?\nASSISTANT:'" in out
        assert [line.split() for line in out.splitlines() if line.startswith("(A)")] == [
            ["(A)", "'('", "'A'", "')'"]
        ]


def test_show_says_why_it_shows_no_tokens(tmp_path):
    Home(tmp_path).model("absent", "owner/nothing-of-that-name")
    said = vlmbench("show", "absent", "--include-path", tmp_path)
    assert "answer tokens cannot be shown" in said.words


def test_leaderboard_refuses_an_unfinished_run(tmp_path):
    (tmp_path / "run" / "records").mkdir(parents=True)
    said = vlmbench("leaderboard", tmp_path / "run", "--output", tmp_path / "board", status=1)
    assert "the run is not finished" in said.words
    assert not (tmp_path / "board").exists()


def test_retry_says_what_it_needs(tmp_path):
    said = vlmbench("retry", tmp_path, status=1)
    assert f"{tmp_path}/request.json: what the run was asked for is missing" in said.words
    gone = {"folder": str(tmp_path / "gone"), "request": {}, "options": {}}
    (tmp_path / "request.json").write_text(json.dumps(gone))
    assert (
        "the command of the run cannot be repeated" in vlmbench("retry", tmp_path, status=1).words
    )


@pytest.mark.parametrize(
    ("field", "kept", "option"),
    [
        (("options", "ray_address"), "ray://evil.invalid:10001", "--ray-address"),
        (("request", "data_root"), "/tmp/elsewhere", "--data-root"),
    ],
)
def test_retry_does_not_take_from_a_folder_where_to_write_or_connect(tmp_path, field, kept, option):
    asked = {
        "folder": ".",
        "request": {
            "models": "none", "tasks": "none", "study": "gap", "limit": None, "seed": 0,
            "include_paths": [], "data_root": None,
        },
        "options": {},
    }  # fmt: skip
    asked[field[0]][field[1]] = kept
    (tmp_path / "request.json").write_text(json.dumps(asked))
    said = vlmbench("retry", tmp_path, status=1).words
    assert f"the run was started with `{option} {kept}`, which its folder cannot decide" in said
    said = vlmbench("retry", tmp_path, option, tmp_path / "mine", status=1).words
    assert "which its folder cannot decide" not in said
