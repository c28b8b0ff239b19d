"""Whole runs on vLLM itself, in its engine and behind its server: run by `make vllm`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from home import ROOT, Home, program, vlmbench
from serving import free_port, process

from vlmbench.store import RunFolder

pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("ignore")]
TASKS, N = "naming,art_style,naming_generate", 12
TOLERANCE = 5e-5


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Home:
    home = Home(tmp_path_factory.mktemp("home"))
    for name in ("tiny-clip", "tiny-siglip", "tiny-in1k", "tiny-dense"):
        checkpoint, image = ROOT / "models" / name, {"letterbox": 96, "fill": [128, 128, 128]}
        home.model(f"{name}-hf", checkpoint, image=image)
        home.model(f"{name}-vllm", checkpoint, image=image, backend="vllm")
    home.study("asked", {"readout": "prompted"})
    return home


def command(home: Home, models: list[str], output: str) -> list[object]:
    """Return the arguments of a run."""
    files = ",".join(str(home.folder / f"{name}.yaml") for name in models)
    return [
        "run", "-m", files, "-t", TASKS, "--study", home.folder / "asked.yaml", "--limit", N,
        "--device", "cpu", "--output", home.folder / output,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def local(home) -> RunFolder:
    vlmbench(*command(home, ["tiny-clip-hf", "tiny-siglip-hf", "tiny-dense-hf"], "local"))
    return RunFolder(home.folder / "local")


def same(one: RunFolder, own: str, other: RunFolder, theirs: str) -> None:
    """Check that two models of two runs have answered alike."""
    for task in TASKS.split(","):
        a, b = (
            run.record(f"{model}/{task}/prompted-own").scores()
            for run, model in ((one, own), (other, theirs))
        )
        assert a.scale == b.scale
        assert not a.failed.any()
        np.testing.assert_allclose(a.scores, b.scores, atol=TOLERANCE)
    texts = [
        pq.read_table(run.record(f"{model}/naming_generate/prompted-own").path)["response"]
        for run, model in ((one, own), (other, theirs))
    ]
    assert texts[0].to_pylist() == texts[1].to_pylist()


def test_models_run_in_one_engine_after_another(home, local):
    """Their answers are those of transformers; the second time nothing is loaded.

    The projector of tiny-dense reads the encoder's last layer, the others' the last but one.
    """
    names = ["tiny-clip-vllm", "tiny-siglip-vllm", "tiny-dense-vllm"]
    said = program("vlmbench", *command(home, names, "engine"), OMP_NUM_THREADS="1")
    run = RunFolder(home.folder / "engine")
    for name in names:
        same(run, name, local, name.replace("vllm", "hf"))
        notes = run.record(f"{name}/naming/prompted-own").require().notes
        assert notes["canary"]["images"] > notes["canary"]["repeat"]
        assert notes["vllm"]
    assert "INFO" not in said  # what vLLM logs is not mixed into what is printed
    records = {path: path.stat().st_mtime_ns for path in run.path.rglob("*.parquet")}
    assert len(records) == 3 * 3
    vlmbench(*command(home, names, "engine"))
    assert records == {path: path.stat().st_mtime_ns for path in records}


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[int]:
    """vLLM's own server of `tiny-clip`; the port it listens on."""
    port = free_port()
    arguments = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server",
        "--model", ROOT / "models" / "tiny-clip", "--served-model-name", "tiny-clip",
        "--host", "127.0.0.1", "--port", port, "--dtype", "float32", "--enforce-eager",
        "--generation-config", "vllm",
    ]  # fmt: skip
    log = tmp_path_factory.mktemp("server") / "log"
    with process([str(argument) for argument in arguments], log, port, patience_s=240):
        yield port


def served(home: Home, port: int, name: str = "served") -> Path:
    address = {"base_url": f"http://127.0.0.1:{port}/v1", "concurrency": 8}
    image = {"letterbox": 96, "fill": [128, 128, 128]}
    return home.model(name, "tiny-clip", backend="openai", image=image, server=address)


def test_a_served_model_answers_as_it_does_here(home, local, server):
    served(home, server)
    vlmbench(*command(home, ["served"], "remote"))
    run = RunFolder(home.folder / "remote")
    same(run, "served", local, "tiny-clip-hf")
    notes = run.record("served/naming/prompted-own").require().notes
    assert notes["read_from"] == "likelihood"
    assert notes["all_choices_listed"] == N
    assert notes["canary"]["images"] > 0.01
    assert notes["canary"]["repeat"] <= TOLERANCE
    assert "What colour is this? Answer with one word." in notes["canary"]["prompt"]


def test_a_server_without_the_model_is_refused_before_any_document(home, server):
    path = served(home, server, "absent")
    path.write_text(path.read_text().replace("checkpoint: tiny-clip", "checkpoint: tiny-mug"))
    said = vlmbench(*command(home, ["absent"], "absent"), status=1)
    assert "tiny-mug" in said.words
    assert not list((home.folder / "absent").rglob("*.parquet"))


def test_a_tower_that_vllm_does_not_know_is_refused(home):
    said = vlmbench(*command(home, ["tiny-in1k-vllm"], "vit"), status=1)
    assert "model 'tiny-in1k-vllm': vLLM cannot load" in said.words
    assert "or use `backend: hf`" in said.words
