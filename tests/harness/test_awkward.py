"""A folder of awkward pictures is asked about alike by stock lm-eval and by us.

Stock lm-eval reads files through `datasets`, and its own `hf-multimodal` hands what that gives to
the processor of transformers. Where either cannot show what a file shows, the file is listed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from awkward import FILES, awkward, phone, picture
from home import vlmbench
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

from vlmbench.harness import VlmbenchLM
from vlmbench.harness._tasks import our_task
from vlmbench.models import HfBackend
from vlmbench.readouts import read_prompted
from vlmbench.spec import Condition, TaskSpec, load_file
from vlmbench.tasks import ask, check_documents, load_documents

TASK = """\
task: awkward
dataset_path: parquet
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
doc_to_image: [image]
doc_to_text: "<image>{{{{question}}}}"
doc_to_target: answer
generation_kwargs: {{until: ["zzz"], max_gen_toks: 8}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
metadata: {{vlmbench: {{id_column: name}}}}
"""
# `datasets` refuses them for their metadata.
UNREAD = ("broken_profile.png", "broken_comment.png", "broken_exif.png")
# The processor cuts 16-bit greys off at 255.
DEEP = ("deep.png", "deep.tif", "deep.pgm", "deep_keyed.png")
PHONES = {
    f"phone_{number}.jpeg": phone(number % 8 + 1, pixels=picture(100 + number)).data
    for number in range(60)
}


def folder(place: Path, files: dict[str, bytes]) -> Path:
    """Write a task file over pictures in a Parquet file, one question for all."""
    rows = [
        {"name": name, "image": {"bytes": data, "path": None}, "question": "What?", "answer": "x"}
        for name, data in files.items()
    ]
    data = place / "rows.parquet"
    datasets.Dataset.from_list(rows).cast_column("image", datasets.Image()).to_parquet(data)
    (place / "awkward.yaml").write_text(TASK.format(data=data))
    return place / "awkward.yaml"


def stock(path: Path, lm: Any, task: Any = "awkward") -> list[str]:
    """Return what stock lm-eval has a model write about each document."""
    written: list[str] = []
    generate: Callable[..., list[str]] = lm.generate_until
    lm.generate_until = lambda *given, **more: written.extend(generate(*given, **more)) or written
    manager = TaskManager(include_defaults=False, include_path=str(path.parent))
    simple_evaluate(
        model=lm, tasks=[task], task_manager=manager, bootstrap_iters=0, log_samples=False,
        apply_chat_template=True,
    )  # fmt: skip
    return written


def ours(path: Path, backend: HfBackend) -> dict[str, str]:
    """Return what `vlmbench run` has a model write, by the name of the picture."""
    task = load_file(path)
    documents = load_documents(task, "reported", path.parent)
    check_documents(documents)
    asked = ask(list(documents), task.spec, Condition())
    answers = read_prompted(asked, task.spec, backend).answers
    names = [document.doc_id for document in documents]
    return dict(zip(names, [answer.response for answer in answers], strict=True))


def multimodal(checkpoint: Path) -> Any:
    from lm_eval.models.hf_vlms import HFMultimodalLM

    return HFMultimodalLM(pretrained=str(checkpoint), dtype="float32", device="cpu", batch_size=16)


ALL = {name: awkward(name).data for name in FILES} | PHONES


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory, backend: HfBackend) -> dict[str, str]:
    """What the random model writes of every picture in `vlmbench run`."""
    return ours(folder(tmp_path_factory.mktemp("all"), ALL), backend)


@pytest.mark.filterwarnings("default")
def test_stock_lm_eval_with_our_model_is_equal_on_every_document(tmp_path, backend, answers):
    read = {name: data for name, data in ALL.items() if name not in UNREAD}
    theirs = stock(folder(tmp_path, read), VlmbenchLM(backend))
    assert theirs == [answers[name] for name in read]
    assert len(set(theirs)) > 40  # pictures matter: the question is the same for all


@pytest.mark.filterwarnings("default")
def test_hf_multimodal_is_equal_on_every_document_that_it_can_show(tmp_path, llava_folder, answers):
    read = {name: data for name, data in ALL.items() if name not in UNREAD}
    theirs = stock(folder(tmp_path, read), multimodal(llava_folder))
    other = {n for n, said in zip(read, theirs, strict=True) if said != answers[n]}
    assert other == set(DEEP)


def test_vlmbench_lm_eval_is_equal_on_all_of_them(tmp_path, backend, answers):
    path = folder(tmp_path, ALL)
    task = load_file(path)
    assert isinstance(task.spec, TaskSpec)
    assert stock(path, VlmbenchLM(backend), our_task(task, tmp_path)) == list(answers.values())


def test_samples_of_them_can_be_logged(tmp_path, home):
    """lm-eval writes every image as PNG for its log, whatever it was."""
    path = folder(tmp_path, {name: ALL[name] for name in FILES})
    said = vlmbench(
        "lm-eval", "--models", "random", "--include-path", home, "--tasks", path, "--limit", "60",
        "--output", tmp_path / "out", "--log-samples", "--device", "cpu",
    )  # fmt: skip
    assert "awkward" in said.out
    (samples,) = (tmp_path / "out").rglob("samples_*.jsonl")
    assert len(samples.read_text().splitlines()) == len(FILES)
