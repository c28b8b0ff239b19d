"""The main job on a user's own task: YAML, JSONL and images, no Python, a real checkpoint."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import process_time

import numpy as np
import pytest
from home import Home, stats_of, vlmbench
from PIL import Image
from torch.nn.modules.module import register_module_forward_pre_hook

from vlmbench.store import Record

BLIND = """\
include: mine.yaml
task: mine_blind
task_alias: My matching, blind
metadata: {vlmbench: {condition: {image: blank}}}
"""
GENERATE = """\
include: mine.yaml
task: mine_generate
output_type: generate_until
generation_kwargs: {until: ["\\n"], max_gen_toks: 4}
filter_list:
  - name: letter
    filter: [{function: regex, regex_pattern: "^ ?([AB])$"}, {function: take_first}]
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
"""


ROWS = ("task", "condition", "readout", "metric")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, llava_folder: Path) -> Home:
    """A folder as a user would make it: tasks, images in it, a model YAML."""
    home = Home(tmp_path_factory.mktemp("home"))
    home.pairs("mine", 12, task_alias="My matching")
    home.write("mine_blind.yaml", BLIND)
    home.write("mine_generate.yaml", GENERATE)
    twin = {"layer": -2, "relation": "identical", "pooled": "cls"}
    home.model("random", llava_folder, twin=twin)
    return home


@pytest.fixture(scope="module")
def first(home: Home) -> Path:
    """A run of all three tasks."""
    return home.run("random", "mine*", output="first")


def test_a_new_task_reaches_the_leaderboard(home, first):
    rows = stats_of(first, *ROWS)
    encoder = rows["mine", "own", "encoder", "accuracy"]
    assert encoder["value"] == 1.0  # identical pictures: the matching point is exact
    assert encoder["n"] == 12
    gap = rows["mine", "own", "encoder-prompted", "gap"]
    prompted = rows["mine", "own", "prompted", "accuracy"]
    assert gap["value"] == pytest.approx(1.0 - prompted["value"])
    assert gap["low"] <= gap["value"] <= gap["high"]
    manifest = json.loads((first / "manifest.json").read_text())
    assert manifest["complete"] is True
    assert manifest["tasks"]["mine"]["marked"] is True  # no unmarked images were named
    results = json.loads((first / "results.json").read_text())
    assert results["results"]["mine"]["acc,none"] == prompted["value"]
    board = home.folder / "board"
    vlmbench("leaderboard", first, "--output", board)
    text = (board / "README.md").read_text()
    assert "My matching" in text
    assert "## random" in text
    assert str(home.folder) not in text


def test_a_blind_variant_equals_the_blank_condition(first):
    rows = stats_of(first, *ROWS)
    for metric in ("accuracy", "majority"):
        assert (
            rows["mine_blind", "blank", "prompted", metric]["value"]
            == rows["mine", "blank", "prompted", metric]["value"]
        )
    assert ("mine_blind", "own", "prompted", "accuracy") not in rows
    # The control fires: in this task the right point lies where the reference lies, and blank
    # images leave the encoder its position embedding.
    assert rows["mine_blind", "blank", "encoder", "accuracy"]["value"] == 1.0


def test_batch_size_changes_no_answer(home):
    tables = {}
    for size in (1, 8, 32):
        folder = home.run("random", "mine*", "--batch-size", size, output=f"batch{size}")
        for path in sorted((folder / "records").rglob("*.parquet")):
            scores = Record(path).scores()
            key = str(path.relative_to(folder))
            tables.setdefault(key, []).append(scores)
    assert len(tables) == 8  # own, blank, encoder; the blind variant has two of them
    for first, *others in tables.values():
        for other in others:
            assert (first.scores.argmax(1) == other.scores.argmax(1)).all()
            np.testing.assert_allclose(
                np.where(np.isneginf(first.scores), 0, first.scores),
                np.where(np.isneginf(other.scores), 0, other.scores),
                atol=1e-4,
            )


def test_a_second_run_gives_the_same_bytes_and_runs_nothing(home, first):
    before = {p: p.stat().st_mtime_ns for p in (first / "records").rglob("*.parquet")}
    stats = (first / "stats.json").read_bytes()
    home.run("random", "mine*", output="first")
    assert (first / "stats.json").read_bytes() == stats
    assert {p: p.stat().st_mtime_ns for p in (first / "records").rglob("*.parquet")} == before
    fresh = home.run("random", "mine*", output="fresh")
    assert (fresh / "stats.json").read_bytes() == stats


@contextmanager
def forwards() -> Iterator[list[str]]:
    """Give the list of modules that are called from here on, in any model or probe."""
    called: list[str] = []
    hook = register_module_forward_pre_hook(lambda module, _: called.append(type(module).__name__))
    yield called
    hook.remove()


def test_a_second_run_takes_no_forward_pass(home, first):
    with forwards() as called:
        home.run("random", "mine*", output="first")
    assert called == []
    with forwards() as called:
        home.run("random", "mine", output="counted")
    assert "LlavaForConditionalGeneration" in called


@pytest.mark.soak
def test_a_second_run_of_all_worlds_is_done_in_five_seconds(home):
    command = ("run", "--models", "tiny-clip", "--tasks", "worlds,controls", "--device", "cpu",
               "--data-root", home.folder / "worlds", "--output", home.folder / "all")  # fmt: skip
    vlmbench(*command)
    start = process_time()
    with forwards() as called:
        vlmbench(*command)
    assert called == []
    assert process_time() - start <= 5


def test_a_wrong_device_leaves_a_finished_run_as_it_was(home, first):
    before = (first / "manifest.json").read_bytes()
    vlmbench(
        "run", "--models", "random", "--tasks", "mine*", "--include-path", home.folder,
        "--output", first, "--device", "nosuch", status=1,
    )  # fmt: skip
    assert (first / "manifest.json").read_bytes() == before


def test_a_damaged_record_is_told_of_and_only_its_cell_is_run_again(home, first):
    damaged, *others = sorted((first / "records").rglob("*.parquet"))
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (damaged, *others)}
    for broken in (before[damaged][1][:-7], b"a foreign file"):
        damaged.write_bytes(broken)
        said = vlmbench(
            "run", "--models", "random", "--tasks", "mine*", "--include-path", home.folder,
            "--output", first, "--device", "cpu",
        )  # fmt: skip
        assert f"{damaged}: the record is damaged; its cell is run again" in said.words
        assert damaged.read_bytes() == before[damaged][1]
        assert all(path.stat().st_mtime_ns == before[path][0] for path in others)


def test_changed_data_is_run_again(home):
    folder = home.run("random", "mine", output="changed")
    record = folder / "records" / "random" / "mine" / "encoder-own.parquet"
    before = record.stat().st_mtime_ns
    image = home.folder / "data" / "mine" / "0r.png"
    kept = image.read_bytes()
    try:
        Image.new("RGB", (32, 32), (9, 200, 9)).save(image)
        home.run("random", "mine", output="changed")
    finally:
        image.write_bytes(kept)
    assert record.stat().st_mtime_ns != before


def test_a_page_beside_the_checkpoint_runs_nothing_again_and_a_file_of_it_does(
    home, llava_folder, tmp_path
):
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(llava_folder, checkpoint)
    home.model("copy", checkpoint)

    def written() -> int:
        run = home.run("copy", "mine", output="copied")
        return (run / "records" / "copy" / "mine" / "prompted-own.parquet").stat().st_mtime_ns

    first = written()
    (checkpoint / "README.md").write_text("A card of the model.")
    (checkpoint / "curves.svg").write_text("<svg/>")
    assert written() == first
    config = checkpoint / "generation_config.json"
    config.write_text(config.read_text() + "\n")
    assert written() != first


def test_another_plan_in_the_same_folder_is_refused(home, first):
    said = vlmbench(
        "run", "-m", "random", "-t", "mine_blind", "-i", home.folder, "-o", first,
        "--device", "cpu", status=1,
    )  # fmt: skip
    assert "another plan" in said.err
