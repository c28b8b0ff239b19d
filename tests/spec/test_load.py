"""Files become specs; every mistake says file, line, column, value, choices and remedy."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from lm_eval.config.group import GroupConfig
from lm_eval.config.task import TaskConfig

from vlmbench.spec import (
    GroupSpec,
    ModelSpec,
    StudySpec,
    TaskSpec,
    check_columns,
    load_file,
    load_files,
)
from vlmbench.types import Problem, VlmbenchError

TASK = """\
task: depth
tag: [worlds]
dataset_path: json
dataset_kwargs: {data_files: {test: d.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "<image>{{ question }}"
doc_to_image: [image]
doc_to_choice: [A, B]
doc_to_target: gold
metadata:
  vlmbench:
    ability: depth
"""
BLIND = """\
include: depth.yaml
task: depth_blind
tag: [blind]
metadata: {vlmbench: {condition: {image: blank}}}
"""
MODEL = "model: tiny\ncheckpoint: owner/tiny\n"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text, "utf-8")
    return path


def problems_of(path: Path) -> list[Problem]:
    with pytest.raises(VlmbenchError) as caught:
        load_file(path)
    return list(caught.value.problems)


def test_a_blind_variant_is_three_lines(tmp_path: Path) -> None:
    write(tmp_path, "depth", TASK)
    blind = load_file(write(tmp_path, "blind", BLIND))
    assert isinstance(blind.spec, TaskSpec)
    assert (blind.spec.task, blind.spec.tags) == ("depth_blind", ("blind",))
    assert blind.spec.bench.ability == "depth"
    assert blind.spec.bench.condition.label == "blank"
    assert blind.raw["doc_to_choice"] == ["A", "B"]
    assert "include" not in blind.raw


def test_the_identifying_key_tells_the_kind(tmp_path: Path) -> None:
    files = {
        "task": TASK,
        "group": "group: worlds\ntask: [depth]\n",
        "model": MODEL,
        "study": "study: gap\ncells: [{readout: prompted}]\n",
    }
    loaded = load_files([write(tmp_path, name, text) for name, text in files.items()])
    assert loaded.problems == ()
    kinds = [type(located.spec) for located in loaded.specs]
    assert kinds == [TaskSpec, GroupSpec, ModelSpec, StudySpec]


def test_the_digest_follows_meaning_not_form(tmp_path: Path) -> None:
    first = load_file(write(tmp_path, "a", TASK))
    reordered = "# moved\n" + "\n".join([*TASK.splitlines()[1:], "task: depth"]) + "\n"
    assert load_file(write(tmp_path, "b", reordered)).digest == first.digest
    changed = TASK.replace("[A, B]", "[B, A]")
    assert load_file(write(tmp_path, "c", changed)).digest != first.digest
    write(tmp_path, "depth", TASK)
    spelt_out = TASK.replace("task: depth", "task: depth_blind").replace("[worlds]", "[blind]")
    spelt_out += "    condition: {image: blank}\n"
    blind = load_file(write(tmp_path, "blind", BLIND))
    assert load_file(write(tmp_path, "d", spelt_out)).digest == blind.digest


@pytest.mark.parametrize(
    ("old", "new", "line", "column", "field", "says", "remedy"),
    [
        ("tag:", "tga:", 2, 1, "tga", "no key `tga`", "Did you mean `tag`?"),
        ("task: depth", "task: two words", 1, 7, "task", "'two words'", ""),
        ("[worlds]", "[yes]", 2, 7, "tag.0", "true must be text", "quotes"),
        ("[worlds]", "7", 2, 6, "tag", "7 must be text or a list", "quotes"),
        ("[A, B]", "[1, 2]", 9, 17, "doc_to_choice.0", "1 must be text", "quotes"),
        ("[A, B]", "7", 9, 16, "doc_to_choice", "7 must be text or a list", ""),
        ("[A, B]", "{A: B}", 9, 16, "doc_to_choice", "nothing to choose", ""),
        ("gold", "yes", 10, 16, "doc_to_target", "true must be text or a whole number", "quotes"),
        ("gold", "[1]", 10, 16, "doc_to_target", "[1] must be text or", ""),
        ("multiple_choice", "multi_choice", 6, 14, "output_type", "'multi_choice'",
         "Did you mean `multiple_choice`? Choices: multiple_choice, generate_until"),
        ("{data_files: {test: d.jsonl}}", "d.jsonl", 4, 17, "dataset_kwargs",
         "'d.jsonl' must be keys and values", ""),
        ("doc_to_image: [image]\n", "", 1, 1, "doc_to_image", "is missing", "Column with"),
        ("ability: depth", "abilty: depth", 13, 5, "metadata.vlmbench.abilty", "no key",
         "Did you mean `ability`?"),
        ("test_split: test", "process_docs: x", 5, 1, "process_docs", "not supported", "runs code"),
        ("test_split: test", "gen_prefix: A", 5, 1, "gen_prefix", "not supported", "doc_to_text"),
        ("[A, B]", "!function utils.choices", 9, 16, "doc_to_choice", "never run", "as another"),
        ("test_split: test", "probe: x", 5, 1, "probe", "no key", "belongs under `metadata"),
        ("test_split: test", "fewshot_config: 3", 5, 17, "fewshot_config", "keys and values", ""),
        ("test_split: test", "num_fewshot: 5", 5, 14, "num_fewshot", "5 must be 0", "no examples"),
        ("test_split: test", "repeats: 3", 5, 10, "repeats", "3 must be 1", ""),
        ("ability: depth", "ability: x\n    probe: {kind: dpth}", 14, 19,
         "metadata.vlmbench.probe.kind", "no kind `dpth`", "Did you mean `depth`? Choices: keyp"),
        ("ability: depth", "ability: x\n    probe: {}", 14, 5, "metadata.vlmbench.probe.kind",
         "`kind` is missing", "Choices: keypoint, depth, gram"),
        ("ability: depth", "ability: x\n    probe: depth", 14, 12, "metadata.vlmbench.probe",
         "'depth' must be", ""),
        ("ability: depth", "ability: x\n    probe: {kind: depth}", 14, 5,
         "metadata.vlmbench.probe.depth_column", "is missing", "Column of the training"),
        ("ability: depth", "ability: x\n    probe: {kind: depth, depth_colum: d}", 14, 26,
         "metadata.vlmbench.probe.depth_colum", "no key", "Did you mean `depth_column`?"),
        ("ability: depth", "ability: x\n    regions: {choices: {images: [], kind: image, image: }}",
         14, 50, "metadata.vlmbench.regions.choices.image", "no key", "Did you mean `images`?"),
        ("ability: depth", "ability: x\n    regions: {choices: {kind: box, column: c, image: -1}}",
         14, 54, "metadata.vlmbench.regions.choices.image", "-1 must be at least 0", "from 0"),
        ("ability: depth", "ability: x\n    generator: {world: w, test: 0}", 14, 33,
         "metadata.vlmbench.generator.test", "0 must be at least 1", ""),
        ("ability: depth", "ability: x\n    generator: {world: w, test: 1.5}", 14, 33,
         "metadata.vlmbench.generator.test", "1.5 must be a whole number", ""),
        ("ability: depth", "ability: x\n    condition: {image: balnk}", 14, 24,
         "metadata.vlmbench.condition.image", "no image `balnk`", "Did you mean `blank`?"),
        ("ability: depth", "ability: x\n    markers: dran", 14, 14, "metadata.vlmbench.markers",
         "no markers `dran`", "Did you mean `drawn`? Choices: draw, drawn, text."),
        ("ability: depth", "ability: x\n    markers: {shape: star}", 14, 22,
         "metadata.vlmbench.markers.shape", "'star' must be", "Choices: ring, disc, square"),
        ("ability: depth", "ability: x\n    markers: {colr: [0, 0, 0]}", 14, 15,
         "metadata.vlmbench.markers.colr", "no key `colr`", "Did you mean `colour`?"),
        ("ability: depth", "ability: x\n    markers: {kind: drawn, radius: 4}", 14, 28,
         "metadata.vlmbench.markers.radius", "no key `radius`", "Keys here: kind"),
        ("test_split: test", "generation_kwargs: {temperature: 0.7}", 5, 34,
         "generation_kwargs.temperature", "0.7 must be at most 0", "leave it out"),
        ("test_split: test", "filter_list: [{name: x, filter: []}]", 5, 33,
         "filter_list.0.filter", "must be a list of at least 1", ""),
    ],
)  # fmt: skip
def test_every_kind_of_mistake_has_its_place(
    tmp_path: Path, old: str, new: str, line: int, column: int, field: str, says: str, remedy: str
) -> None:
    assert old in TASK
    path = write(tmp_path, "t", TASK.replace(old, new, 1))
    found = {problem.field: problem for problem in problems_of(path)}
    assert field in found, list(found)
    problem = found[field]
    assert (problem.file, problem.line, problem.column) == (str(path), line, column)
    assert says in problem.message
    assert remedy in problem.remedy


KEYS = [line.partition(":")[0] for line in TASK.splitlines() if not line.startswith(" ")]


@pytest.mark.parametrize("key", [key for key in KEYS if key != "task"])
def test_a_typo_in_any_key_is_found_at_that_key_and_mended(tmp_path: Path, key: str) -> None:
    typo = key[:-2] + key[-1] + key[-2]
    lines = TASK.splitlines()
    line = next(i for i, text in enumerate(lines) if text.startswith(f"{key}:"))
    lines[line] = lines[line].replace(key, typo, 1)
    problems = problems_of(write(tmp_path, "t", "\n".join(lines)))
    (problem,) = [problem for problem in problems if problem.field == typo]
    assert (problem.line, problem.column) == (line + 1, 1)
    assert problem.remedy.startswith(f"Did you mean `{key}`?")


def test_every_key_of_a_task_or_group_is_one_of_lm_eval() -> None:
    theirs = {field.name for field in fields(TaskConfig)} | {"include"}
    assert set(TaskSpec.model_fields) <= theirs
    theirs = {field.name for field in fields(GroupConfig)} | {"include", "tag"}
    assert set(GroupSpec.model_fields) <= theirs


def test_one_mistake_makes_one_problem(tmp_path: Path) -> None:
    """Branches of unions must not each complain."""
    for old, new in [("[worlds]", "7"), ("gold", "[1]"), ("[A, B]", "7"), ("[image]", "3")]:
        assert len(problems_of(write(tmp_path, "t", TASK.replace(old, new)))) == 1, new


def test_mistakes_in_models_and_studies_are_placed_too(tmp_path: Path) -> None:
    model = MODEL + "twin:\n  layr: -2\n  relation: identicl\nimage: {fill: [1, 2]}\n"
    problems = problems_of(write(tmp_path, "m", model))
    assert [(p.line, p.column, p.field) for p in problems] == [
        (3, 1, "twin.layer"),
        (4, 3, "twin.layr"),
        (5, 13, "twin.relation"),
        (6, 9, "image.fill.2"),
    ]
    study = "study: s\ncells:\n  - readout: prompted\n    condition: {imag: own}\n"
    (problem,) = problems_of(write(tmp_path, "s", study))
    assert (problem.line, problem.column) == (4, 17)
    assert problem.field == "cells.0.condition.imag"
    assert "Did you mean `image`?" in problem.remedy


def test_all_problems_of_all_files_come_in_one_go(tmp_path: Path) -> None:
    paths = [
        write(tmp_path, "a", TASK.replace("tag:", "tga:").replace("gold", "[1]")),
        write(tmp_path, "b", "task: b\ntask: c\n"),
        write(tmp_path, "c", MODEL.replace("checkpoint", "chekpoint")),
        write(tmp_path, "d", TASK),
        tmp_path / "gone.yaml",
    ]
    loaded = load_files(paths)
    assert [located.spec.task for located in loaded.tasks] == ["depth"]
    assert [(Path(p.file).name, p.line) for p in loaded.problems] == [
        ("a.yaml", 2), ("a.yaml", 10), ("b.yaml", 2), ("c.yaml", 2), ("gone.yaml", None),
    ]  # fmt: skip


def test_a_mistake_in_an_included_file_names_that_file_once(tmp_path: Path) -> None:
    base = write(tmp_path, "depth", TASK.replace("[A, B]", "[yes, B]"))
    loaded = load_files([base, write(tmp_path, "blind", BLIND)])
    (problem,) = loaded.problems
    assert (problem.file, problem.line, problem.column) == (str(base), 9, 17)


def test_fragments_are_skipped_and_misspelt_kinds_are_not(tmp_path: Path) -> None:
    fragment = TASK.replace("task: depth\n", "")
    paths = [
        write(tmp_path, "_base", fragment),
        write(tmp_path, "shared", fragment),
        write(tmp_path, "user", "include: shared.yaml\ntask: user\n"),
        write(tmp_path, "compose", "services: {web: {image: nginx}}\n"),
    ]
    loaded = load_files(paths)
    assert loaded.problems == ()
    assert {path.stem for path in loaded.fragments} == {"_base", "shared", "compose"}
    misspelt = write(tmp_path, "typo", TASK.replace("task:", "taks:"))
    lonely = write(tmp_path, "lonely", fragment)
    first, second = load_files([misspelt, lonely]).problems
    assert (first.line, first.field, first.remedy) == (1, "taks", "Did you mean `task`?")
    assert (second.file, second.line) == (str(lonely), 1)
    assert "none of the keys" in problems_of(tmp_path / "_base.yaml")[0].message


def test_two_kinds_in_one_file_are_refused(tmp_path: Path) -> None:
    (problem,) = problems_of(write(tmp_path, "x", TASK + MODEL))
    assert (problem.line, problem.column, problem.field) == (1, 1, "task")


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ('"<image>{{ question"', 7, 14, "not valid Jinja"),
        ('"<image>{{ question | regexreplace }}"', 7, 14, "did you mean `regex_replace`?"),
        ("\"<image>{% include 'x' %}\"", 7, 14, "cannot load"),
        ("|\n  <image>\n  fine\n  {% if x %}\n  {{ y }\n  {% endif %}", 11, 1, "not valid Jinja"),
        (">\n  <image>\n  {% for %}", 7, 14, "not valid Jinja"),
    ],
)
def test_jinja_mistakes_are_found_in_the_file(
    tmp_path: Path, text: str, line: int, column: int, says: str
) -> None:
    path = write(tmp_path, "t", TASK.replace('"<image>{{ question }}"', text))
    (problem,) = problems_of(path)
    assert (problem.line, problem.column, problem.field) == (line, column, "doc_to_text")
    assert says in problem.message


def test_unknown_placeholders_point_into_the_yaml(tmp_path: Path) -> None:
    task = load_file(write(tmp_path, "t", TASK))
    assert isinstance(task.spec, TaskSpec)
    (problem,) = check_columns(task, ["image", "questions", "gold"])  # type: ignore[arg-type]
    assert (problem.line, problem.column, problem.field) == (7, 14, "doc_to_text")
    assert "`question`" in problem.message
    assert problem.remedy.startswith("Did you mean `questions`? Columns: image, questions, gold")
    assert check_columns(task, ["image", "question", "gold"]) == []  # type: ignore[arg-type]


def test_later_errors_can_point_into_the_yaml(tmp_path: Path) -> None:
    write(tmp_path, "depth", TASK)
    blind = load_file(write(tmp_path, "blind", BLIND))
    own = blind.problem("metadata.vlmbench.condition.image", "wrong", "mend it")
    assert (Path(own.file).name, own.line, own.column) == ("blind.yaml", 4, 42)
    inherited = blind.problem("doc_to_choice.1", "wrong")
    assert (Path(inherited.file).name, inherited.line, inherited.column) == ("depth.yaml", 9, 20)


def test_paths_below_the_cwd_are_shown_as_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "t", TASK.replace("tag:", "tga:"))
    monkeypatch.chdir(tmp_path)
    (problem,) = problems_of(Path("t.yaml"))
    assert str(problem).startswith("t.yaml:2:1: tga: there is no key `tga` here\n    Did you mean")
