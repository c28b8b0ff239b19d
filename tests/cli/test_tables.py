"""What the commands print on consoles of several widths, with names as long as they come."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from home import Home, vlmbench
from rich.console import Console

from vlmbench.cli._organisms import criteria
from vlmbench.organisms._gate_rows import at_chance, at_least, share

MODELS = ("a-model-whose-name-is-longer-than-names-of-models-are-2.2B", "short")
CHECKPOINT = "HuggingFaceTB/SmolVLM2-256M-Video-Instruct-of-many-words"
TASKS = ("functional_correspondence_of_points_generate_blind_and_more", "brief")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = Home(tmp_path_factory.mktemp("home"))
    for name in TASKS:
        home.task(name, [], tag=["several-tags", "of-a-task", "that-wrap"])
    for name in MODELS:
        home.model(name, CHECKPOINT, tag="long", twin={"layer": -2, "relation": "identical"})
    home.write("long.yaml", {"group": "a-group", "task": list(TASKS)})
    return home.folder


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, home: Path) -> Callable[..., str]:
    def run(width: int, *arguments: object) -> str:
        monkeypatch.setenv("COLUMNS", str(width))
        return vlmbench(*arguments, "--include-path", home).out

    return run


def check(text: str, width: int, names: tuple[str, ...]) -> None:
    """No line is wider than the console, and every name stands in one piece."""
    assert max(map(len, text.splitlines())) <= width
    words = text.replace(",", " ").replace(":", " ").split()
    assert [name for name in names if name not in words] == []


@pytest.mark.parametrize("width", [80, 100, 160])
@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("ls", "models"), (*MODELS, "tiny-clip")),
        (("ls", "tasks"), (*TASKS, "blink_functional_correspondence_generate", "a-group")),
        (("ls", "studies"), ("diagnose", "own+hint-wrong-medium")),
        (("ls", "readouts"), ("prompted", "internals", "encoder")),
        (("ls", "backends"), ("hf", "openai", "vllm")),
        (("data", "ls"), ("semantic_correspondence", "low_level_matching")),
        (("plan", "-m", "long", "-t", "a-group"), (*MODELS, *TASKS, "prompted", "own")),
        (("plan", "-m", "long", "-t", "a-group", "--study", "diagnose"), (*MODELS, *TASKS)),
        (("plan", "-m", "long", "-t", "brief", "-o", "/nowhere"), (*MODELS, "brief", "own")),
    ],
)  # fmt: skip
def test_names_are_whole_and_lines_fit(call, width, arguments, names):
    check(call(width, *arguments), width, names)


@pytest.mark.parametrize(
    ("width", "left_out"),
    [(80, "backend, checkpoint, twin"), (100, "checkpoint, twin"), (160, "twin"), (220, "")],
)
def test_the_width_there_is_is_used(call, width, left_out):
    out = call(width, "ls", "models")
    assert (CHECKPOINT in out) == (width >= 160)
    *_, last = out.splitlines()
    assert last.partition("Not shown, because there is no room: ")[2] == left_out


@pytest.mark.parametrize("width", [80, 100, 160])
def test_what_a_checkpoint_gives(call, llava_folder, tmp_path, monkeypatch, width):
    shutil.copytree(llava_folder, tmp_path / "checkpoint")
    monkeypatch.chdir(tmp_path)
    out = call(width, "show", "./checkpoint")
    check(out, width, ("twin.layer", "prompt.chat_template", "vision_feature_layer"))


@pytest.mark.parametrize("width", [80, 100, 160])
def test_the_gate(width):
    rows = [
        at_least(f"a letter comes first: {TASKS[0]}", share(280, 300), 0.95),
        at_chance("prompted: naming, colour, blank image", share(70, 300), 0.25),
    ]
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(criteria(rows), crop=False)
    text = console.file.getvalue()
    check(text, width, (TASKS[0], "naming", "colour"))
    (line,) = [line for line in text.splitlines() if "at least" in line]
    assert line.split()[-8:] == ["0.933", "0.899", "to", "0.956", "at", "least", "0.95", "no"]


# -- plan -----------------------------------------------------------------------------------


def test_a_plan_ends_with_its_totals(call):
    lines = call(100, "plan", "-m", "short,tiny-clip", "-t", "depth", "--limit", 10).splitlines()
    assert lines[-1] == "6 cells, 60 documents, 1,260 forward passes"
    assert sum(line.split()[:1] == ["depth"] for line in lines) == 6


def test_what_only_the_data_can_tell_is_said(call):
    *_, totals, why = call(100, "plan", "-m", "short", "-t", "depth,brief").splitlines()
    assert totals == "5 cells, 900 + ? documents, 1,500 + ? forward passes"
    assert why == "?: unknown until the data is opened, which a plan does not do"


def test_a_long_plan_has_a_line_for_each_model_and_task(call):
    options = ("--study", "diagnose", "-m", "short,tiny-clip", "-t", "depth,naming")
    cells = json.loads(call(100, "plan", *options, "--json"))
    out = call(200, "plan", *options, "--limit", 10)
    for name in ("depth", "naming"):
        lines = [line.split() for line in out.splitlines() if line.split()[:1] == [name]]
        mine = [cell for cell in cells if cell["task"] == name]
        assert len(mine) > 60
        assert [int(line[1]) for line in lines] == [
            sum(cell["model"] == model for cell in mine) for model in ("short", "tiny-clip")
        ]
        for line in lines:
            assert line[2:5] == ["prompted:", "own,", "blank,"]
    # Both lists hold every condition, some of them as one.
    assert "blur-{0.125,0.25,0.5,0.75}" in out
    assert {c["condition"] for c in cells} >= {"blur-0.125", "blur-0.25", "blur-0.5", "blur-0.75"}
    assert f"{len(cells)} cells, " in out.splitlines()[-1]


def test_what_is_left_out_is_told_once_for_each_reason(call):
    out = " ".join(call(80, "plan", "-m", "short", "-t", "a-group,depth").split())
    for task in TASKS:
        reason = f"task {task!r} has no probe (key `metadata.vlmbench.probe`)"
        assert out.count(f"left out: 2 cells (encoder: own; encoder-mean: own): {reason}") == 1
    out = " ".join(call(80, "plan", "-m", "gpt-4o,gpt-4.1", "-t", "worlds").split())
    told = "left out: 12 cells (encoder: own; encoder-mean: own): model 'gpt-4o' has no twin"
    assert out.count(told) == 1
    assert out.count("left out") == 2
