"""Task files written for lm-eval alone, as its docs have them, run as they are."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest
from home import vlmbench
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

from vlmbench.harness import VlmbenchLM
from vlmbench.metrics import credit
from vlmbench.readouts import Reading, read_prompted
from vlmbench.spec import Condition, TaskSpec, doc_answers, doc_choices, doc_target, load_file
from vlmbench.tasks import Documents, ask, check_documents, load_documents
from vlmbench.types import VlmbenchError

CHOICE = """\
task: plain_choice
tag: [multimodal]
dataset_path: parquet
dataset_kwargs: {{trust_remote_code: true, data_files: {{test: {data}}}}}
test_split: test
fewshot_split: test
fewshot_config: {{sampler: first_n}}
num_fewshot: 0
output_type: multiple_choice
doc_to_image: [picture]
doc_to_text: "<image>\\nQuestion: {{{{question}}}}\\nAnswer:"
doc_to_choice: "{{{{[left, right, third]}}}}"
doc_to_target: "{{{{['A', 'B', 'C'].index(letter)}}}}"
should_decontaminate: true
doc_to_decontamination_query: question
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
metadata: {{version: 1.0, source: "a book"}}
"""
# Neither `metadata` nor `output_type`, whose default is lm-eval's: generated text.
TEXT = """\
task: plain_text
dataset_path: parquet
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
process_docs: null
doc_to_image: [picture]
doc_to_text: "<image>{{{{question}}}} Answer in a word."
doc_to_target: answers
generation_kwargs: {{do_sample: false, temperature: 0.0, max_gen_toks: 12}}
filter_list:
  - name: first_word
    filter: [{{function: regex, regex_pattern: "([A-Za-z]+)"}}, {{function: take_first}}]
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
    ignore_case: true
"""
NAMED = """\
include: plain_choice.yaml
task: plain_named
tag: null
output_type: generate_until
doc_to_choice: {one: S, two: M, three: b}
generation_kwargs: {until: ["\\n"]}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
"""
NAMES = ("plain_choice", "plain_text", "plain_named")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, home: Path) -> Path:
    """A folder of such files over one Parquet file."""
    folder = tmp_path_factory.mktemp("plain")
    shutil.copytree(home / "data", folder / "data")
    rows = [
        {
            "picture": str(folder / "data" / f"{index}.png"),
            "question": f"Which is number {index}?",
            "left": "S", "right": "M", "third": "be", "letter": "ABC"[index % 3],
            "answers": ["s", "Noise"] if index % 2 else ["cat"],
        }
        for index in range(8)
    ]  # fmt: skip
    data = datasets.Dataset.from_list(rows).cast_column("picture", datasets.Image())
    data.to_parquet(folder / "plain.parquet")
    for name, text in zip(NAMES, (CHOICE, TEXT, NAMED), strict=True):
        filled = text.format(data=folder / "plain.parquet") if "{{" in text else text
        (folder / f"{name}.yaml").write_text(filled)
    return folder


@pytest.fixture(autouse=True)
def _in_the_data_folder(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files elsewhere name this data."""
    monkeypatch.setenv("VLMBENCH_DATA", str(plain))


def opened(plain: Path, name: str, tmp_path: Path):
    task = load_file(plain / f"{name}.yaml")
    assert isinstance(task.spec, TaskSpec)
    documents = load_documents(task, "reported", tmp_path)  # type: ignore[arg-type]
    return task.spec, documents


def stock(plain: Path, lm: VlmbenchLM, *names: str):
    """What lm-eval makes of the files by itself: its loader, prompts, filters and metrics."""
    manager = TaskManager(include_defaults=False, include_path=str(plain))
    return simple_evaluate(
        model=lm, tasks=list(names), task_manager=manager, bootstrap_iters=0,
        apply_chat_template=True,
    )  # fmt: skip


