"""Tasks that ship with lm-eval in `vlmbench run`: their documents and scoring, in our grid."""

from __future__ import annotations

import json
import random
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from home import asked, stats_of, texts_read, vlmbench
from lm_eval import simple_evaluate
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml

from vlmbench.harness import VlmbenchLM
from vlmbench.metrics import credit
from vlmbench.readouts import read_prompted
from vlmbench.registry import catalogue, shipped_yaml
from vlmbench.registry._lm_eval import _reasons
from vlmbench.spec import Condition
from vlmbench.tasks import ask, check_documents, load_documents
from vlmbench.types import VlmbenchError

ART = "lm_eval:mmmu_val_art"


def opened(term: str, tmp_path: Path):
    (task,) = catalogue().select_tasks(term)
    documents = load_documents(task, "reported", tmp_path)
    check_documents(documents)
    return task, documents


@pytest.fixture
def rows(mmmu_row, image_cell) -> list[dict[str, object]]:
    """Choices, an open question, and images that are named twice and out of order."""
    return [
        *(mmmu_row(index) for index in range(4)),
        mmmu_row(4, question_type="open", options="[]", answer="42", question="<image 1>How many?"),
        mmmu_row(
            5, question="<image 2> or <image 1> or again <image 2>?", image_2=image_cell(900)
        ),
    ]  # fmt: skip


def test_documents_are_what_lm_eval_makes_of_them(write_mmmu, rows, tmp_path):
    write_mmmu(rows)
    task, documents = opened(ART, tmp_path)
    assert task.spec.task == "lm_eval.mmmu_val_art"
    assert task.spec.generation_kwargs.max_gen_toks == 512
    assert documents.source == "MMMU/MMMU:Art"
    held = list(documents)
    first = documents.prompt(held[0])
    assert first == (
        "<image> Which of these is number 0?\n\n(A) one\n(B) two\n\n"
        "Answer with the option's letter from the given choices directly."
    )
    assert documents.prompt(held[4]).endswith("single word or phrase.")
    assert [len(document.images) for document in held] == [1, 1, 1, 1, 1, 3]
    again = held[5].images
    assert again[0].digest == again[2].digest != again[1].digest
    original = np.asarray(datasets.Image().decode_example(rows[5]["image_1"]))
    assert (np.asarray(again[1].decode()) == original).all()
    assert held[0].row["subfield"] == "Drawing"


REPLIES = {0: "(A)", 1: "B", 2: "It is not (A) but (B).", 3: "??", 4: "It is 42.", 5: ""}


def reply(question: str) -> str:
    number = 4 if "How many" in question else 5 if "again" in question else None
    if number is None:
        number = int(question.split("number ")[1][0])
    return REPLIES[number]


def test_credit_is_what_simple_evaluate_gives(write_mmmu, rows, tmp_path, scripted):
    folder = write_mmmu(rows)
    stock = load_yaml(shipped_yaml("mmmu_val_art"), resolve_func=True)
    fresh = {"cache_dir": str(tmp_path / "stock")}
    theirs = simple_evaluate(
        model=VlmbenchLM(scripted(say=reply)),
        tasks=[
            ConfigurableTask(config=stock | {"dataset_path": str(folder), "dataset_kwargs": fresh})
        ],
        task_manager=TaskManager(include_defaults=False),
        apply_chat_template=True,
        bootstrap_iters=0,
    )["samples"]["mmmu_val_art"]
    task, documents = opened(ART, tmp_path)
    held = list(documents)
    reading = read_prompted(ask(held, task.spec, Condition()), task.spec, scripted(say=reply))
    assert [s["arguments"][0][0] for s in theirs] == [a.prompt for a in reading.answers]
    assert [s["resps"][0][0] for s in theirs] == [a.response for a in reading.answers]
    earned = credit(reading.scores)
    # lm-eval draws a letter for what names none; that is an abstention here.
    assert reading.scores.abstained.tolist() == [False, False, False, True, False, True]
    read = ~reading.scores.abstained
    assert [s["acc"] for s, kept in zip(theirs, read, strict=True) if kept] == list(earned[read])
    assert earned.tolist() == [1.0, 1.0, 0.0, 0.0, 1.0, 0.0]


def test_a_guess_leaves_no_trace(write_mmmu, rows, tmp_path):
    write_mmmu(rows)
    task, documents = opened(ART, tmp_path)
    held = [documents[3]]
    random.seed(7)
    expected = random.Random(7).random()
    assert [texts_read(task.spec, held, ["??"]) for _ in range(12)] == [[None]] * 12
    assert random.random() == expected


