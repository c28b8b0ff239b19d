"""docs/data.md names every task, and gives the commands that the errors give."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vlmbench.spec import GroupSpec, TaskSpec, load_file
from vlmbench.tasks.sources import hub_remedy
from vlmbench.tasks.sources._read import LAYOUTS

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "data.md").read_text()
SPECS = [
    load_file(path).spec
    for path in sorted((ROOT / "tasks" / "hidden_in_plain_sight").glob("[!_]*.yaml"))
]
TASKS = [spec for spec in SPECS if isinstance(spec, TaskSpec)]


def test_every_task_and_group_is_described() -> None:
    plain = [s.task for s in TASKS if not s.task.endswith(("_blind", "_generate"))]
    assert len(plain) == 12
    for name in [*plain, *(spec.group for spec in SPECS if isinstance(spec, GroupSpec))]:
        assert f"`{name}`" in TEXT


@pytest.mark.parametrize("spec", TASKS, ids=lambda spec: spec.task)
def test_every_task_says_where_it_comes_from_and_under_which_licence(spec: TaskSpec) -> None:
    source = spec.bench.source
    assert source is not None
    assert source.url
    assert source.url.startswith("https://")
    assert source.license
    assert source.citation


def test_commands_are_those_of_the_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLMBENCH_DATA", "$VLMBENCH_DATA")
    hub = {
        (spec.dataset_path, spec.dataset_kwargs.revision) for spec in TASKS if spec.dataset_path
    } | {("longlian/VPBench", None)}
    assert len(hub) == 4
    for name, revision in hub:
        assert hub_remedy(name, revision) in TEXT
    for layout in (layout for name, layout in LAYOUTS.items() if name != "nyuv2"):
        root = f"$VLMBENCH_DATA/{layout.folder}"
        first, *_ = layout.remedy.format(home="$VLMBENCH_DATA", root=root).split("\n")
        assert first in TEXT
    # Of NYUv2 the page names the files, and leaves the addresses to the error.
    files = re.findall(r"wget \S+/(\S+)", LAYOUTS["nyuv2"].remedy)
    assert len(files) == 2
    assert all(f"`{file}`" in TEXT for file in files)
