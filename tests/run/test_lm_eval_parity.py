"""Stock lm-eval on our task files: same prompts, same answers.

A few documents are asked in this process; many, by lm-eval's own command line, in `make soak`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from home import ROOT, Home, program, record_of

from vlmbench.registry import catalogue
from vlmbench.tasks import worlds

# One, two and three images a prompt, and the control that the model can really answer.
SHIPPED = ("depth", "semantic_correspondence", "art_style", "naming")
BLIND = "depth_blind_generate"
TASKS = (*(f"{task}_generate" for task in SHIPPED), BLIND)
MODEL = f"pretrained={ROOT}/models/tiny-clip,dtype=float32,max_length=2048"
Samples = Mapping[str, Sequence[dict[str, Any]]]

pytestmark = pytest.mark.filterwarnings("default")  # lm-eval's are none of ours


def in_process(folder: Path, limit: int) -> Samples:
    import lm_eval.models  # noqa: F401  # its own models, which nothing else may have asked for
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("lm_eval.evaluator.add_env_info", lambda storage: None)  # takes seconds
        return simple_evaluate(
            model="hf-multimodal", model_args=MODEL, tasks=list(TASKS), limit=limit,
            task_manager=TaskManager(include_defaults=False, include_path=str(folder / "theirs")),
            apply_chat_template=True, batch_size=8, device="cpu", bootstrap_iters=0,
        )["samples"]  # fmt: skip


def by_command(folder: Path, limit: int) -> Samples:
    program(
        "lm_eval", "run", "--model", "hf-multimodal", "--model_args", MODEL,
        "--tasks", ",".join(TASKS), "--include_path", "theirs", "--apply_chat_template",
        "--batch_size", 8, "--limit", limit, "--device", "cpu", "--log_samples",
        "--output_path", "lm", folder=folder,
        HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", CUDA_VISIBLE_DEVICES="",
    )  # fmt: skip
    found = {}
    for task in TASKS:
        (file,) = (folder / "lm").rglob(f"samples_{task}_2*.jsonl")
        found[task] = [json.loads(line) for line in file.read_text().splitlines()]
    return found


@pytest.fixture(
    scope="module", params=[(8, in_process), pytest.param((40, by_command), marks=pytest.mark.soak)]
)
def runs(request, tmp_path_factory: pytest.TempPathFactory) -> tuple[Samples, Path, int]:
    """Both harnesses' runs over the same exported data."""
    limit, ask = request.param
    folder = tmp_path_factory.mktemp("parity")
    home, theirs = Home(folder / "ours"), Home(folder / "theirs")
    for task in TASKS:
        include = {"include": f"{ROOT}/tasks/{task.replace('_blind', '')}.yaml", "task": task}
        theirs.write(f"{task}.yaml", include)
    # A blind variant in generation form, made as a user would.
    blind = {"metadata": {"vlmbench": {"condition": {"image": "blank"}}}}
    for place in (home, theirs):
        place.write(f"{BLIND}.yaml", include | {"doc_to_image": ["blank"]} | blind)
    home.study("asked", {"readout": "prompted"})
    for task in SHIPPED:
        export(folder / "vlmbench-data" / task, task, limit)
    run = home.run("tiny-clip", ",".join(TASKS), "--limit", limit, "--study", "asked")
    return ask(folder, limit), run, limit


def export(folder: Path, name: str, limit: int) -> None:
    """Write the first documents of a task where other harnesses look for them."""
    (task,) = catalogue().select_tasks(name)
    root = Path(os.environ["VLMBENCH_CACHE"], "worlds")
    place = worlds.build(task.spec.bench.generator, root=root, splits=["test"], first=limit)
    folder.mkdir(parents=True)
    for split in worlds.SPLITS:  # all three are opened, one is asked
        shutil.copy(place / f"test-first-{limit}.parquet", folder / f"{split}.parquet")


@pytest.mark.parametrize("task", TASKS)
def test_prompts_and_answers_are_lm_evals(runs, task: str) -> None:
    samples, run, limit = runs
    theirs = sorted(samples[task], key=lambda sample: sample["doc_id"])
    cell = "prompted-blank" if task == BLIND else "prompted-own"
    ours = pq.read_table(record_of(run, "tiny-clip", task, cell)).to_pylist()
    assert len(theirs) == len(ours) == limit
    assert [s["doc"]["doc_id"] for s in theirs] == [row["doc_id"] for row in ours]
    assert [context(s["arguments"]) for s in theirs] == [row["prompt"] for row in ours]
    same = [s["resps"][0][0] == r["response"] for s, r in zip(theirs, ours, strict=True)]
    assert sum(same) / limit >= 0.99
    assert [s["exact_match"] for s in theirs] == [row["credit"] for row in ours]


def context(arguments: Any) -> str:
    """Return what a sample was asked: lm-eval's files name what its results only list."""
    return arguments["gen_args_0"]["arg_0"] if isinstance(arguments, dict) else arguments[0][0]
