"""Stock lm-eval, from its own command line, on our task files: same prompts, same answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
LIMIT = 40
# One, two and three images a prompt, and the control that the model can really answer.
TASKS = ("depth_generate", "semantic_correspondence_generate", "art_style_generate",
         "naming_generate", "depth_blind_generate")  # fmt: skip


def call(*command: object, cwd: Path) -> None:
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip
    program, *arguments = map(str, command)
    done = subprocess.run(
        [BIN / program, *arguments], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both harnesses' runs over the same exported data."""
    folder = tmp_path_factory.mktemp("parity")
    extra = folder / "extra"
    extra.mkdir()
    # A blind variant in generation form, made as a user would.
    (extra / "depth_blind_generate.yaml").write_text(
        f"include: {ROOT}/tasks/depth_generate.yaml\n"
        "task: depth_blind_generate\ndoc_to_image: [blank]\n"
        "metadata: {vlmbench: {condition: {image: blank}}}\n"
    )
    for task in ("depth", "semantic_correspondence", "art_style", "naming"):
        call("vlmbench", "data", "build", task, "--output", "vlmbench-data", cwd=folder)
    for task in TASKS:
        call(
            "lm_eval", "run", "--model", "hf-multimodal",
            "--model_args", f"pretrained={ROOT}/models/tiny-clip,dtype=float32,max_length=2048",
            "--tasks", task, "--include_path", extra if "blind" in task else ROOT / "tasks",
            "--apply_chat_template", "--batch_size", 8, "--limit", LIMIT, "--device", "cpu",
            "--log_samples", "--output_path", folder / "lm" / task, cwd=folder,
        )  # fmt: skip
    call(
        "vlmbench", "run", "--models", "tiny-clip", "--tasks", ",".join(TASKS),
        "--include-path", extra, "--limit", LIMIT, "--device", "cpu", "--output", "ours",
        cwd=folder,
    )  # fmt: skip
    return folder


@pytest.mark.parametrize("task", TASKS)
def test_prompts_and_answers_are_lm_evals(runs: Path, task: str) -> None:
    (samples,) = (runs / "lm" / task).rglob("samples_*.jsonl")
    theirs = sorted(
        (json.loads(line) for line in samples.read_text().splitlines()), key=lambda s: s["doc_id"]
    )
    condition = "blank" if "blind" in task else "own"
    ours = pq.read_table(
        runs / "ours" / "records" / "tiny-clip" / task / f"prompted-{condition}.parquet"
    ).to_pylist()
    assert len(theirs) == len(ours) == LIMIT
    assert [s["doc"]["doc_id"] for s in theirs] == [row["doc_id"] for row in ours]
    assert [s["arguments"]["gen_args_0"]["arg_0"] for s in theirs] == [r["prompt"] for r in ours]
    same = [s["resps"][0][0] == r["response"] for s, r in zip(theirs, ours, strict=True)]
    assert sum(same) / LIMIT >= 0.99
    credit = [s["exact_match"] for s in theirs]
    assert credit == [row["credit"] for row in ours]