def test_a_run_with_its_blind_condition(home, write_mmmu, mmmu_row, tmp_path):
    write_mmmu([mmmu_row(index) for index in range(3)])
    output = tmp_path / "run"
    vlmbench(
        "run", "--models", "random", "--tasks", ART, "--include-path", home,
        "--output", output, "--device", "cpu",
    )  # fmt: skip
    stats = stats_of(output, "condition", "readout", "metric")
    assert stats["own", "prompted", "accuracy"]["n"] == 3
    assert stats["blank", "prompted", "accuracy"]["n"] == 3
    # Free text has no letters to guess among: no number is given that would suppose some.
    assert not {metric for _, _, metric in stats} & {
        "chance",
        "majority",
        "accuracy_corrected",
        "tv",
    }
    records = output / "records" / "random" / "lm_eval.mmmu_val_art"
    own = pq.read_table(records / "prompted-own.parquet").to_pylist()
    blank = pq.read_table(records / "prompted-blank.parquet").to_pylist()
    assert [row["prompt"] for row in own] == [row["prompt"] for row in blank]
    assert [row["response"] for row in own] != [row["response"] for row in blank]
    manifest = json.loads((output / "manifest.json").read_text())
    assert manifest["tasks"]["lm_eval.mmmu_val_art"]["chance"] is None
    assert manifest["versions"]["lm-eval"]
    board = tmp_path / "board"
    vlmbench("leaderboard", output, "--output", board)
    lines = (board / "README.md").read_text().splitlines()
    cells = next(line for line in lines if line.startswith("| Art")).split("|")
    assert [cell.strip() for cell in cells[2:5]] == ["3", "–", "–"]  # n, chance, majority


# -- what fits ------------------------------------------------------------------------------


def test_groups_and_metrics_are_selected_by_name():
    found = catalogue()
    group = found.select_tasks("lm_eval:mmmu_val_art_and_design")
    assert [task.spec.task for task in group] == [
        "lm_eval.mmmu_val_art", "lm_eval.mmmu_val_art_theory",
        "lm_eval.mmmu_val_design", "lm_eval.mmmu_val_music",
    ]  # fmt: skip
    assert len(found.select_tasks("lm_eval:mmmu_val")) == 30
    first, named = found.select_tasks("lm_eval:chartqa,lm_eval:chartqa:relaxed_accuracy")
    assert first.spec.task_alias == "chartqa (exact_match)"
    assert named.spec.task == "lm_eval.chartqa.relaxed_accuracy"
    assert named.spec.bench.lm_eval.metric == "relaxed_accuracy"


def test_every_task_with_images_is_taken_or_refused_with_a_reason():
    found = catalogue()
    for name in ("mmmu_val", "chartqa", "chartqa_llama", "chartqa_llama_90", "pisa"):
        assert found.select_tasks(f"lm_eval:{name}")
    with pytest.raises(VlmbenchError, match="hosted model") as caught:
        found.select_tasks("lm_eval:pisa_llm_judged")
    assert len(caught.value.problems) == 6  # every member's, not the first's


@pytest.mark.parametrize(
    ("term", "said"),
    [
        ("lm_eval:mmmu_val_arts", "Did you mean `mmmu_val_art`"),
        ("lm_eval:arc_easy", "text-only tasks run with `vlmbench lm-eval`"),
        ("lm_eval:chartqa:anls", "no metric `anls`, only exact_match"),
        ("lm_eval:", "does not ship a task ``"),
    ],
)
def test_wrong_names_are_refused_at_plan_time(term, said):
    told = vlmbench("plan", "--models", "tiny-clip", "--tasks", term, status=1)
    assert said in told.err


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"doc_to_image": None}, "it has no images"),
        ({"output_type": "loglikelihood_rolling"}, "neither multiple_choice nor"),
        ({"doc_to_audio": "sound"}, "doc_to_audio"),
        ({"repeats": 4}, "repeats"),
        ({"num_fewshot": 3}, "num_fewshot"),
        ({"gen_prefix": "A:"}, "gen_prefix"),
        ({"generation_kwargs": {"do_sample": True}}, "samples"),
        ({"metric_list": [{"metric": "acc", "aggregation": "median"}]}, "aggregated by `median`"),
        ({"metric_list": [{"metric": "/x/u.f", "aggregation": "/x/u.pool"}]}, "`f` is aggregated"),
        ({"metric_list": []}, "no metric"),
        ({"output_type": "multiple_choice", "metric_list": [{"metric": "f1"}]}, "`f1` is not"),
    ],
)  # fmt: skip
def test_what_is_not_per_document_is_refused_with_the_reason(changes, said):
    plain = {
        "doc_to_image": "image", "output_type": "generate_until",
        "metric_list": [{"metric": "acc", "aggregation": "mean"}],
    }  # fmt: skip
    assert list(_reasons(plain, "")) == []
    reasons = list(_reasons(plain | changes, ""))
    assert len(reasons) == 1
    assert said in reasons[0]


