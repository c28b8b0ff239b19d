"""Models that think before they answer: found out, switched off, given room, or refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from home import asked
from llava import make_llava, of_bytes
from PIL import Image

from vlmbench.models import HfBackend, Prompt, Reply
from vlmbench.models._thoughts import left_open, split_thoughts
from vlmbench.readouts import read_prompted
from vlmbench.spec import GenerationKwargs, ModelSpec, Prompting, TaskSpec
from vlmbench.types import Document, EncodedImage, VlmbenchError

CPU = torch.device("cpu")
USER = "{% for m in messages %}{% if m['role'] == 'user' %}USER: {% for part in m['content'] %}{{ \
'<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}{% else %}ASSISTANT:\n{{ \
HEAD }}{% for part in m['content'] %}{{ part['text'] }}{% endfor %}{% endif %}\n{% endfor %}\
{% if add_generation_prompt %}ASSISTANT:\n"
ALWAYS = USER + "<think>\n{% endif %}"
BLOCK = "<think>\\n\\n</think>\\n\\n"
# Qwen3's way: a switch that closes the thoughts at once, which a turn without any shows too.
SWITCH = USER.replace("HEAD", f"'{BLOCK}'") + (
    "{% if enable_thinking is defined and enable_thinking is false %}"
    f"{{{{ '{BLOCK}' }}}}{{% endif %}}{{% endif %}}"
)
NEVER_SAID = SWITCH.replace("enable_thinking is defined and enable_thinking is false", "false")
PLAIN = USER + "{% endif %}"


def loaded(folder, template: str, **prompting: object) -> HfBackend:
    make_llava(folder, of_bytes())
    (folder / "chat_template.jinja").write_text(template.replace("HEAD", "''"))
    prompt = Prompting.model_validate(prompting)
    spec = ModelSpec(model="m", checkpoint=str(folder), prompt=prompt)
    return HfBackend.load(spec, None, CPU, torch.float32)


QUESTION = Prompt(user="Which?", images=())


def test_plain_templates_have_no_thoughts(tmp_path):
    backend = loaded(tmp_path, PLAIN)
    assert not backend.text.thinks
    assert backend.choice_logprobs([QUESTION], [["A", "B"]])[0].shape == (2,)


def test_the_templates_own_switch_is_used(tmp_path):
    backend = loaded(tmp_path, SWITCH)
    assert backend.render(QUESTION).endswith("ASSISTANT:\n<think>\n\n</think>\n\n")
    assert not backend.text.thinks
    assert backend.continuation("A", " ") == "A"
    notes = backend.notes(backend.render(QUESTION), ["A"])
    assert notes["template_switches"] == {"enable_thinking": False}
    assert notes["thinking"] == "off"


def test_room_for_thoughts_turns_the_switch_on(tmp_path):
    backend = loaded(tmp_path, SWITCH, thinking=64)
    assert backend.render(QUESTION).endswith("ASSISTANT:\n")
    assert backend.text.thinks


@pytest.mark.parametrize("template", [ALWAYS, NEVER_SAID], ids=["open", "shown in a turn"])
def test_likelihoods_in_place_of_thoughts_are_refused_with_the_remedy(tmp_path, template):
    backend = loaded(tmp_path, template)
    with pytest.raises(
        VlmbenchError, match=r"(?s)thinks before it answers.*thinking: 2048"
    ) as error:
        backend.choice_logprobs([QUESTION], [["A", "B"]])
    assert error.value.problems[0].field == "prompt.thinking"


def test_a_model_that_opens_its_thoughts_itself_is_noticed(tmp_path):
    """The template says nothing of them; the likeliest first token does."""
    backend = loaded(tmp_path, PLAIN)
    backend.processor.tokenizer.add_tokens(["<think>"])
    mark = backend.processor.tokenizer.convert_tokens_to_ids("<think>")
    backend.model.resize_token_embeddings(mark + 1)
    with torch.no_grad():
        backend.model.lm_head.weight[mark] = 0.0
    assert backend.choice_logprobs([QUESTION], [["A", "B"]])[0].shape == (2,)
    batch = backend.inputs.encode([backend.render(QUESTION)], [QUESTION], side="right")
    with torch.no_grad():
        state = backend.model.model(**batch).last_hidden_state[0, -1]
        backend.model.lm_head.weight[mark] = 100 * state
    with pytest.raises(VlmbenchError, match="thinks before it answers"):
        backend.choice_logprobs([QUESTION], [["A", "B"]])


# -- reading ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "opened", "thoughts", "answer"),
    [
        ("A", False, "", "A"),
        ("<think>B?</think>\n\nA", False, "<think>B?</think>", "A"),
        ("B? No.</think>\n\nA", True, "B? No.</think>", "A"),
        ("B? No.</think>A", False, "B? No.</think>", "A"),
        ("<think>B? Or", False, "<think>B? Or", ""),
        ("B? Or", True, "B? Or", ""),
        ("<think>B?</think>A<think>or", False, "<think>B?</think>A<think>or", ""),
        ("<think>B?</think>or</think> A", False, "<think>B?</think>or</think>", "A"),
        ("◁think▷B?◁/think▷A", False, "◁think▷B?◁/think▷", "A"),
        ("[THINK]B?[/THINK](A)", False, "[THINK]B?[/THINK]", "(A)"),
        ("I think (A)", False, "", "I think (A)"),
    ],
)
def test_thoughts_come_off(text, opened, thoughts, answer):
    assert split_thoughts(text, opened=opened) == (thoughts, answer)


def test_open_ends():
    assert left_open("a <think> b")
    assert not left_open("a <think> b </think>")
    assert not left_open("closed at once </think>")
    assert not left_open("plain")


@pytest.mark.parametrize("special", [False, True])
def test_marks_are_seen_though_they_are_special_tokens(tmp_path, special):
    backend = loaded(tmp_path, PLAIN)
    tokenizer = backend.processor.tokenizer
    tokenizer.add_tokens(["<think>", "</think>"], special_tokens=special)
    ids = tokenizer.encode("<think>B</think>\nA</s>", add_special_tokens=False)
    assert backend.text.split(ids) == ("<think>B</think>", "A")


class Thinker:
    """Writes what it is told to."""

    weights_digest = "0"

    def __init__(self, replies: Sequence[Reply], thinking: int | None = 16) -> None:
        self.spec = ModelSpec(model="m", checkpoint="x", prompt=Prompting(thinking=thinking))
        self.replies = list(replies)

    def render(self, prompt: Prompt) -> str:
        return prompt.user

    def continuation(self, choice: str, delimiter: str) -> str:
        return choice

    def choice_logprobs(self, prompts, choices):
        raise AssertionError("a model that thinks is not scored")

    def generate(self, prompts, kwargs: GenerationKwargs) -> list[Reply]:
        return [self.replies.pop(0) for _ in prompts]

    def notes(self, text, continuations):
        return {"thinking": self.spec.prompt.thinking}


def read(backend: Thinker, n: int):
    image = EncodedImage.from_pil(Image.new("RGB", (4, 4)))
    documents = [
        Document(
            doc_id=f"d{i}", images=(image,), encoder_images=(image,), marked=False,
            choices=("A", "B"), gold=1,
        )
        for i in range(n)
    ]  # fmt: skip
    task = TaskSpec.model_validate(
        {
            "task": "t", "dataset_path": "json", "test_split": "test", "doc_to_text": "<image>?",
            "output_type": "multiple_choice", "doc_to_image": ["image"],
            "doc_to_choice": ["A", "B"], "doc_to_target": "gold",
            "metadata": {"vlmbench": {"ability": "x"}},
        }
    )  # fmt: skip
    return read_prompted(asked(documents, ["<image>?"] * n), task, backend, batch_size=1)


def test_choices_of_a_thinker_are_read_from_what_it_writes():
    answered = Reply(thoughts="<think>A?</think>", text="B", finish="stop")
    reading = read(Thinker([answered, Reply(thoughts="<think>A? A", finish="length")]), 2)
    assert reading.scores.scale == "vote"
    assert reading.scores.abstained.tolist() == [False, True]
    np.testing.assert_array_equal(reading.scores.scores[0], [0.0, 1.0])
    assert [answer.finish for answer in reading.answers] == ["stop", "length"]
    assert reading.answers[0].response == "<think>A?</think>B"
    assert reading.notes["thinking"] == 16
    assert (reading.notes["unread"], reading.notes["cut_off"]) == (1, 1)


def test_thoughts_without_an_end_are_no_abstention():
    cut = Reply(thoughts="<think>A", finish="length")
    with pytest.raises(VlmbenchError, match=r"(?s)all 2 answers.*cut off.*thinking: 2048"):
        read(Thinker([cut, cut]), 2)


def test_stop_strings_hold_after_the_thoughts_only(tmp_path):
    """A random model is made to think aloud: every prompt ends inside its thoughts."""
    backend = loaded(tmp_path, ALWAYS, thinking=24)
    kwargs = GenerationKwargs(until=("e", "\n"), max_gen_toks=4)
    (reply,) = backend.generate([QUESTION], kwargs)
    assert reply.text == ""
    assert reply.finish == "length"
    assert len(backend.processor.tokenizer.encode(reply.thoughts)) >= 24
