"""A Ray cluster leaves what a local run leaves, also where it loses nodes on the way."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from cluster import Noted, started
from home import Home, stats_of, vlmbench
from safetensors.torch import load_file, save_file

from vlmbench.plan import Unit, make_plan
from vlmbench.registry import catalogue
from vlmbench.run import Cluster, Settings, execute
from vlmbench.run._ray import connected
from vlmbench.run._worker import Worker, Wrong
from vlmbench.types import VlmbenchError

DOCUMENTS, BATCH, CELLS, ASKED = 22, 4, 4, 2  # two of the cells are prompted
TEXT = "<image><image>\n{{ id }}: which point matches, A or B?"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Noted]]:
    with started(tmp_path_factory.mktemp("site")) as (found, noted):
        found.add_node(num_cpus=1)
        yield found, noted


@pytest.fixture(scope="module")
def home(tmp_path_factory, llava_folder: Path, backend) -> Home:
    """A task of 22 documents, of which a model cannot take two: it overflows where it reads a 7."""
    home = Home(tmp_path_factory.mktemp("home"))
    home.pairs("pairs", DOCUMENTS, doc_to_text=TEXT)
    twin = {"layer": -2, "relation": "identical", "pooled": "cls"}
    folder = shutil.copytree(llava_folder, home.folder / "weights")
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if name.endswith("embed_tokens.weight"))
    weights[name][backend.processor.tokenizer.convert_tokens_to_ids("7")] = torch.inf
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    home.model("tiny", folder, backend="noting", twin=twin)
    cells = [{"readout": "prompted"}, {"readout": "prompted", "condition": "blank"}]
    home.study("every", *cells, {"readout": "hidden"}, {"readout": "encoder"})
    del weights[name]
    shutil.copytree(folder, home.folder / "torn")
    save_file(weights, home.folder / "torn" / "model.safetensors", metadata={"format": "pt"})
    home.model("torn", home.folder / "torn", twin=twin)
    return home


@pytest.fixture(scope="module")
def local(home: Home, cluster: tuple[Any, Noted]) -> Path:
    return home.run("tiny", "pairs", "--study", "every", "--batch-size", BATCH, output="local")


def ran(
    home: Home,
    output: Path,
    cluster: Cluster | None,
    reporter: Counting,
    *,
    model: str = "tiny",
    tasks: str = "pairs",
    study: str = "every",
    limit: int | None = None,
) -> None:
    found = catalogue([home.folder])
    (chosen,) = found.select_studies(study)
    plan = make_plan(
        found.select_models(model), found.select_tasks(tasks), chosen, limit=limit,
        count=lambda task: None,
    )  # fmt: skip
    settings = Settings(
        output=output, data_root=home.folder / "drawn", cache=output / "cache", device="cpu",
        batch_size=BATCH, cluster=cluster,
    )  # fmt: skip
    execute(plan, settings, reporter)


class Counting:
    """Adds up what it is told, and calls something every time."""

    def __init__(self, called: Callable[[], None] = lambda: None) -> None:
        self.done: Counter[str] = Counter()
        self._called = called

    def start(self, label: str, total: int) -> Callable[[int], None]:
        self.done[label] += 0

        def advance(done: int) -> None:
            self.done[label] += done
            self._called()

        return advance

    def expect(self, answers: int) -> None:
        pass


def written(folder: Path) -> dict[str, bytes]:
    names = ("manifest.json", "stats.json", "results.json")
    paths = [*map(folder.joinpath, names), *(folder / "records").rglob("*.parquet")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_a_cluster_leaves_the_same_bytes_with_more_shares_than_batches(home, cluster, local):
    nodes, noted = cluster
    noted.begin()
    run = home.run(
        "tiny", "pairs", "--study", "every", "--batch-size", BATCH, "--executor", "ray",
        "--ray-address", nodes.address, "--shards", 9, output="ray",
    )  # fmt: skip
    assert len(written(local)) == CELLS + 3  # and stats, results and manifest
    assert written(run) == written(local)
    assert noted.by_node().total() == ASKED * DOCUMENTS
    assert "here" not in noted.by_node()
    stats = stats_of(run, "condition", "readout", "metric")
    assert stats["own", "prompted", "failed"]["value"] == 2
    assert stats["own", "prompted", "accuracy"]["n"] == DOCUMENTS - 2


def test_a_lost_node_costs_the_batch_in_flight(home, cluster, local, tmp_path):
    nodes, noted = cluster
    noted.begin(pace=0.6)  # processes outlive their node by a second
    doomed = nodes.add_node(num_cpus=1)
    lost: list[str] = []

    def kill() -> None:
        if not lost and noted.by_node()[doomed.node_id]:
            lost.append(doomed.node_id)
            nodes.remove_node(doomed, allow_graceful=False)

    reporter = Counting(kill)
    ran(home, tmp_path / "ray", Cluster(address=nodes.address), reporter)
    assert lost
    assert any("was lost" in label for label in reporter.done)
    assert reporter.done["answers"] == CELLS * DOCUMENTS  # none twice, none missing
    assert written(tmp_path / "ray") == written(local)
    assert 0 <= noted.by_node().total() - ASKED * DOCUMENTS <= BATCH  # run again, and no more


def test_what_a_stopped_run_left_is_not_asked_again_wherever_it_goes_on(
    home, cluster, local, tmp_path
):
    nodes, noted = cluster
    noted.begin()

    def stop() -> None:
        if reporter.done["answers"] >= DOCUMENTS + BATCH:  # in the middle of the second cell
            raise KeyboardInterrupt

    reporter = Counting(stop)
    with pytest.raises(KeyboardInterrupt):
        ran(home, tmp_path / "run", Cluster(address=nodes.address), reporter)
    assert noted.by_node().total() >= DOCUMENTS + BATCH
    ran(home, tmp_path / "run", None, Counting())
    assert written(tmp_path / "run") == written(local)
    done = noted.by_node()
    assert 0 < done["here"] < DOCUMENTS
    assert 0 <= done.total() - ASKED * DOCUMENTS <= BATCH * len(nodes.list_all_nodes())


@pytest.mark.soak
def test_what_kills_every_actor_ends_the_run(home, cluster):
    nodes, _ = cluster
    home.pairs("deadly", 6, doc_to_text="<image><image>\nA or B? {{ 'poison' if id == 'doc3' }}")
    said = vlmbench(
        "run", "--models", "tiny", "--tasks", "deadly", "--include-path", home.folder,
        "--output", home.folder / "deadly-run", "--device", "cpu", "--batch-size", 1,
        "--executor", "ray", "--ray-address", nodes.address, status=1,
    )  # fmt: skip
    assert "3 actors of model 'tiny' died one after another before" in said.words
    assert "tiny/deadly/prompted-own" in said.words


def test_a_model_that_cannot_be_loaded_says_why_as_it_does_locally(home, cluster):
    nodes, _ = cluster
    ray = ("--executor", "ray", "--ray-address", nodes.address)
    found = [
        vlmbench(
            "run", "--models", "torn", "--tasks", "pairs", "--include-path", home.folder,
            "--output", home.folder / f"torn-{len(more)}", "--device", "cpu", *more, status=1,
        ).err.split("answers")[-1]
        for more in ((), ray)
    ]  # fmt: skip
    assert "embed_tokens" in found[0]
    assert found[0].splitlines()[-3:] == found[1].splitlines()[-3:]


class Unseen:
    """Data that is on another machine."""

    def __reduce__(self):
        return open, ("/no/such/data.arrow",)


def test_a_node_that_does_not_see_the_data_says_so(home, cluster, tmp_path):
    import ray

    nodes, _ = cluster
    found = catalogue([home.folder])
    (study,) = found.select_studies("every")
    plan = make_plan(
        found.select_models("tiny"), found.select_tasks("pairs"), study, count=lambda task: None
    )
    settings = Settings(output=tmp_path, data_root=tmp_path, cache=tmp_path, device="cpu")
    with connected(Cluster(address=nodes.address)):
        worker = Worker(plan.models[0], settings, 0, {"pairs": ray.put(Unseen())})
        (told,) = worker.run(Unit(cells=plan.cells[:1]), {})
    assert isinstance(told, Wrong)
    assert "the documents of 'pairs' cannot be opened on" in told.problems[0].message
    assert "No such file" in told.problems[0].message


def test_what_this_machine_will_never_have_is_not_waited_for(home, cluster, tmp_path):
    del cluster  # another one is started
    twin = {"layer": -2, "relation": "identical", "pooled": "cls"}
    home.model("vast", home.folder / "weights", twin=twin, needs={"memory_gb": 1e6})
    for model, device, told in (
        ("torn", "cuda", "torn asks for 1 GPUs; Ray has 0 here"),
        ("vast", "cpu", "vast asks for 1e+06 GiB of memory; Ray has"),
    ):
        said = vlmbench(
            "run", "--models", model, "--tasks", "pairs", "--include-path", home.folder,
            "--output", tmp_path / model, "--device", device, "--executor", "ray",
            "--ray-address", "local", status=1,
        )  # fmt: skip
        assert told in said.words


def test_without_ray_the_extra_is_named(home, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(VlmbenchError, match="needs the package `ray`") as raised:
        ran(home, home.folder / "none", Cluster(), Counting())
    assert "vlmbench-gap[ray]" in raised.value.problems[0].remedy


@pytest.mark.soak
def test_what_is_learnt_is_learnt_alike(home, cluster, tmp_path):
    nodes, _ = cluster
    nodes.add_node(num_cpus=1)
    home.write("learning.yaml", {
        "study": "learning", "tuning": {"steps": 4, "batch": 4, "check_every": 2},
        "cells": [
            {"readout": "prompted"}, {"readout": "prompted", "condition": "lora-language"},
            {"readout": "prompted", "condition": "blank+lora-language"},
            {"readout": "encoder"}, {"readout": "hidden"}, {"readout": "internals"},
        ],
    })  # fmt: skip
    for name, where in ("local", None), ("ray", Cluster(address=nodes.address, shards=3)):
        ran(
            home, tmp_path / name, where, Counting(),
            model="tiny-clip", tasks="naming,object_3d", study="learning", limit=DOCUMENTS,
        )  # fmt: skip
    assert len(written(tmp_path / "local")) == 3 + 2 * 6
    assert written(tmp_path / "ray") == written(tmp_path / "local")
