"""The prompted readout with hand-written backends: what is asked, what fails, what abstains."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from home import asked, document, task_spec, texts_read
from PIL import Image

from vlmbench.metrics import accuracy, credit, kept
from vlmbench.models import Prompt, Reply
from vlmbench.readouts import build_prompt, read_prompted
from vlmbench.spec import GenerationKwargs, ImagePolicy, ModelSpec, TaskSpec
from vlmbench.types import Document

PICTURE = Image.new("RGB", (8, 8), (200, 30, 30))
task = partial(task_spec, doc_to_text="<image>?", doc_to_choice=["A", "B", "C"])


def documents(n: int = 12) -> list[Document]:
    return [document(i, PICTURE, choices="ABC", row={"answer": i % 3}) for i in range(n)]


class FakeBackend:
    """Answers by a rule on the question's number, which stands at its end."""

    spec = ModelSpec(model="fake", checkpoint="none")
    weights_digest = "fake"

    def __init__(self, rule, fails: frozenset[int] = frozenset()) -> None:
        self.rule, self.fails, self.batches = rule, fails, []

    def render(self, prompt: Prompt) -> str:
        return f"<{prompt.user}>"

    def continuation(self, choice: str, delimiter: str) -> str:
        return delimiter + choice

    def number(self, prompt: Prompt) -> int:
        return int(prompt.user.split()[-1])

    def choice_logprobs(self, prompts, choices):
        self.batches.append(len(prompts))
        if self.fails & {self.number(prompt) for prompt in prompts}:
            raise RuntimeError("the model cannot take this")
        return [
            np.array(self.rule(self.number(prompt), len(row)), dtype=float)
            for prompt, row in zip(prompts, choices, strict=True)
        ]

    def generate(self, prompts, kwargs: GenerationKwargs):
        return [Reply(text=self.rule(self.number(prompt))) for prompt in prompts]


class SeesPixels(FakeBackend):
    """Takes a token for every pixel, and notes which sizes share a batch."""

    workers = 1

    def __init__(self) -> None:
        super().__init__(oracle)
        self.sizes: list[set[tuple[int, int]]] = []

    def prepare(self, prompts, choices, *, listening=False) -> None:
        pass

    def image_tokens(self, sizes) -> int:
        return sum(width * height for width, height in sizes)

    def choice_logprobs(self, prompts, choices):
        self.sizes.append({image.size for prompt in prompts for image in prompt.images})
        return super().choice_logprobs(prompts, choices)


def read(backend: FakeBackend, n: int = 12, spec: TaskSpec | None = None, **options: object):
    # Questions of different lengths, so that batching reorders them.
    questions = [f"<image>{'long ' * (i % 4)}question {i}" for i in range(n)]
    return read_prompted(asked(documents(n), questions), spec or task(), backend, **options)


def oracle(i: int, k: int) -> list[float]:
    return [0.0 if c == i % k else -5.0 for c in range(k)]


def test_an_oracle_reads_one_and_a_uniform_model_reads_chance_exactly():
    assert accuracy(read(FakeBackend(oracle)).scores).value == 1.0
    uniform = read(FakeBackend(lambda i, k: [-1.0] * k)).scores
    assert accuracy(uniform).value == pytest.approx(1 / 3, abs=1e-12)


@pytest.mark.parametrize("size", [1, 5, 32, None])
def test_order_and_batches_change_nothing(size):
    rule = lambda i, k: [np.sin(i * 7.0 + c) for c in range(k)]
    reading = read(FakeBackend(rule), batch_size=size)
    expected = [[np.sin(i * 7.0 + c) for c in range(3)] for i in range(12)]
    np.testing.assert_allclose(reading.scores.scores, expected)
    assert [a.prompt for a in reading.answers][3] == "<<image>long long long question 3>"


def test_images_of_like_size_share_batches_and_the_largest_come_first():
    backend, sizes = SeesPixels(), [(8, 8), (40, 30), (16, 9)]
    shown = [
        document(i, Image.new("RGB", sizes[i % 3]), choices="ABC", row={"answer": 0})
        for i in range(12)
    ]
    questions = [f"<image>{'long ' * (i % 4)}question {i}" for i in range(12)]
    read_prompted(asked(shown, questions), task(), backend, batch_size=4)
    assert backend.sizes == [{(40, 30)}, {(16, 9)}, {(8, 8)}]


def test_only_the_broken_document_fails_and_it_is_not_called_wrong():
    reading = read(FakeBackend(oracle, fails=frozenset({4})), batch_size=6)
    assert reading.scores.failed.tolist() == [i == 4 for i in range(12)]
    assert "cannot take this" in reading.answers[4].error
    assert len(kept(reading.scores)) == 11
    assert credit(kept(reading.scores)).tolist() == [1.0] * 11


def test_unreadable_answers_abstain_and_are_never_guessed():
    spec = task(
        output_type="generate_until",
        generation_kwargs={"until": ["\n"], "max_gen_toks": 4},
        filter_list=[{"name": "letter", "filter": [
            {"function": "regex", "regex_pattern": r"^\s*\(?([A-C])\)?\s*$"},
            {"function": "take_first"}]}],
    )  # fmt: skip
    texts = ["A", "(B)", " C ", "A or B", "", "none of them", "D", "a"]
    reading = read(FakeBackend(lambda i: texts[i % 8]), n=8, spec=spec)
    assert reading.scores.abstained.tolist() == [False] * 3 + [True] * 5
    assert reading.scores.scores[:3].argmax(1).tolist() == [0, 1, 2]
    assert reading.scores.scale == "vote"
    assert [a.response for a in reading.answers] == texts


def generating(**changes: object) -> TaskSpec:
    kwargs = {"until": [], "max_gen_toks": 4}
    return task(output_type="generate_until", generation_kwargs=kwargs, **changes)


def test_exact_match_options_are_the_tasks():
    filters = {"metadata": {"vlmbench": {"answer": "filters"}}}
    strict = generating(**filters)
    loose = generating(metric_list=[{"metric": "exact_match", "ignore_case": True}], **filters)
    assert texts_read(strict, documents(1), ["b"]) == [None]
    (vote,) = texts_read(loose, documents(1), ["b"])
    assert vote.tolist() == [0.0, 1.0, 0.0]


def test_joined_images_keep_the_first_placeholder_only():
    pair = document(0, PICTURE, PICTURE)
    model = ModelSpec(model="one", checkpoint="x", image=ImagePolicy(several="join"))
    prompt = build_prompt(*asked([pair], ["Left <image> right <image> same?"]), task(), model)
    assert prompt.user == "Left <image> right  same?"
    assert [image.size for image in prompt.images] == [(26, 8)]