def test_choices_are_taken_from_lm_eval(monkeypatch, tmp_path, scripted):
    """No task with images that ships today is multiple choice; one that did would run so."""
    monkeypatch.setenv("VLMBENCH_DATA", str(tmp_path))
    yaml = tmp_path / "shipped.yaml"
    yaml.write_text(
        "task: mc\ndataset_path: parquet\ntest_split: test\noutput_type: multiple_choice\n"
        f"dataset_kwargs: {{data_files: {{test: {tmp_path}/test.parquet}}}}\n"
        'doc_to_text: "<image>{{q}}"\ndoc_to_image: [picture]\ndoc_to_choice: "{{options}}"\n'
        "doc_to_target: answer\n"
    )
    data = datasets.Dataset.from_dict(
        {"q": ["a?", "b?"], "options": [["x", "y"], ["x", "y", "z"]], "answer": ["x", "z"],
         "picture": [np.zeros((8, 8, 3), np.uint8)] * 2},
        features=datasets.Features(
            {"q": datasets.Value("string"), "options": datasets.List(datasets.Value("string")),
             "answer": datasets.Value("string"), "picture": datasets.Image()}
        ),
    )  # fmt: skip
    data.to_parquet(tmp_path / "test.parquet")
    monkeypatch.setenv("VLMBENCH_DATA", str(tmp_path))  # a task of lm-eval's has no folder of ours
    monkeypatch.setattr("vlmbench.tasks._lm_eval.shipped_yaml", lambda name: yaml)
    monkeypatch.setattr(
        "vlmbench.registry._lm_eval._index",
        lambda: TaskManager(include_path=str(tmp_path), include_defaults=False).task_index,
    )
    (task,) = catalogue().select_tasks("lm_eval:mc")
    documents = load_documents(task, "reported", tmp_path)
    check_documents(documents)
    held = list(documents)
    assert [document.choices for document in held] == [("x", "y"), ("x", "y", "z")]
    assert [document.gold for document in held] == [0, 2]
    reading = read_prompted(asked(held, ["<image>a?", "<image>b?"]), task.spec, scripted())
    assert reading.scores.scale == "logprob"
    assert credit(reading.scores).tolist() == [1.0, 0.0]


def test_a_credit_that_is_none_is_refused(write_mmmu, rows, tmp_path, monkeypatch):
    write_mmmu(rows)
    task, documents = opened(ART, tmp_path)
    wrong = lambda self, row, answer: {"acc": (1, 2)}
    monkeypatch.setattr(ConfigurableTask, "process_results", wrong)
    with pytest.raises(VlmbenchError, match="not a credit in"):
        texts_read(task.spec, [documents[0]], ["A"])


def test_data_of_another_layout_is_refused(write_mmmu, rows, tmp_path):
    write_mmmu([{key: value for key, value in row.items() if key != "options"} for row in rows])
    with pytest.raises(VlmbenchError, match="KeyError"):
        opened(ART, tmp_path)


def test_missing_data_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("VLMBENCH_DATA", str(tmp_path))
    with pytest.raises(VlmbenchError, match="hf download MMMU/MMMU"):
        opened(ART, tmp_path)


def test_a_copy_that_changes_is_read_anew(write_mmmu, mmmu_row, tmp_path):
    """`datasets` itself would give the first files' documents again: same README, same name."""
    folder = write_mmmu([mmmu_row(0)])
    assert len(opened(ART, tmp_path)[1]) == 1
    (folder / "Art" / "validation-00000-of-00001.parquet").unlink()
    folder.rename(tmp_path / "old")
    assert len(write_mmmu([mmmu_row(0), mmmu_row(1)]).parts)
    assert len(opened(ART, tmp_path)[1]) == 2
