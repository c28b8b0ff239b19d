"""Trained weights through the whole run: what they are trained on, kept by, and read as."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from home import ROOT, Home, vlmbench
from llava import make_llava
from safetensors.torch import load_file, save_file
from tuning_task import coloured

from vlmbench.report import leaderboard
from vlmbench.spec import Condition
from vlmbench.store import Record, RunFolder

TUNING = {"steps": 40, "batch": 8, "check_every": 10, "rate": 0.003}
CELLS = (
    {"readout": "prompted"},
    {"readout": "prompted", "condition": "lora-language"},
    {"readout": "prompted", "condition": "lora-language-1"},
    {"readout": "prompted", "condition": "blank+lora-language"},
    {"readout": "internals", "condition": "lora-language"},
    {"readout": "prompted", "condition": "prefix-3"},
    {"readout": "prompted", "condition": "own+lora-tower"},
    {"readout": "encoder"},
    {"readout": "encoder", "condition": "lora-tower"},
    {"readout": "encoder", "condition": "lora-language"},
)
SPLITS = {"train": (0, 48), "validation": (1000, 16), "test": (2000, 24)}


def colours(home: Home, name: str, *, shift: int = 0, **keys: object) -> None:
    """Write a task on the colour of images, whose reported documents may be others."""
    files = {}
    for split, (start, count) in SPLITS.items():
        first = start + (shift if split == "test" else 0)
        rows = [
            {
                "id": f"{split}{index}", "answer": index % 2, "pair": index % 2,
                "image": home.image(f"{index}.png", coloured(index, index % 2)),
                "red": home.image("red.png", coloured(9000, 0)),
                "blue": home.image("blue.png", coloured(9001, 1)),
            }
            for index in range(first, first + count)
        ]  # fmt: skip
        home.rows(f"{name}-{split}", rows)
        files[split] = f"data/{name}-{split}.jsonl"
    bench = {
        "id_column": "id", "probe": {"kind": "gram"},
        "regions": {
            "reference": {"kind": "image", "images": [0]},
            "choices": {"kind": "image", "images": [1, 2]},
        },
    }  # fmt: skip
    about = {
        "training_split": "train", "validation_split": "validation", "bench": bench,
        "doc_to_image": ["image", "red", "blue"],
        "doc_to_text": "<image> is like A <image> or B <image>?",
        "dataset_kwargs": {"data_files": files},
    }  # fmt: skip
    home.task(name, [], **about | keys)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of this module's own."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLMBENCH_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, llava_folder: Path) -> Home:
    home = Home(tmp_path_factory.mktemp("home"))
    colours(home, "colours")
    home.write("tuned.yaml", {"study": "tuned", "tuning": TUNING, "cells": list(CELLS)})
    home.model("random", llava_folder, twin={"layer": -2, "relation": "identical"})
    return home


@pytest.fixture(scope="module")
def output(home: Home, cache: Path) -> Path:
    return home.run("random", "colours", "--study", "tuned")


def record(output: Path, cell: str, task: str = "colours") -> Record:
    return RunFolder(output).record(f"random/{task}/{cell}")


def credit_of(output: Path, cell: str) -> float:
    scores = record(output, cell).scores()
    return float((scores.scores.argmax(axis=1) == scores.gold).mean())


def test_training_lifts_the_answer_and_a_blank_image_takes_it_away(output):
    assert credit_of(output, "prompted-own+lora-language") > 0.9
    assert credit_of(output, "prompted-own") < 0.8
    assert credit_of(output, "prompted-blank+lora-language") == 0.5  # one answer to all


def test_records_say_how_the_weights_were_trained(output):
    said = record(output, "prompted-own+lora-language").require().notes["training"]
    other = record(output, "prompted-own+lora-tower").require().notes["training"]
    assert said["documents"] == other["documents"] == {"train": 48, "validation": 16}
    assert said["tuning"] == {**other["tuning"], **TUNING}
    assert said["budget"] == other["budget"]
    for one in (said, other):
        assert abs(one["parameters"] / one["budget"] - 1) <= 0.02
        assert one["ranks"]
    assert {name.split(".")[1] for name in said["ranks"]} == {"language_model"}
    assert {name.split(".")[1] for name in other["ranks"]} == {"vision_tower"}
    assert [step for step, _ in said["validation_loss"]][:2] == [0, 10]
    prefix = record(output, "prompted-own+prefix-3").require().notes["training"]
    assert prefix["parameters"] == 3 * 48
    assert "training" not in record(output, "prompted-own").require().notes


def test_the_digest_of_the_weights_is_that_of_what_was_read(output):
    cells = ["own", "own+lora-language", "own+lora-language-1", "own+prefix-3", "own+lora-tower"]
    digests = {
        cell: record(output, f"prompted-{cell}").require().weights["model"] for cell in cells
    }
    assert len(set(digests.values())) == len(cells)
    blank = record(output, "prompted-blank+lora-language").require().weights["model"]
    assert blank == digests["own+lora-language"]
    manifest = json.loads((output / "manifest.json").read_text())
    assert manifest["models"]["random"]["weights"] == digests["own"]


def test_hidden_states_are_those_of_the_trained_model(output):
    scores = record(output, "internals-own+lora-language").scores().scores
    expected = record(output, "prompted-own+lora-language").scores().scores
    np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_the_encoder_is_the_trained_tower_and_others_are_left_out(output):
    own, tuned = (
        record(output, f"encoder-{cell}").require().weights["encoder"]
        for cell in ("own", "own+lora-tower")
    )
    assert own != tuned
    manifest = json.loads((output / "manifest.json").read_text())
    (skipped,) = manifest["skipped"]
    assert skipped["condition"] == "own+lora-language"
    assert "leaves the encoder as it is" in skipped["reason"]


def adapters(cache: Path) -> dict[str, bytes]:
    return {
        folder.name: (folder / "adapter_model.safetensors").read_bytes()
        for folder in (cache / "tuned").iterdir()
    }


def test_each_training_is_kept_once_as_an_adapter_of_peft(output, cache):
    kept = adapters(cache)
    assert len(set(kept.values())) == len(kept) == 4  # two seeds, a prefix and a tower
    for folder in (cache / "tuned").iterdir():
        assert {file.name for file in folder.iterdir()} == {
            "adapter_config.json", "adapter_model.safetensors", "training.json",
        }  # fmt: skip


def kept_by(cache: Path, label: str) -> Path:
    """Return the folder in the cache that holds what a condition trained."""
    (found,) = [
        folder
        for folder in (cache / "tuned").iterdir()
        if Condition.parse(label).weights.model_dump(mode="json")
        == json.loads((folder / "training.json").read_text())["about"]["change"]
    ]
    return found


@pytest.mark.parametrize(
    ("label", "readout"), [("lora-language", "prompted"), ("lora-tower", "encoder")]
)
def test_an_adapter_in_a_models_yaml_is_read_as_the_condition_was(
    home, output, cache, llava_folder, label, readout
):
    (home.folder / "kept").mkdir(exist_ok=True)
    shutil.copytree(kept_by(cache, label), home.folder / "kept" / label)
    twin = {"layer": -2, "relation": "identical"}
    home.model("merged", llava_folder, twin=twin, weights={"lora": f"kept/{label}"})
    found = home.run("merged", "colours", "--study", "gap", output=f"merged-{label}")
    assert RunFolder(found).manifest().models["merged"].lora == f"kept/{label}"
    page = leaderboard([found], home.folder / f"board-{label}")[0].read_text()
    assert f"it was tuned, by low-rank updates (LoRA) from `kept/{label}`" in page
    scores = RunFolder(found).record(f"merged/colours/{readout}-own").scores().scores
    expected = record(output, f"{readout}-own+{label}").scores().scores
    np.testing.assert_allclose(scores, expected, atol=1e-4, rtol=1e-4)
    own = record(output, f"{readout}-own").scores().scores
    assert np.abs(own - expected).max() > 1e-2


@pytest.mark.parametrize(
    ("kept", "why"),
    [
        ("nowhere", "no adapter_config.json and no adapter_model.safetensors"),
        ("prefix", "is of peft's type 'PROMPT_TUNING', not 'LORA'"),
        ("other", "does not fit the checkpoint: it was trained on other weights"),
        ("foreign", "does not fit the checkpoint"),
        ("partial", "does not fit the checkpoint: 1 tensors are in it"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused_with_what_to_do(
    home, output, cache, llava_folder, tmp_path, kept, why
):
    checkpoint, folder = llava_folder, tmp_path / kept
    if kept == "prefix":
        folder = kept_by(cache, "prefix-3")
    elif kept == "other":
        checkpoint, folder = make_llava(tmp_path / "llava", seed=1), kept_by(cache, "lora-tower")
    elif kept in ("foreign", "partial"):  # of a model with other layers, or with layers missing
        shutil.copytree(kept_by(cache, "lora-tower"), folder)
        tensors = load_file(folder / "adapter_model.safetensors")
        config = json.loads((folder / "adapter_config.json").read_text())
        first = sorted(tensors)[0]
        if kept == "foreign":
            config["target_modules"] = ["bridge"]
        save_file({first: tensors[first]}, folder / "adapter_model.safetensors")
        (folder / "adapter_config.json").write_text(json.dumps(config))
    home.model("unfit", checkpoint, weights={"lora": str(folder)})
    said = vlmbench(
        "run", "--models", "unfit", "--tasks", "colours", "--include-path", home.folder,
        "--output", tmp_path / "run", "--device", "cpu", "--conditions", "own", status=1,
    )  # fmt: skip
    assert "weights.lora" in said.words
    assert why in said.words


def test_what_is_reported_on_is_never_trained_on(home, output, cache, monkeypatch):
    """Other reported documents find the same weights; not one reported image is learned from."""
    from vlmbench.readouts.tuning import _examples

    before = adapters(cache)
    seen: set[bytes] = set()
    run = _examples.gold_losses

    def spy(backend, prompts, *more):
        seen.update(image.tobytes() for prompt in prompts for image in prompt.images)
        return run(backend, prompts, *more)

    monkeypatch.setattr(_examples, "gold_losses", spy)
    colours(home, "elsewhere", shift=500)
    home.run("random", "elsewhere", "--study", "tuned", output="elsewhere")
    assert adapters(cache) == before
    assert not seen  # nothing had to be trained
    monkeypatch.setenv("VLMBENCH_CACHE", str(home.folder / "another"))
    home.run("random", "elsewhere", "--conditions", "lora-language", "--study", "tuned",
             output="again")  # fmt: skip
    images = {
        split: {coloured(i, i % 2).tobytes() for i in range(start, start + count)}
        for split, (start, count) in SPLITS.items()
    }
    shifted = {coloured(i, i % 2).tobytes() for i in range(2500, 2524)}
    assert images["train"] <= seen
    assert images["validation"] <= seen
    assert not seen & (images["test"] | shifted)


def test_another_choice_of_training_is_another_training(home, output):
    """The same cell of a study that trains otherwise is not taken from its record."""
    calm = {**TUNING, "steps": 10}
    cells = [{"readout": "prompted", "condition": "lora-language"}]
    home.write("calm.yaml", {"study": "calm", "tuning": calm, "cells": cells})
    found = home.run("random", "colours", "--study", "calm", output="calm")
    said = record(found, "prompted-own+lora-language").require()
    assert said.notes["training"]["steps"] == 10
    kept = record(output, "prompted-own+lora-language").require()
    assert said.basis.key != kept.basis.key
    assert said.weights != kept.weights


def test_a_task_without_splits_to_train_on_is_left_out(home, cache):
    colours(home, "bare", training_split=None)
    said = vlmbench(
        "plan", "--models", "random", "--tasks", "bare", "--conditions", "own,lora-language",
        "--include-path", home.folder,
    )  # fmt: skip
    assert "'bare' has no training and validation splits apart from its test split" in said.words


def test_a_run_that_is_killed_while_it_trains_ends_with_the_same_numbers(home, tmp_path):
    """A real process, killed for good once a checkpoint is there, and started again."""
    long = {**TUNING, "steps": 50, "check_every": 5, "patience": 100}
    cells = [{"readout": "prompted", "condition": "lora-language"}]
    home.write("long.yaml", {"study": "long", "tuning": long, "cells": cells})

    def start(name: str) -> subprocess.Popen[bytes]:
        place = {"PYTHONPATH": str(ROOT), "VLMBENCH_CACHE": str(tmp_path / f"{name}-c")}
        return subprocess.Popen(
            [sys.executable, "-m", "vlmbench", "run", "--models", "random", "--tasks", "colours",
             "--study", "long", "--include-path", home.folder, "--device", "cpu",
             "--output", tmp_path / name],
            env=os.environ | place,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    whole = start("whole")
    killed = start("parts")
    while not (found := [*(tmp_path / "parts-c").glob("tuned/*.unfinished/checkpoint.pt")]):
        assert killed.poll() is None, "it ended before it kept anything"
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert found[0].is_file()
    assert not list(tmp_path.glob("parts/records/**/*.parquet"))
    assert start("parts").wait() == 0
    assert whole.wait() == 0
    one, two = (
        record(tmp_path / name, "prompted-own+lora-language") for name in ("whole", "parts")
    )
    np.testing.assert_array_equal(one.scores().scores, two.scores().scores)
    assert one.require().weights == two.require().weights
    losses = [said.require().notes["training"]["validation_loss"] for said in (one, two)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 11
