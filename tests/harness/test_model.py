"""Our backends as lm-eval models: the same prompts, the same numbers, one forward a context."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model
from lm_eval.tasks import TaskManager
from PIL import Image

from vlmbench.harness import VlmbenchLM, select
from vlmbench.metrics import credit
from vlmbench.models import HfBackend, Prompt
from vlmbench.readouts import read_prompted
from vlmbench.registry import catalogue
from vlmbench.spec import Condition, ModelSpec, Prompting
from vlmbench.tasks import apply_conditions, ask, load_documents
from vlmbench.types import VlmbenchError

IMAGE = Image.new("RGB", (32, 32), (3, 0, 0))
OTHER = Image.new("RGB", (32, 32), (7, 0, 0))


def ours(home: Path, name: str, backend: HfBackend, tmp_path: Path):
    """Read a task as `vlmbench run` does."""
    (task,) = catalogue([home]).select_tasks(name)
    documents = load_documents(task, "reported", tmp_path)
    shown = apply_conditions(list(documents), task.spec.bench.condition)
    return read_prompted(ask(shown, task.spec, Condition()), task.spec, backend)


def evaluate(lm: VlmbenchLM, tasks, manager=None, **more):
    results = simple_evaluate(
        model=lm, tasks=list(tasks), task_manager=manager, bootstrap_iters=0, **more
    )
    return results["results"], results["samples"]


def asked(kind: str, *arguments: object) -> list[Instance]:
    return [Instance(kind, {}, one, index) for index, one in enumerate(arguments)]


# -- parity ---------------------------------------------------------------------------------


def likelihoods(theirs, answers) -> tuple[list[float], object]:
    """Up to rounding: `vlmbench run` reads what blank prompts begin with once."""
    values = [resps[0][0] for sample in theirs for resps in sample["resps"]]
    return values, pytest.approx([n for answer in answers for n in answer.scores], abs=1e-5)


def texts(theirs, answers) -> tuple[list[str], list[str]]:
    return [sample["resps"][0][0] for sample in theirs], [answer.response for answer in answers]


def prompts(theirs, answers) -> tuple[list[str], list[str]]:
    return [sample["arguments"][0][0] for sample in theirs], [answer.prompt for answer in answers]


@pytest.mark.parametrize(("chat", "shown"), [(True, [prompts]), (False, [])], ids=["chat", "bare"])
@pytest.mark.parametrize(
    ("name", "metric", "said"),
    [
        ("pick", "acc", likelihoods),
        ("pick_blind", "acc", likelihoods),
        ("pick_generate", "exact_match", texts),
    ],
)
def test_accuracy_is_exactly_ours(home, tmp_path, backend, name, metric, said, chat, shown):
    """The prompts too, where lm-eval asks for a chat template as `vlmbench run` does."""
    reading = ours(home, name, backend, tmp_path)
    chosen = select(name, [home], tmp_path)
    results, samples = evaluate(
        VlmbenchLM(backend), chosen.tasks, chosen.manager, apply_chat_template=chat
    )
    theirs = sorted(samples[name], key=lambda sample: sample["doc_id"])
    earned = credit(reading.scores)
    # Where scores tie, lm-eval's argmax takes the first and ours shares the credit: none do here.
    assert set(earned) <= {0.0, 1.0}
    assert [sample[metric] for sample in theirs] == earned.tolist()
    (value,) = [number for key, number in results[name].items() if key.startswith(f"{metric},")]
    assert value == earned.mean()
    for compared in (said, *shown):
        one, other = compared(theirs, reading.answers)
        assert one == other


def test_the_parity_is_of_something(home, tmp_path, backend):
    """Both right and wrong answers occur, images matter, and blank ones are another question."""
    readings = {name: ours(home, name, backend, tmp_path) for name in ("pick", "pick_blind")}
    assert 0 < credit(readings["pick"].scores).mean() < 1
    assert (
        readings["pick"].scores.scores[:, 0] != readings["pick_blind"].scores.scores[:, 0]
    ).all()
    assert 0 < credit(ours(home, "pick_generate", backend, tmp_path).scores).mean() < 1


def test_a_task_that_lm_eval_itself_loads(home, tmp_path, backend):
    """Stock task manager, stock data loading: Parquet with images, our YAML keys."""
    rows = [json.loads(line) for line in (home / "data" / "pick.jsonl").read_text().splitlines()]
    for row in rows:
        row["picture"] = str(home / "data" / row["picture"])
    data = datasets.Dataset.from_list(rows).cast_column("picture", datasets.Image())
    data.to_parquet(tmp_path / "stock.parquet")
    text = (home / "pick.yaml").read_text().replace("task: pick", "task: stock")
    text = text.replace("dataset_path: json", "dataset_path: parquet").replace("tag: picks\n", "")
    text = text.replace("data/pick.jsonl", str(tmp_path / "stock.parquet"))
    (tmp_path / "stock.yaml").write_text(text)
    manager = TaskManager(include_defaults=False, include_path=str(tmp_path))
    results, _ = evaluate(VlmbenchLM(backend), ["stock"], manager, apply_chat_template=True)
    expected = credit(ours(home, "pick", backend, tmp_path).scores).mean()
    assert results["stock"]["acc,none"] == expected


def test_what_hf_multimodal_refuses_is_answered(backend):
    (answer,) = VlmbenchLM(backend).loglikelihood(
        asked("loglikelihood", ("<image> A?", " A", {"visual": [IMAGE]}))
    )
    prompt = Prompt(user="<image> A?", images=(IMAGE,))
    following = backend.continuation("A", " ")
    assert following == " A"  # its template writes the space
    assert answer[0] == backend.choice_logprobs([prompt], [[following]])[0][0]


def test_greedy_answers_are_known_as_such(backend):
    """Where noise writes text that its own tokens spell, that text is greedy, and nothing else."""
    prompting = Prompting(answer_delimiter="")  # noise heeds no template
    spec = ModelSpec(model="noise", checkpoint="unused", prompt=prompting)
    backend = HfBackend(backend.model, backend.processor, spec)
    tokenizer = backend.processor.tokenizer
    encode = lambda text: tokenizer.encode(text, add_special_tokens=False)
    rng = np.random.default_rng(0)
    words = ["".join(map(chr, rng.integers(33, 127, 12))) for _ in range(200)]
    prompts = [Prompt(user=word, images=()) for word in words]
    rendered = [backend.render(prompt) for prompt in prompts]
    batch = backend.inputs.encode(rendered, prompts, side="left")
    ids = backend.model.generate(**batch, max_new_tokens=2, do_sample=False, pad_token_id=0)
    spelt = [
        (prompt.user, tokenizer.decode(new))
        for prompt, before, new in zip(
            prompts, rendered, ids[:, batch["input_ids"].shape[1] :].tolist(), strict=True
        )
        if encode(before + tokenizer.decode(new)) == [*encode(before), *new]
        and not tokenizer.decode(new)[0].isspace()  # that would be taken for the delimiter
    ]
    assert spelt
    question, text = spelt[0]
    answers = VlmbenchLM(backend).loglikelihood(
        asked("x", (question, text), (question, text + "Q"), (question, "Q" + text))
    )
    assert [greedy for _, greedy in answers] == [True, False, False]
    assert all(isinstance(greedy, bool) for _, greedy in answers)


# -- requests -------------------------------------------------------------------------------


def test_one_context_is_run_once(scripted):
    fake = scripted()
    lm = VlmbenchLM(fake, batch_size=2)
    requests = asked(
        "loglikelihood",
        ("<image>one", " A", {"visual": [IMAGE]}),
        ("<image>two", " A", {"visual": [IMAGE]}),
        ("<image>one", " B", {"visual": [IMAGE.copy()]}),  # the same pixels, another object
        ("<image>one", " A", {"visual": [OTHER]}),  # the same context, other pixels
        ("<image>one", " B", {"visual": [OTHER]}),
        ("<image>two", " B", {"visual": [IMAGE]}),
    )
    answers = lm.loglikelihood(requests)
    assert len(fake.asked) == 3
    assert all(row == ["A", "B"] for row in fake.followed)
    assert [value for value, _ in answers] == [-4.0, -4.0, -5.0, -8.0, -9.0, -5.0]


def test_generation_settings_reach_the_backend(scripted):
    fake = scripted(say=str.upper)
    requests = asked(
        "generate_until",
        ("one", {"until": ["\n"], "max_gen_toks": 3, "do_sample": False, "temperature": 0.0}),
        ("two", {"until": "stop", "max_new_tokens": 5}),
        ("three", {"until": ["\n"], "max_gen_toks": 3}),
    )
    assert VlmbenchLM(fake).generate_until(requests) == ["ONE", "TWO", "THREE"]
    assert [(k.until, k.max_gen_toks) for k in fake.kwargs] == [(("\n",), 3), (("stop",), 5)]


def test_several_images_and_a_description(backend):
    history = [
        {"role": "system", "content": "Look."},
        {"role": "user", "content": "<image> and <image>: which?"},
    ]
    lm = VlmbenchLM(backend)
    text = lm.apply_chat_template(history)
    assert text.count("<image>") == 2
    prompt = Prompt(user="<image> and <image>: which?", images=(IMAGE, OTHER), system="Look.")
    assert text == backend.render(prompt)
    (answer,) = lm.loglikelihood(
        asked("loglikelihood", (text, "A", {"visual": [IMAGE, None, OTHER]}))
    )
    following = backend.continuation("A", " ")
    assert following == " A"  # its template writes the space
    assert answer[0] == backend.choice_logprobs([prompt], [[following]])[0][0]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda lm: lm.loglikelihood(asked("x", ("q", " A", {"visual": [IMAGE]}))), "<image>"),
        (lambda lm: lm.loglikelihood(asked("x", ("<image>", " A"))), "0 images"),
        (lambda lm: lm.loglikelihood(asked("x", ("", " A"))), "acc_mutual_info"),
        (lambda lm: lm.loglikelihood(asked("x", ("q", " A", {"audio": [1]}))), "sound"),
        (lambda lm: lm.loglikelihood(asked("x", ("<image>", " A", {"visual": "n.png"}))), "n.png"),
        (lambda lm: lm.loglikelihood(asked("x", ("<image>", " A", {"visual": 3}))), "int"),
        (lambda lm: lm.generate_until(asked("x", ("q", {"do_sample": True}))), "sampled"),
        (lambda lm: lm.generate_until(asked("x", ("q", {"num_beams": 4}))), "num_beams"),
        (lambda lm: lm.loglikelihood_rolling(asked("x", ("q",))), "perplexity"),
        (lambda lm: lm.chat_template("other"), "other"),
        (lambda lm: lm.apply_chat_template([{"role": "assistant", "content": ""}]), "assistant"),
        (lambda lm: lm.loglikelihood(asked("x", ("q", " A"))), "greedy"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_refused(scripted, call, said):
    with pytest.raises(VlmbenchError, match=said):
        call(VlmbenchLM(scripted()))


def test_a_model_without_a_template_is_prompted_plainly(llava_folder):
    spec = ModelSpec(model="base", checkpoint=str(llava_folder), prompt={"chat_template": "none"})
    base = HfBackend.load(spec, None, torch.device("cpu"), torch.float32)
    lm = VlmbenchLM(base)
    assert lm.chats is False
    with pytest.raises(VlmbenchError, match="without a chat template"):
        lm.apply_chat_template([{"role": "user", "content": "?"}])
    (answer,) = lm.loglikelihood(asked("x", ("<image> A?", " A", {"visual": [IMAGE]})))
    prompt = Prompt(user="<image> A?", images=(IMAGE,))
    assert answer[0] == base.choice_logprobs([prompt], [[" A"]])[0][0]  # the space stays


def test_it_is_registered_and_found_by_name(home):
    lm = get_model("vlmbench").create_from_arg_string(
        f"model=random,include_path={home}", {"batch_size": 4, "device": "cpu"}
    )
    assert lm.get_model_info()["model_name"] == "random"
    assert lm.get_model_info()["model_sha"] == lm.backend.weights_digest
    assert lm.chat_template(True) == lm.backend.processor.chat_template
    assert lm.tokenizer_name != VlmbenchLM(lm.backend).tokenizer_name