def read(spec: TaskSpec, documents: Documents, backend) -> Reading:
    """Read a task as `vlmbench run` does."""
    return read_prompted(ask(list(documents), spec, Condition()), spec, backend)


@pytest.fixture(scope="module")
def samples(plain, scripted) -> dict[str, list[dict[str, object]]]:
    """What stock lm-eval asks, by file."""
    found = stock(plain, VlmbenchLM(scripted()), *NAMES)["samples"]
    return {name: sorted(found[name], key=lambda sample: sample["doc_id"]) for name in NAMES}


@pytest.mark.parametrize(
    ("name", "target"),
    [("plain_choice", doc_target), ("plain_named", doc_target), ("plain_text", doc_answers)],
)
def test_stock_lm_eval_and_vlmbench_ask_the_same(plain, samples, scripted, tmp_path, name, target):
    spec, documents = opened(plain, name, tmp_path)
    check_documents(documents)
    answers = read(spec, documents, scripted()).answers
    theirs = samples[name]
    assert [s["arguments"][0][0] for s in theirs] == [answer.prompt for answer in answers]
    targets = [str(target(spec, document.row)) for document in documents]
    assert [str(sample["target"]) for sample in theirs] == targets
    assert spec.ability == name


def test_choices_and_settings_are_lm_evals_too(plain, samples, tmp_path):
    spec, documents = opened(plain, "plain_choice", tmp_path)
    listed = [[one[1].strip() for one in s["arguments"]] for s in samples["plain_choice"]]
    assert listed == [list(doc_choices(spec, document.row)) for document in documents]
    kwargs = ast.literal_eval(str(samples["plain_named"][0]["arguments"][0][1]))
    assert kwargs["until"] == ["\n"]
    assert opened(plain, "plain_text", tmp_path)[0].generation_kwargs.until == "\n\n"


REPLIES = ["S!", "Noise", "Cat.", "noise", "cats", "", "s", "It is S"]


def reply(question: str) -> str:
    return REPLIES[int(question.split("number ")[1][0])]


