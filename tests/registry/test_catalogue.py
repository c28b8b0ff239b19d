"""What is on the search path, what is wrong with it, and what selectors mean."""

from __future__ import annotations

import logging
import os
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.tasks._index import TaskIndex

from vlmbench.registry import Catalogue, _paths, catalogue, packaged_paths, search_paths, yaml_files
from vlmbench.types import VlmbenchError

TASK = """\
task: {name}
tag: [{tag}]
dataset_path: json
test_split: test
output_type: multiple_choice
doc_to_text: "<image>{{{{ question }}}}"
doc_to_image: [image]
doc_to_choice: [A, B]
doc_to_target: gold
metadata: {{vlmbench: {{ability: depth}}}}
"""


def add_task(folder: Path, name: str, tag: str = "mine") -> Path:
    return add(folder, name, TASK.format(name=name, tag=tag))


def add(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.yaml"
    path.write_text(text, "utf-8")
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A search path of our own: nothing packaged, nothing from the environment."""
    monkeypatch.setattr(_paths, "packaged_paths", list)
    monkeypatch.delenv("VLMBENCH_PATH", raising=False)
    monkeypatch.setattr(_paths, "entry_points", lambda group: EntryPoints())
    return tmp_path


@pytest.fixture
def shelf(folder: Path) -> Catalogue:
    for name in ("depth", "matching", "style"):
        add_task(folder, f"{name}", "sighted")
        add_task(folder, f"{name}_blind", "blind")
    add_task(folder, "naming", "control")
    add(folder, "worlds", "group: worlds\ntask: [style, depth, matching]\n")
    add(folder, "all", "group: all\ntask: [naming, worlds, blind]\n")
    add(folder / "m", "tiny-a", "model: tiny-a\ntag: tiny\ncheckpoint: ./a\n")
    add(folder / "m", "tiny-b", "model: tiny-b\ntag: tiny\ncheckpoint: ./b\n")
    add(folder / "m", "big", "model: owner/big\ncheckpoint: owner/big\n")
    add(folder / "s", "gap", "study: gap\ncells: [{readout: prompted}, {readout: encoder}]\n")
    return catalogue([folder])


def names(shelf: Catalogue, selector: str) -> list[str]:
    return [located.spec.task for located in shelf.select_tasks(selector)]


def messages(shelf: Catalogue) -> list[str]:
    return [str(problem) for problem in shelf.problems]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("depth", ["depth"]),
        ("naming,depth", ["naming", "depth"]),
        (" naming , ,depth,", ["naming", "depth"]),
        ("depth,depth,worlds", ["depth", "style", "matching"]),
        ("worlds", ["style", "depth", "matching"]),
        ("all", ["naming", "style", "depth", "matching",
                 "depth_blind", "matching_blind", "style_blind"]),
        ("blind", ["depth_blind", "matching_blind", "style_blind"]),
        ("*_blind", ["depth_blind", "matching_blind", "style_blind"]),
        ("d*,naming", ["depth", "depth_blind", "naming"]),
        ("[ds]*h", ["depth"]),
        ("style_?lind", ["style_blind"]),
    ],
)  # fmt: skip
def test_selectors_are_names_globs_groups_and_tags(
    shelf: Catalogue, selector: str, expected: list[str]
) -> None:
    assert shelf.problems == ()
    assert names(shelf, selector) == expected


@given(st.lists(st.sampled_from(["x_depth", "x_naming", "x_all", "x_blind", "x_*"]), min_size=1))
def test_selecting_keeps_order_and_drops_repeats(parts: list[str]) -> None:
    whole = [t.spec.task for t in SHELF.select_tasks(",".join(parts))]
    one_by_one = [t.spec.task for part in parts for t in SHELF.select_tasks(part)]
    assert whole == list(dict.fromkeys(one_by_one))


@pytest.fixture(autouse=True, scope="module")
def _module_shelf(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A shelf that hypothesis may use again and again."""
    global SHELF  # noqa: PLW0603
    base = tmp_path_factory.mktemp("shelf")
    for name, tag in [("x_depth", "x_a"), ("x_depth_2", "x_blind"), ("x_naming", "x_a")]:
        add_task(base, name, tag)
    add(base, "x_all", "group: x_all\ntask: [x_depth, x_depth_2]\n")
    SHELF = catalogue([base])


SHELF: Catalogue


def test_models_and_studies_are_selected_the_same_way(shelf: Catalogue) -> None:
    assert [m.spec.model for m in shelf.select_models("tiny")] == ["tiny-a", "tiny-b"]
    assert [m.spec.model for m in shelf.select_models("owner/big,t*-b")] == ["owner/big", "tiny-b"]
    assert [s.spec.study for s in shelf.select_studies("gap")] == ["gap"]


def test_paths_select_files_off_the_search_path(shelf: Catalogue, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    own = add_task(other, "own")
    assert names(shelf, f"{own},depth") == ["own", "depth"]
    model = add(other, "mine", "model: mine\ncheckpoint: .\n")
    assert [m.path for m in shelf.select_models(str(model))] == [model]
    study = add(other, "st", "study: st\ncells: [{readout: encoder}]\n")
    assert [s.spec.study for s in shelf.select_studies(str(study))] == ["st"]
    group = add(other, "g", "group: g\ntask: [naming, worlds, blind]\n")
    assert names(shelf, str(group)) == names(shelf, "all")


def test_relative_paths_start_at_the_cwd(
    shelf: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_task(tmp_path / "elsewhere", "own")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert names(shelf, "./own.yaml") == ["own"]
    assert names(shelf, "own.yaml") == ["own"]


def test_a_path_on_the_search_path_is_the_task_itself(shelf: Catalogue, folder: Path) -> None:
    assert names(shelf, f"depth,{folder / 'depth.yaml'}") == ["depth"]


@pytest.mark.parametrize(
    ("selector", "message", "remedy"),
    [
        ("dept", "no task `dept`", "Did you mean `depth`?"),
        ("wolrds", "no task `wolrds`", "Did you mean `worlds`?"),
        ("*_deaf", "no task `*_deaf`", "`vlmbench ls tasks` shows: depth"),
        ("", "does not select any task", ""),
        (" , ", "does not select any task", ""),
        ("gone.yaml", "cannot be read", ""),
    ],
)
def test_what_matches_nothing_is_an_error(
    shelf: Catalogue, selector: str, message: str, remedy: str
) -> None:
    with pytest.raises(VlmbenchError) as caught:
        shelf.select_tasks(selector)
    (problem,) = caught.value.problems
    assert message in problem.message
    assert remedy in problem.remedy


def test_all_terms_that_match_nothing_are_named(shelf: Catalogue) -> None:
    with pytest.raises(VlmbenchError) as caught:
        shelf.select_tasks("dept,naming,stile")
    assert [p.message for p in caught.value.problems] == [
        "there is no task `dept`", "there is no task `stile`",
    ]  # fmt: skip


def test_a_file_of_another_kind_is_refused(shelf: Catalogue, folder: Path) -> None:
    for selector, select in [
        (folder / "depth.yaml", shelf.select_models),
        (folder / "worlds.yaml", shelf.select_studies),
        (folder / "m" / "big.yaml", shelf.select_tasks),
    ]:
        with pytest.raises(VlmbenchError, match="does not contain"):
            select(str(selector))


def test_a_file_with_a_name_already_taken_is_refused(shelf: Catalogue, tmp_path: Path) -> None:
    twin = add_task(tmp_path / "elsewhere", "depth")
    with pytest.raises(VlmbenchError, match=r"`depth` is also the task in .*depth.yaml:1"):
        shelf.select_tasks(str(twin))


def test_two_files_off_the_path_may_not_share_a_name(shelf: Catalogue, tmp_path: Path) -> None:
    first, second = add_task(tmp_path / "x", "own"), add_task(tmp_path / "y", "own")
    with pytest.raises(VlmbenchError, match=r"`own` is also the task in .*own.yaml:1"):
        shelf.select_tasks(f"{first},{second}")


def test_duplicate_names_name_both_files_and_block_selecting(folder: Path) -> None:
    first, second = add_task(folder / "a", "depth"), add_task(folder / "b", "depth")
    shelf = catalogue([folder])
    (problem,) = shelf.problems
    assert (problem.file, problem.line) == (str(second), 1)
    assert f"{first}:1" in problem.message
    with pytest.raises(VlmbenchError, match="is also the task"):
        shelf.select_tasks("depth")


def test_one_name_for_task_group_and_tag_is_refused(folder: Path) -> None:
    add_task(folder, "depth", "worlds")
    add(folder, "g", "group: depth\ntask: [depth]\n")
    add(folder, "w", "group: worlds\ntask: [depth]\n")
    found = messages(catalogue([folder]))
    assert len(found) == 2
    assert "`depth` is also the task in" in found[0]
    assert "the tag `worlds` is also the name of a group" in found[1]


@pytest.mark.parametrize(
    ("text", "where", "says", "remedy"),
    [
        ("group: g\ntask: [depth, dpth]\n", "2:15: task.1", "no task, group or tag `dpth`",
         "Did you mean `depth`"),
        ("group: g\ntask:\n  - depth\n  - g\n", "4:5: task.1", "contains itself", ""),
        ("model: m\ncheckpoint: x\nbackend: hff\n", "3:10: backend", "no backend `hff`",
         "Did you mean `hf`"),
        ("model: h\nrecorded:\n  - {task: dpth, column: h}\n",
         "3:12: recorded.0.task", "no task `dpth`", "Did you mean `depth`"),
        ("study: s\ncells:\n  - readout: promptd\n", "3:14: cells.0.readout",
         "no readout `promptd`", "Did you mean `prompted`"),
    ],
)  # fmt: skip
def test_names_that_nothing_answers_to_are_problems(
    folder: Path, text: str, where: str, says: str, remedy: str
) -> None:
    add_task(folder, "depth")
    path = add(folder, "x", text)
    (problem,) = catalogue([folder]).problems
    assert str(problem).startswith(f"{path}:{where}: ")
    assert says in problem.message
    assert problem.remedy.partition("?")[0] == remedy


def test_groups_within_each_other_are_found(folder: Path) -> None:
    add_task(folder, "depth")
    add(folder, "a", "group: a\ntask: [depth, b]\n")
    add(folder, "b", "group: b\ntask: [a]\n")
    shelf = catalogue([folder])
    assert shelf.problems
    assert all("contains itself" in problem.message for problem in shelf.problems)


def test_problems_of_all_files_are_collected_and_the_rest_is_listed(folder: Path) -> None:
    add_task(folder, "depth")
    add(folder, "a", "task: a\n")
    add(folder, "b", "task: [\n")
    shelf = catalogue([folder])
    assert {Path(problem.file).name for problem in shelf.problems} == {"a.yaml", "b.yaml"}
    assert shelf.tasks.names == ("depth",)
    with pytest.raises(VlmbenchError):
        shelf.select_tasks("*")


def test_the_search_path_is_packaged_variable_given_and_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = {name: tmp_path / name for name in ("packaged", "variable", "given")}
    for name, path in folders.items():
        add_task(path, f"t_{name}")
    package = tmp_path / "site" / "other_package"
    add_task(package, "t_package")
    (package / "__init__.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(package.parent)
    entry = EntryPoint("x", "other_package", "vlmbench.paths")
    monkeypatch.setattr(_paths, "packaged_paths", lambda: [folders["packaged"]])
    monkeypatch.setattr(_paths, "entry_points", lambda group: EntryPoints([entry]))
    monkeypatch.setenv("VLMBENCH_PATH", os.pathsep.join([str(folders["variable"]), ""]))
    shelf = catalogue([folders["given"], folders["variable"]])
    assert shelf.tasks.names == ("t_packaged", "t_variable", "t_given", "t_package")
    assert shelf.problems == ()


@pytest.mark.parametrize("value", ["no_such_package", "no_such_package.yaml_files", "fractions"])
def test_entry_points_that_name_no_package_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    entry = EntryPoint("theirs", value, "vlmbench.paths")
    monkeypatch.setattr(_paths, "entry_points", lambda group: EntryPoints([entry]))
    with pytest.raises(VlmbenchError, match=f"`theirs` .* does not name a package: {value}"):
        catalogue([folder])


def test_folders_that_do_not_exist_are_named(folder: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("VLMBENCH_PATH", str(folder / "no"))
    with pytest.raises(VlmbenchError) as caught:
        search_paths([folder / "neither"])
    assert [p.message.partition(":")[0] for p in caught.value.problems] == [
        "VLMBENCH_PATH", "--include-path",
    ]  # fmt: skip


def test_a_file_reached_twice_counts_once(folder: Path) -> None:
    add_task(folder / "sub", "depth")
    (folder / "link").symlink_to(folder / "sub", target_is_directory=True)
    assert len(list(yaml_files([folder, folder / "sub", folder / "link"]))) == 1


def test_a_checkout_finds_its_own_tasks_and_studies() -> None:
    assert [path.name for path in packaged_paths()] == ["tasks", "models"]
    shelf = catalogue()
    assert shelf.problems == ()
    gap = shelf.studies["gap"].spec
    assert [(cell.readout.label, cell.condition.label) for cell in gap.cells] == [
        ("prompted", "own"), ("prompted", "blank"), ("encoder", "own"), ("encoder-mean", "own"),
    ]  # fmt: skip
    assert all(cell.condition.label == "blank" for cell in shelf.studies["controls"].spec.cells)


def test_an_installed_package_finds_what_it_carries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tasks", "models"):
        (tmp_path / "vlmbench" / "shipped" / name).mkdir(parents=True)
    monkeypatch.setattr(_paths.vlmbench, "__file__", str(tmp_path / "vlmbench" / "__init__.py"))
    assert packaged_paths() == [tmp_path / "vlmbench" / "shipped" / n for n in ("tasks", "models")]


def test_lm_eval_finds_the_same_tasks_and_passes_over_studies(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add_task(folder, "depth", "worlds")
    add(folder, "blind", "include: depth.yaml\ntask: depth_blind\n")
    add(folder, "_part", "dataset_path: json\n")
    add(folder, "group", "group: both\ntask: [depth, depth_blind]\n")
    add(folder / "studies", "gap", "study: gap\ncells: [{readout: prompted}]\n")
    with caplog.at_level(logging.INFO):
        index = TaskIndex.build([folder])
    assert set(index) == {"depth", "depth_blind", "both", "worlds"}
    assert not caplog.records
    shelf = catalogue([folder])
    assert {*shelf.tasks, *shelf.groups, *shelf.tags} == set(index)
