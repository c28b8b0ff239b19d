"""Places, includes and refusals of the YAML reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lm_eval.tasks._yaml_loader import load_yaml as lm_eval_load_yaml

from vlmbench.spec import read_yaml
from vlmbench.types import Problem, VlmbenchError


def write(folder: Path, **files: str) -> Path:
    """Write `name=text` as name.yaml; return the first."""
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, "utf-8")
    return folder / f"{next(iter(files))}.yaml"


def problems_of(path: Path) -> tuple[Problem, ...]:
    with pytest.raises(VlmbenchError) as caught:
        read_yaml(path)
    return caught.value.problems


def place(problem: Problem) -> tuple[str, int | None, int | None]:
    return Path(problem.file).name, problem.line, problem.column


def test_every_value_knows_its_line_and_column(tmp_path: Path) -> None:
    text = "# comment\na: 1\nb:\n  - x\n  - {c: é, d: [7, 8]}\n"
    document = read_yaml(write(tmp_path, a=text))
    assert document.data == {"a": 1, "b": ["x", {"c": "é", "d": [7, 8]}]}
    for keys, of, line, column in [
        (("a",), "value", 2, 4),
        (("a",), "key", 2, 1),
        (("b", 0), "value", 4, 5),
        (("b", 1, "c"), "value", 5, 9),
        (("b", 1, "d"), "key", 5, 12),
        (("b", 1, "d", 1), "value", 5, 19),
    ]:
        mark = document.mark(keys, of=of)
        assert (mark.line, mark.column) == (line, column), keys


def test_what_is_missing_is_placed_at_the_nearest_key_above(tmp_path: Path) -> None:
    document = read_yaml(write(tmp_path, a="x: 1\nprobe:\n  kind: depth\n"))
    mark = document.mark(("probe", "depth_column"))
    assert (mark.line, mark.column) == (2, 1)
    assert document.mark(("absent",)).line == 1


def test_includes_keep_their_own_file_and_line(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        child="include: base.yaml\nmetadata:\n  vlmbench:\n    condition: {image: blank}\n",
        base="a: 1\nmetadata:\n  version: 2.0\n  vlmbench:\n    ability: depth\n",
    )
    document = read_yaml(path)
    assert document.data["metadata"] == {
        "version": 2.0,
        "vlmbench": {"ability": "depth", "condition": {"image": "blank"}},
    }
    inherited = document.mark(("metadata", "vlmbench", "ability"))
    own = document.mark(("metadata", "vlmbench", "condition", "image"))
    assert (Path(inherited.file).name, inherited.line, inherited.column) == ("base.yaml", 5, 14)
    assert (Path(own.file).name, own.line, own.column) == ("child.yaml", 4, 24)


def test_include_starts_at_the_including_file_and_nests(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "mid.yaml").write_text("include: ../base.yaml\nb: mid\nc: mid\n")
    path = write(tmp_path, top="include: sub/mid.yaml\nc: top\n", base="a: base\nb: base\n")
    assert read_yaml(path).data == {"a": "base", "b": "mid", "c": "top"}
    assert read_yaml(path).data == lm_eval_load_yaml(path)


_values = st.one_of(
    st.integers(-9, 9),
    st.booleans(),
    st.none(),
    st.text("ab 0", max_size=3),
    st.lists(st.integers(0, 3), max_size=2),
    st.dictionaries(st.sampled_from("pq"), st.integers(-(10**15), 10**15)),
)
_mappings = st.dictionaries(st.sampled_from(["a", "b", "c", "d", "on", "1"]), _values, max_size=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(top=_mappings, first=_mappings, second=_mappings, third=_mappings)
def test_merging_agrees_with_lm_eval_except_for_metadata(
    tmp_path: Path, top: Any, first: Any, second: Any, third: Any
) -> None:
    path = write(
        tmp_path,
        top=yaml.safe_dump({"include": ["first.yaml", "second.yaml"], **top}),
        first=yaml.safe_dump({"include": "third.yaml", **first}),
        second=yaml.safe_dump(second or {"a": 0}),
        third=yaml.safe_dump(third or {"a": 0}),
    )
    assert read_yaml(path).data == lm_eval_load_yaml(path)


def test_metadata_is_where_merging_departs_from_lm_eval(tmp_path: Path) -> None:
    path = write(tmp_path, top="include: base.yaml\nmetadata: {b: 2}\n", base="metadata: {a: 1}\n")
    assert lm_eval_load_yaml(path)["metadata"] == {"b": 2}
    assert read_yaml(path).data["metadata"] == {"a": 1, "b": 2}


def test_merge_keys_and_anchors_read_as_in_lm_eval(tmp_path: Path) -> None:
    text = "base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\nagain: *b\n"
    path = write(tmp_path, a=text)
    assert read_yaml(path).data == lm_eval_load_yaml(path)


@pytest.mark.parametrize(
    ("files", "where", "says"),
    [
        ({"a": "include: a.yaml\nx: 1\n"}, ("a.yaml", 1, 10), "includes itself"),
        ({"a": "x: 1\ninclude: b.yaml\n", "b": "y: 1\ninclude: a.yaml\n"},
         ("b.yaml", 2, 10), "a.yaml"),
        ({"a": "include: [b.yaml, c.yaml]\n", "b": "include: c.yaml\n", "c": "x: 1\n"},
         ("a.yaml", 1, 19), "already part"),
    ],
)  # fmt: skip
def test_a_file_included_twice_is_refused_as_in_lm_eval(
    tmp_path: Path, files: dict[str, str], where: tuple[str, int, int], says: str
) -> None:
    path = write(tmp_path, **files)
    with pytest.raises(ValueError, match="Include cycle"):
        lm_eval_load_yaml(path)
    (problem,) = problems_of(path)
    assert place(problem) == where
    assert problem.field == "include"
    assert says in problem.message


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, 1, "given twice, first in line 1"),
        ("a:\n  b: {c: 1, c: 2}\n", 2, 13, "given twice"),
        ("a: !function tools.f\n", 1, 4, "!function"),
        ("a:\n  - !!python/object/apply:os.system [ls]\n", 2, 5, "!!python/object/apply:os.system"),
        ("a: !mine {b: 1}\n", 1, 4, "!mine"),
        ("a: 2024-01-01\n", 1, 4, "timestamp"),
        ("a: !!int many\n", 1, 4, "`many`"),
        ("1: a\n", 1, 1, "the key 1 is not text"),
        ("a: 1\nno: a\n", 2, 1, "the key no is not text"),
        ("a: [1, 2\nb: 3\n", 2, 2, "not valid YAML"),
        ("a: b: c\n", 1, 5, "not valid YAML"),
        ("a: &x [1, *x]\n", 1, 4, "aliases"),
        ("", 1, 1, "is empty"),
        ("- a\n- b\n", 1, 1, "contains a list"),
        ("a: 1\n---\nb: 2\n", 2, 1, "not valid YAML"),
        ("a: 1\ninclude: gone.yaml\n", 2, 10, "there is no file"),
        ("a: 1\ninclude: [3]\n", 2, 11, "a path or a list of paths"),
    ],
)
def test_what_cannot_be_read_says_where(
    tmp_path: Path, text: str, line: int, column: int, says: str
) -> None:
    problem = problems_of(write(tmp_path, a=text))[0]
    assert place(problem) == ("a.yaml", line, column)
    assert says in problem.message


def test_code_is_refused_with_a_way_out_and_never_run(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text("raise SystemExit('this ran')\n")
    (problem,) = problems_of(write(tmp_path, a="x: {y: !function tools.f}\n"))
    assert problem.field == "x.y"
    assert "never run" in problem.message
    assert "Jinja" in problem.remedy


def test_all_mistakes_of_a_file_and_its_includes_are_reported(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        a="include: [b.yaml, gone.yaml]\nx: 1\nx: 2\ny: !f g\n",
        b="p: 1\np: 2\n",
    )
    assert {place(problem) for problem in problems_of(path)} == {
        ("a.yaml", 1, 19), ("a.yaml", 3, 1), ("a.yaml", 4, 4), ("b.yaml", 2, 1),
    }  # fmt: skip


def test_unreadable_files_are_problems(tmp_path: Path) -> None:
    assert "cannot be read" in problems_of(tmp_path / "gone.yaml")[0].message
    (tmp_path / "latin.yaml").write_bytes(b"a: \xff\xfe\xfa\n")
    assert "not valid YAML" in problems_of(tmp_path / "latin.yaml")[0].message


def test_alias_bombs_are_refused_quickly(tmp_path: Path) -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    problem = problems_of(write(tmp_path, a="\n".join(rows)))[0]
    assert "aliases" in problem.message
