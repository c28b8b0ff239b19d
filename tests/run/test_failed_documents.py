"""A failed document is counted with its reason; where all fail, the run does."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch
from home import Home, noise, stats_of, vlmbench
from safetensors.torch import load_file, save_file
from tiny_checkpoints import folder_of

from vlmbench.models import HfBackend
from vlmbench.plan import MostFailed, make_plan
from vlmbench.readouts import NOT_KNOWN
from vlmbench.registry import catalogue
from vlmbench.run import Settings
from vlmbench.run._failures import refuse_failures
from vlmbench.store import RunFolder
from vlmbench.types import VlmbenchError

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
GENERATED = {
    "output_type": "generate_until", "generation_kwargs": {"until": ["\n"], "max_gen_toks": 3},
}  # fmt: skip
ANY = ("--max-failed", "100%")


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path)


def questions(home: Home, *texts: str, **keys: object) -> str:
    rows = [
        {
            "image": home.image(f"{number}.png", noise(number)),
            "question": text,
            "answer": number % 2,
        }
        for number, text in enumerate(texts)
    ]
    return str(home.task("t", rows, **keys))


def overflows(home: Home, folder: object, token: int) -> str:
    """Write a copy of a model that overflows where it reads a token."""
    target = home.folder / "overflows"
    shutil.copytree(folder, target)
    weights = load_file(target / "model.safetensors")
    name = next(name for name in weights if name.endswith("embed_tokens.weight"))
    weights[name][token] = torch.inf
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    return str(target)


@pytest.mark.parametrize("keys", [{}, GENERATED], ids=["chosen", "generated"])
def test_overflow_is_neither_wrong_nor_an_abstention(home, llava_folder, backend, keys):
    token = backend.processor.tokenizer.convert_tokens_to_ids("~")
    model = overflows(home, llava_folder, token)
    task = questions(home, "A or B?", "A ~ B?", "red or blue?", "~ or ~?", **keys)
    run = home.run(model, task, *ANY)
    for _ in range(2):  # the second time from its records
        stats = stats_of(run, "condition", "metric")
        assert stats["own", "failed"]["value"] == 2
        assert stats["own", "accuracy"]["n"] == 2
        (failed, *_) = RunFolder(run).manifest().failed
        assert failed.reasons == {
            "the model's numbers overflowed: its scores are NaN or infinite": 2
        }
        run = home.run(model, task, *ANY)
    vlmbench("leaderboard", run, "--output", home.folder / "page")
    page = (home.folder / "page" / "README.md").read_text()
    assert "2 of 4 documents failed: the model's numbers overflowed" in page


def test_the_table_that_a_run_ends_with_says_why(home, llava_folder, backend):
    model = overflows(home, llava_folder, backend.processor.tokenizer.convert_tokens_to_ids("~"))
    said = vlmbench(
        "run", "--models", model, "--tasks", questions(home, "A or B?", "~?"), "--output",
        home.folder / "run", "--device", "cpu", *ANY,
    )  # fmt: skip
    assert "1 of 2 documents failed and are left out: the model's numbers overflowed" in said.words


@pytest.mark.parametrize("keys", [{}, GENERATED], ids=["chosen", "generated"])
def test_where_all_fail_the_run_fails_and_says_why(home, llava_folder, backend, keys):
    model = overflows(home, llava_folder, backend.processor.tokenizer.convert_tokens_to_ids("~"))
    long = "word " * 3000
    said = vlmbench(
        "run", "--models", model, "--tasks", questions(home, "A ~ B?", "~?", long, **keys),
        "--output", home.folder / "run", "--device", "cpu", status=1,
    )  # fmt: skip
    assert "all 3 documents of" in said.words
    assert "the model's numbers overflowed: its scores are NaN or infinite (2)" in said.words
    assert "the model reads 2,048 (1)" in said.words


def test_a_prompt_beyond_the_context_fails_alone(home, llava_folder):
    run = home.run(str(llava_folder), questions(home, "A or B?", "word " * 3000, "B or A?"), *ANY)
    assert stats_of(run, "condition", "metric")["own", "failed"]["value"] == 1
    (reason,) = RunFolder(run).manifest().failed[0].reasons
    assert reason.startswith("the prompt and its answer take ")
    assert reason.endswith("the model reads 2,048")


def test_an_image_token_in_a_question_fails_that_document_alone(home):
    task = questions(home, "A or B?", "what is <|image_pad|>?", "B or A?")
    run = home.run(str(folder_of("qwen2_vl")), task, *ANY)
    assert stats_of(run, "condition", "metric")["own", "failed"]["value"] == 1
    (reason,) = RunFolder(run).manifest().failed[0].reasons
    assert reason == "the question contains '<|image_pad|>', which the model reads as an image"


def test_too_many_failed_documents_end_the_run_and_a_retry_runs_these_alone(
    home, llava_folder, monkeypatch
):
    """The device is lost under two of twelve questions, and found again."""
    asked: list[str] = []
    lost = {"question 3?", "question 8?"}
    real = HfBackend.choice_logprobs

    def faulty(self, prompts, choices):
        questions = [prompt.user[prompt.user.index("question ") :] for prompt in prompts]
        if lost & set(questions):
            raise RuntimeError("the device is lost")
        asked.extend(questions)
        return real(self, prompts, choices)

    monkeypatch.setattr(HfBackend, "choice_logprobs", faulty)
    task = questions(home, *(f"question {number}?" for number in range(12)))
    command = (
        "run", "--models", llava_folder, "--tasks", task, "--conditions", "own", "--output",
        home.folder / "run", "--device", "cpu",
    )  # fmt: skip
    for times in (1, 2):
        said = vlmbench(*command, status=1)
        assert "2 of 12 documents of " in said.words
        assert "which is more than --max-failed 10%: RuntimeError: the device is lost (test_" in (
            said.words
        )
        assert f"`vlmbench retry {home.folder / 'run'}` runs failed documents again" in said.words
        assert len(asked) == 10, times  # the second time nothing is run
        assert not (home.folder / "run" / "manifest.json").exists()
    vlmbench(*command, "--max-failed", 2)
    assert stats_of(home.folder / "run", "condition", "metric")["own", "failed"]["value"] == 2
    again, asked[:] = set(lost), []
    lost.clear()
    vlmbench("retry", home.folder / "run")
    assert set(asked) == again
    stats = stats_of(home.folder / "run", "condition", "metric")
    assert ("own", "failed") not in stats or stats["own", "failed"]["value"] == 0
    assert stats["own", "accuracy"]["n"] == 12
    assert not list((home.folder / "run").rglob("*.journal"))
    vlmbench("retry", home.folder / "run")
    assert set(asked) == again  # nothing failed, and nothing is run


def test_documents_that_may_fail_are_not_among_those_of_which_few_may(home, llava_folder):
    home.pairs("pairs", 20)
    home.model("tiny", llava_folder)
    home.study("asked", {"readout": "prompted"})
    found = catalogue([home.folder])
    (study,) = found.select_studies("asked")
    plan = make_plan(
        found.select_models("tiny"), found.select_tasks("pairs"), study, count=lambda task: None
    )
    settings = Settings(output=home.folder, data_root=home.folder, cache=home.folder)
    fine, lost, unknown = [""] * 8, ["the device is lost"] * 2, [NOT_KNOWN] * 10
    some = fine + lost + unknown
    with pytest.raises(VlmbenchError, match="2 of 10 documents of tiny/pairs/prompted-own failed"):
        refuse_failures(plan.cells[0], some, settings)
    refuse_failures(plan.cells[0], some, replace(settings, max_failed=MostFailed(20)))
    with pytest.raises(VlmbenchError, match="4 of 20"):
        refuse_failures(plan.cells[0], fine * 2 + lost * 2, settings)
