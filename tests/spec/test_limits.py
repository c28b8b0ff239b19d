"""Limits of what a spec may say, and what they leave alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from lm_eval.tasks._yaml_loader import load_yaml as lm_eval_load_yaml

from vlmbench.spec import load_files, read_yaml
from vlmbench.spec._limits import DEEPEST, LONGEST, MOST_FILES, MOST_VALUES
from vlmbench.types import VlmbenchError

SERVED = "model: m\nbackend: openai\ncheckpoint: c\nserver:\n  base_url: https://a.b\n"


def told(path: Path) -> str:
    with pytest.raises(VlmbenchError) as caught:
        read_yaml(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("timeout_s", "'inf'"), ("timeout_s", "'nan'"), ("timeout_s", ".inf"),
        ("timeout_s", "1e400"), ("retries", f"'{10**30}'"), ("retries", str(10**30)),
        ("retries", f"'{'9' * 4_000}'"),
        ("retries", "-1"), ("concurrency", "1.5e300"), ("budget_usd", "'1e300'"),
    ],
)  # fmt: skip
def test_numbers_without_sense_are_refused_as_numbers_and_as_text(
    tmp_path: Path, key: str, value: str
) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(f"{SERVED}  {key}: {value}\n")
    (problem,) = load_files([path]).problems
    assert problem.field == f"server.{key}"
    assert problem.line == 6


def test_numbers_with_sense_are_read(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(f"{SERVED}  timeout_s: '1e3'\n  retries: 1_000_000_000_000_000\n")
    (model,) = load_files([path]).models
    assert model.spec.server is not None
    assert (model.spec.server.timeout_s, model.spec.server.retries) == (1000.0, 10**15)


def test_what_is_just_within_the_limits_is_read_and_one_more_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    deep = "a: " + "[" * (DEEPEST - 1) + "]" * (DEEPEST - 1)
    for text, more in (
        (deep, deep.replace("[]", "[[]]")),
        ("a: [" + "1, " * (MOST_VALUES - 3) + "]", "a: [" + "1, " * MOST_VALUES + "]"),
        ("a: " + "x" * (LONGEST - 3), "a: " + "x" * LONGEST),
    ):
        path.write_text(text)
        assert read_yaml(path).data == yaml.safe_load(text)
        path.write_text(more)
        assert "at most" in told(path) or "too large" in told(path)


def test_included_files_count_together(tmp_path: Path) -> None:
    names = [f"{i}.yaml" for i in range(MOST_FILES + 1)]
    for name in names:
        (tmp_path / name).write_text(f"k{name[:-5]}: {'x' * 1000}\n")
    path = tmp_path / "top.yaml"
    path.write_text(yaml.safe_dump({"include": names[:-1]}))
    assert len(read_yaml(path).data) == MOST_FILES
    path.write_text(yaml.safe_dump({"include": names}))
    assert f"more than {MOST_FILES} files" in told(path)
    for name in names[:6]:
        (tmp_path / name).write_text(f"k: {'x' * 100_000}\n")
    path.write_text(yaml.safe_dump({"include": names[:6]}))
    assert "with all that it includes a file has at most 500,000" in told(path)


MERGES = [
    "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3, z: 4}\n",
    "a: &a {x: 1}\nb: &b {x: 2, y: 3}\nc: {<<: [*a, *b]}\nd: {<<: [*b, *a], y: 9}\n",
    "a: {<<: {x: 1, <<: {y: 2}}, z: 3}\n",
    "a: &a {x: {y: 1}}\nb: &b {<<: *a, z: 2}\nc: {<<: *b, x: 0}\n",
    "a: &a {<<: {x: 1}}\nb: [{<<: *a}, {<<: *a, x: 2}]\n",
]


@pytest.mark.parametrize("text", MERGES)
def test_merges_are_lm_evals(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    ours, theirs = read_yaml(path).data, lm_eval_load_yaml(path)
    assert ours == theirs
    assert repr(ours) == repr(theirs)  # in the same order too


def test_names_are_as_long_as_files_may_be_called(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(f"study: {'s' * 129}\ncells: [{{readout: prompted}}]\n")
    (problem,) = load_files([path]).problems
    assert "must be text of at most 128 characters" in problem.message
