"""`vlmbench lm-eval`: lm-eval's own run, table and files, on our models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from home import ROOT, vlmbench
from lm_eval.tasks import TaskManager

from vlmbench.harness import _tasks

# What only lm-eval reads: no `metadata.vlmbench`, no images.
TEXT = """\
task: text_only
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: {kind}
doc_to_text: "{{{{question}}}}"
doc_to_choice: options
doc_to_target: answer
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
metadata: {{version: 2.0}}
"""


@pytest.fixture
def call(home: Path) -> Callable[..., str]:
    def run(*arguments: object, status: int = 0) -> str:
        said = vlmbench(
            "lm-eval", "--include-path", home, "--device", "cpu", *arguments, status=status
        )
        return said.err if status else said.out

    return run


def test_a_group_of_our_files(call, home, tmp_path):
    out = call(
        "--models", "random", "--tasks", "all_picks,pick_blind", "--limit", "4",
        "--output", tmp_path, "--log-samples", "--batch-size", "2",
    )  # fmt: skip
    assert "vlmbench (random)" in out
    assert "| - pick " in out.replace("|  - ", "| - ")
    (file,) = (tmp_path / "random").glob("results_*.json")
    results = json.loads(file.read_text())
    assert set(results["results"]) >= {"pick", "pick_generate", "pick_blind"}
    assert results["group_subtasks"]["all_picks"] == ["pick", "pick_generate"]
    assert results["n-samples"]["pick"] == {"original": 10, "effective": 4}
    assert results["config"]["model_name"] == "random"
    assert results["chat_template"]  # lm-eval's record of how it was asked
    (samples,) = (tmp_path / "random").glob("samples_pick_2*.jsonl")
    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    assert [line["doc"]["id"] for line in lines] == ["doc0", "doc1", "doc2", "doc3"]


@pytest.mark.parametrize("kind", ["multiple_choice", "generate_until"])
def test_a_text_only_task_of_lm_evals(call, tmp_path, kind):
    rows = [
        {"question": f"Is {n} odd?", "options": ["yes", "no"], "answer": 1 - n % 2}
        for n in range(4)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    text = TEXT.format(data=tmp_path / "rows.jsonl", kind=kind)
    if kind == "generate_until":
        text = text.replace("metric: acc", "metric: exact_match")
        text += "generation_kwargs: {until: ['x'], max_gen_toks: 2}\n"
    (tmp_path / "text.yaml").write_text(text)
    out = call(
        "--models", "random", "--tasks", "text_only", "--include-path", tmp_path,
        "--output", tmp_path / "out",
    )  # fmt: skip
    assert "text_only" in out
    (file,) = (tmp_path / "out" / "random").glob("results_*.json")
    assert json.loads(file.read_text())["n-samples"]["text_only"]["effective"] == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--models", "randm", "--tasks", "pick"), "there is no model `randm`"),
        (("--models", "random", "--tasks", "pick", "--log-samples"), "Add --output"),
        (("--models", "random", "--tasks", "pick,all_picks"), "named twice: pick"),
        (("--models", "random", "--tasks", ","), "does not select any task"),
        (("--models", "random", "--tasks", "pick", "--batch-size", "many"), "batch size"),
        (("--models", "table", "--tasks", "pick"), "cannot be asked"),
    ],
)  # fmt: skip
def test_wrong_requests_are_refused(call, tmp_path, arguments, said):
    (tmp_path / "table.yaml").write_text(
        "model: table\nrecorded: [{task: pick, accuracy: 0.5, n: 10}]\n"
    )
    assert said in call(*arguments, "--include-path", tmp_path, status=1)


@pytest.fixture(scope="module")
def stock() -> TaskManager:
    """All that lm-eval ships: fifteen thousand files, which take seconds to read."""
    return TaskManager()


def test_a_name_that_nobody_knows(call, stock, monkeypatch):
    """Only now is all that lm-eval ships read."""
    read = []

    def manager(paths, *, defaults):
        read.append(defaults)
        return stock if defaults else real(paths, defaults=False)

    real = _tasks._manager
    monkeypatch.setattr(_tasks, "_manager", manager)
    said = call("--models", "random", "--tasks", "lm_eval:mmmu_val_arts", status=1)
    assert "neither vlmbench nor lm-eval has a task, group or tag `mmmu_val_arts`" in said
    assert "`mmmu_val_art`" in said
    assert read == [False, True]


def test_no_task_of_the_papers_suite_has_a_name_of_lm_evals_own(stock):
    names = {path.stem for path in (ROOT / "tasks" / "hidden_in_plain_sight").glob("*.yaml")}
    assert "arc_easy" in stock.all_tasks  # the list is not empty
    assert not names & set(stock.all_tasks)


def test_a_mistake_in_one_of_our_files_is_not_overlooked(call, tmp_path):
    (tmp_path / "wrong.yaml").write_text("task: wrong\nmetadata: {vlmbench: {abilty: x}}\n")
    said = call(
        "--models", "random", "--tasks", "wrong", "--include-path", tmp_path, status=1
    )  # fmt: skip
    assert "abilty" in said


def test_a_broken_data_file_is_found_before_any_model_is_asked(call, home, tmp_path):
    text = (home / "pick.yaml").read_text().replace("task: pick", "task: lost")
    (tmp_path / "lost.yaml").write_text(text.replace("tag: picks\n", ""))
    said = call("--models", "random", "--tasks", "lost", "--include-path", tmp_path, status=1)
    assert "cannot load split 'test'" in said