def test_free_text_earns_what_lm_eval_gives_it(plain, scripted, tmp_path):
    theirs = stock(plain, VlmbenchLM(scripted(say=reply)), "plain_text")["samples"]["plain_text"]
    spec, documents = opened(plain, "plain_text", tmp_path)
    reading = read(spec, documents, scripted(say=reply))
    earned = credit(reading.scores).tolist()
    assert earned == [sample["exact_match"] for sample in theirs]
    assert earned == [0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    assert reading.scores.scale == "credit"


def test_a_run_of_plain_files_equals_lm_evals_own(plain, home, tmp_path):
    output = tmp_path / "run"
    twin = "twin: {layer: -2, relation: identical, pooled: cls}\n"
    (tmp_path / "twin.yaml").write_text(
        (home / "random.yaml").read_text().replace("model: random", "model: twin") + twin
    )
    shared = ("--models", "twin", "--include-path", home, "--include-path", tmp_path)
    paths = ",".join(str(plain / f"{name}.yaml") for name in NAMES)
    said = vlmbench("run", *shared, "--tasks", paths, "--output", output, "--device", "cpu")
    assert "task 'plain_choice' has no probe" in said.words
    manifest = json.loads((output / "manifest.json").read_text())
    assert {name: entry["ability"] for name, entry in manifest["tasks"].items()} == dict(
        zip(NAMES, NAMES, strict=True)
    )
    rows = json.loads((output / "stats.json").read_text())
    cells = {(row["task"], row["condition"], row["readout"]) for row in rows if row["n"] == 8}
    for name in NAMES:
        assert (name, "own", "prompted") in cells
        assert (name, "blank", "prompted") in cells
    assert {row["readout"] for row in rows} == {"prompted"}
    results = json.loads((output / "results.json").read_text())["results"]
    vlmbench(
        "lm-eval", *shared, "--include-path", plain, "--tasks", ",".join(NAMES), "--device", "cpu",
        "--output", tmp_path / "theirs",
    )  # fmt: skip
    (file,) = (tmp_path / "theirs").rglob("results_*.json")
    theirs = json.loads(file.read_text())["results"]
    metrics = {"plain_choice": "acc,none", "plain_text": "exact_match,first_word"}
    for name, metric in metrics.items():
        assert results[name]["acc,none"] == theirs[name][metric], name
    board = tmp_path / "board"
    vlmbench("leaderboard", output, "--output", board)
    assert "plain choice" in (board / "README.md").read_text()
    record = output / "records" / "twin" / "plain_text" / "prompted-own.parquet"
    assert len(set(pq.read_table(record)["response"].to_pylist())) > 1  # images matter


def test_examples_are_shown_where_lm_eval_is_asked_for_them(plain, home, tmp_path):
    """A file without our block stays lm-eval's in `vlmbench lm-eval`, prompts with examples too."""
    text = (plain / "plain_choice.yaml").read_text().replace("num_fewshot: 0\n", "")
    examples = "{sampler: first_n, doc_to_text: 'Question: {{question}}'}"
    (tmp_path / "shots.yaml").write_text(text.replace("{sampler: first_n}", examples))
    vlmbench(
        "lm-eval", "--models", "random", "--include-path", home, "--include-path", tmp_path,
        "--tasks", "plain_choice", "--num-fewshot", "1", "--log-samples", "--limit", "2",
        "--output", tmp_path / "out", "--device", "cpu",
    )  # fmt: skip
    (file,) = (tmp_path / "out").rglob("samples_*.jsonl")
    sample = json.loads(file.read_text().splitlines()[0])
    assert sample["arguments"]["gen_args_0"]["arg_0"].count("Question:") == 2


def test_another_right_answer_is_another_question(plain, tmp_path):
    """What free text is compared with is part of what a run measures, though no prompt shows it."""
    digests = set()
    for column in ("answers", "letter", "'S'"):
        target = "\"{{ 'S' }}\"" if column == "'S'" else column
        text = (plain / "plain_text.yaml").read_text()
        (tmp_path / "t.yaml").write_text(text.replace("target: answers", f"target: {target}"))
        digests.add(check_documents(opened(tmp_path, "t", tmp_path)[1]))
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("old", "new", "field", "says"),
    [
        ("target: answers", "target: answer", "doc_to_target", "no column `answer`"),
        ("target: answers", "target: \"{{ '' }}\"", "doc_to_target", "the right answer is ''"),
    ],
)
def test_answers_that_are_none_are_found_before_a_model_loads(
    plain, tmp_path, old, new, field, says
):
    text = (plain / "plain_text.yaml").read_text()
    assert old in text
    (tmp_path / "t.yaml").write_text(text.replace(old, new))
    with pytest.raises(VlmbenchError) as caught:
        check_documents(opened(tmp_path, "t", tmp_path)[1])
    assert {problem.field for problem in caught.value.problems} == {field}
    assert says in caught.value.problems[0].message


def test_code_of_a_task_file_is_never_run(plain, home, tmp_path):
    (tmp_path / "utils.py").write_text(
        "import pathlib\npathlib.Path(__file__).with_suffix('.ran').touch()\n"
        "def doc_to_text(doc):\n    return '<image>' + doc['question']\n"
    )
    text = (plain / "plain_text.yaml").read_text()
    line = next(line for line in text.splitlines() if line.startswith("doc_to_text"))
    path = tmp_path / "coded.yaml"
    path.write_text(text.replace(line, "doc_to_text: !function utils.doc_to_text"))
    said = vlmbench(
        "run", "-m", "random", "-t", path, "-i", home, "-o", tmp_path / "r", status=1
    ).err
    assert f"{path}:7:14: doc_to_text: !function: code and custom tags in YAML are never" in said
    assert "`vlmbench lm-eval --tasks NAME --include-path FOLDER`" in said
    assert not (tmp_path / "utils.ran").exists()
