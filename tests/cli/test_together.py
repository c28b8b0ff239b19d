"""Every problem of a command in one go, whatever it is about."""

from __future__ import annotations

import pytest
from home import program
from home import vlmbench as run

import vlmbench
from vlmbench.cli._together import together
from vlmbench.types import Problem, VlmbenchError


def refused(*arguments: object) -> str:
    return run(*arguments, status=1).err


@pytest.mark.parametrize("command", ["run", "plan"])
def test_unknown_names_of_every_kind(command):
    said = refused(
        command, "-m", "tiny-clop,tiny-clip", "-t", "deptj", "--study", "gpa",
        "--conditions", "own",
    )  # fmt: skip
    for kind, name in (("model", "tiny-clop"), ("task", "deptj"), ("study", "gpa")):
        assert f"there is no {kind} `{name}`" in said
    assert said.endswith("3 errors\n")


def test_conditions_and_the_batch_size_too():
    said = refused(
        "run", "-m", "tiny-clop", "-t", "depth", "--conditions", "onw,blakn", "--batch-size", "0"
    )
    assert "tiny-clop" in said
    assert "onw" in said
    assert "blakn" in said
    assert "'0' is not a valid batch size" in said
    assert said.endswith("4 errors\n")


@pytest.mark.parametrize(
    ("options", "field"),
    [(("--shards", "3"), "--shards"), (("--executor", "ray", "--workers", "2"), "--workers")],
)
def test_options_of_another_executor(options, field):
    said = refused("run", "-m", "tiny-clip", "-t", "depth", *options)
    assert field in said
    assert said.endswith("1 error\n")


def test_bad_files_of_both_kinds(tmp_path):
    (tmp_path / "model.yaml").write_text("model: two\ncheckpoint: x\ndtype: float7\n")
    (tmp_path / "task.yaml").write_text("task: one\ndoc_to_texd: '<image>'\n")
    paths = ("-m", tmp_path / "model.yaml", "-t", tmp_path / "task.yaml")
    by_path = refused("plan", *paths)
    on_the_search_path = refused("plan", "-m", "two", "-t", "one", "-i", tmp_path)
    for said in (by_path, on_the_search_path):
        assert "model.yaml:3:8: dtype: 'float7'" in said
        assert "task.yaml:2:1: doc_to_texd: there is no key" in said


def fails(*messages: str):
    def step() -> int:
        raise VlmbenchError([Problem(message=message) for message in messages])

    return step


def test_all_steps_are_taken_and_a_problem_is_told_once():
    assert together(lambda: 1, lambda: "a", lambda: 2.0) == (1, "a", 2.0)
    taken: list[int] = []
    with pytest.raises(VlmbenchError) as caught:
        together(fails("a", "b"), fails("b", "c"), lambda: taken.append(1))
    assert [problem.message for problem in caught.value.problems] == ["a", "b", "c"]
    assert taken == [1]


def test_an_error_of_ours_is_not_swallowed():
    with pytest.raises(ZeroDivisionError):
        together(fails("a"), lambda: 1 // 0)


def test_python_m():
    said = program("python", "-m", "vlmbench", "--version")
    assert said == f"vlmbench {vlmbench.__version__}\n"
