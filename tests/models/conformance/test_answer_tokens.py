"""The tokens that are scored are those that a model was trained to write."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from lm_eval.api.model import TemplateLM
from spellings import TURNS, Kind, Turn, processor, tokenizer

from vlmbench.models import HfBackend, Prompt
from vlmbench.models._text import PromptText
from vlmbench.registry import catalogue, family_of
from vlmbench.spec import ModelSpec, Prompting
from vlmbench.types import VlmbenchError

CHOICES = ("A", "(A)", "yes")
# What a turn begins with after "ASSISTANT:" and the like, and what after a line break or a token.
BEHIND_A_COLON: dict[Kind, list[list[str]]] = {
    "spm legacy": [["▁A"], ["▁(", "A", ")"], ["▁yes"]],
    "gpt2": [["ĠA"], ["Ġ(", "A", ")"], ["Ġyes"]],
    "gpt4": [["ĠA"], ["Ġ(", "A", ")"], ["Ġyes"]],
}
ON_ITS_OWN: dict[Kind, list[list[str]]] = {
    "gemma": [["A"], ["(", "A", ")"], ["yes"]],
    "gpt2": [["A"], ["(", "A", ")"], ["yes"]],
    "gpt4": [["A"], ["(A", ")"], ["yes"]],
}
SPACED = {
    *("llava-1.5-7b", "llava-1.5-13b", "llava-next-mistral-7b", "idefics3-8b", "smolvlm2-2.2b"),
    *("clip-224px+7b", "dinov2-224px+7b", "in1k-224px+7b", "siglip-224px+7b"),
}
PALIGEMMA, THINKS = "paligemma2-3b-mix-224", "glm-4.1v-9b-thinking"


def text_of(turn: Turn, model_type: str = "", **prompting: Any) -> PromptText:
    spec = ModelSpec(model="m", checkpoint="x", prompt=Prompting(**prompting))
    return PromptText(processor(turn), spec, family_of(model_type))


def answers(text: PromptText, choices: tuple[str, ...] = CHOICES) -> tuple[str, list[list[str]]]:
    """The prompt before answers, and the tokens of each, as they are spelled."""
    rendered = text.render(Prompt(user="Which?", images=()))
    continuations = [text.continuation(choice, " ") for choice in choices]
    context, rows = text.answers(rendered, continuations)
    return context, [text.processor.tokenizer.convert_ids_to_tokens(row) for row in rows]


# -- the shipped families ---------------------------------------------------------------------


def test_every_shipped_model_has_its_turn_here():
    shipped = catalogue().select_models("open,prismatic")
    assert {model.spec.model for model in shipped} == {*TURNS, PALIGEMMA, THINKS}


@pytest.mark.parametrize("name", TURNS)
def test_answer_tokens_of_every_shipped_model(name):
    turn = TURNS[name]
    table = BEHIND_A_COLON if name in SPACED else ON_ITS_OWN
    (model,) = catalogue().select_models(name)
    text = text_of(turn, **model.spec.prompt.model_dump())
    assert answers(text)[1] == table[turn.kind]


@pytest.mark.parametrize("name", TURNS)
@pytest.mark.parametrize("choice", CHOICES)
def test_they_are_those_of_a_whole_turn(name, choice):
    """What training reads: an answered question, tokenised in one piece."""
    text = text_of(TURNS[name])
    string = TURNS[name].string
    said = [
        {"role": role, "content": words if string else [{"type": "text", "text": words}]}
        for role, words in (("user", "Which?"), ("assistant", choice))
    ]
    whole = text.processor.apply_chat_template(said, tokenize=False).removesuffix("</s>")
    tokens = text.processor.tokenizer.encode(whole, add_special_tokens=False)
    (row,) = answers(text, (choice,))[1]
    assert text.processor.tokenizer.convert_ids_to_tokens(tokens[-len(row) :]) == row


def test_paligemma_answers_on_a_line_of_its_own():
    """Its processor ends prompts with the line break itself; there is no chat template."""
    text = text_of(Turn(kind="gemma", ends="", heads=""), "paligemma", chat_template="none")
    rendered = text.render(Prompt(user="Which?", images=()))
    assert text.tail(rendered) == "Which?\n"
    assert answers(text)[1] == ON_ITS_OWN["gemma"]


def test_the_yaml_overrides_the_template():
    text = text_of(TURNS["llava-1.5-7b"], answer_delimiter=" (")
    assert answers(text)[1] == [["▁(", "A"], ["▁(", "(", "A", ")"], ["▁(", "y", "e", "s"]]


# -- white space at the join ------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["spm", "spm legacy", "gemma", "gpt2", "gpt4"])
def test_a_space_at_the_end_of_a_prompt_moves_to_the_answer(kind):
    """Else "A" has no tokens, and "(A)" is scored as "A)"."""
    text = text_of(Turn(kind=kind, ends="ASSISTANT: ", heads="ASSISTANT: "))
    context, rows = answers(text)
    assert context.endswith("ASSISTANT:")
    space = "Ġ" if kind.startswith("gpt") else "▁"
    assert rows == [[f"{space}A"], [f"{space}(", "A", ")"], [f"{space}yes"]]


def test_a_line_break_of_its_own_stays_with_the_prompt():
    text = text_of(TURNS["qwen2-vl-7b"])
    context, _ = answers(text)
    assert context.endswith("assistant\n")


def test_an_answer_that_merges_with_the_prompt_is_tokenised_by_itself():
    text = text_of(Turn(kind="gpt4", ends="Assistant: (", heads="Assistant: ("))
    context, rows = answers(text, ("A",))
    assert context.endswith("Assistant: (")
    assert rows == [["A"]]
    joined = text_of(Turn(kind="gpt4", ends="\n(", heads="\n("))  # "(A" is one token
    assert answers(joined, ("A)",))[1] == [["A", ")"]]


def test_an_answer_without_tokens_has_no_likelihood():
    with pytest.raises(VlmbenchError, match="no tokens"):
        answers(text_of(TURNS["qwen2-vl-7b"]), ("A", ""))


class Stock(TemplateLM):
    """lm-eval's own rule on one of our tokenizers."""

    def __init__(self, made: Any) -> None:
        super().__init__()
        self.tokenizer = made
        self.backend = "causal"

    eot_token_id = 0

    def tok_encode(self, string: str, **_: Any) -> list[int]:
        ids: list[int] = self.tokenizer.encode(string, add_special_tokens=False)
        return ids

    def _loglikelihood_tokens(self, requests, **_): ...
    def loglikelihood_rolling(self, requests, disable_tqdm=False): ...
    def generate_until(self, requests, disable_tqdm=False): ...


@pytest.mark.parametrize("kind", ["spm", "spm legacy", "gemma", "gpt2", "gpt4"])
@pytest.mark.parametrize(
    "ends", ["ASSISTANT:", "ASSISTANT: ", "Which?\n", "Which? \n", "assistant"]
)
def test_without_a_chat_template_tokens_are_lm_evals(kind, ends):
    made = tokenizer(kind)
    text = text_of(Turn(kind=kind, ends="", heads=""), chat_template="none")
    for choice in (" A", " (A)", "A", "(A)"):
        stock_context, stock = Stock(made)._encode_pair(f"USER: {ends}", choice)
        context, (ours,) = text.answers(f"USER: {ends}", [choice])
        before = made.encode(context, add_special_tokens=False)
        assert before + ours == stock_context + stock  # the same tokens, cut at the same place or
        kept = stock[: len(stock) - len(ours)]  # later, where white space is a token of its own
        assert made.decode(kept).strip() == ""
        assert len(kept) == 0 or "\n" in ends or ends.endswith(" ")


# -- against what models write ----------------------------------------------------------------

TRAINED = {
    "spm": Turn(kind="spm", ends="ASSISTANT:", heads="ASSISTANT: "),
    "spm legacy": Turn(kind="spm legacy", ends="ASSISTANT:", heads="ASSISTANT: "),
    "byte level": Turn(kind="gpt4", ends="\nAssistant:", heads="\nAssistant: "),
    "ends in a space": Turn(kind="gpt4", ends="ASSISTANT: ", heads="ASSISTANT: "),
    "line break": TURNS["qwen2-vl-7b"],
}
SAYS = {"A": "(A)", "B": "(B)", "yes A": "A", "yes B": "B"}
OPEN = "Which?"  # answered with any of them


@pytest.fixture(scope="module", params=TRAINED)
def trained(request) -> HfBackend:
    """A random model that has learnt to answer five questions, by whole turns."""
    made = processor(TRAINED[request.param])
    vision = tf.CLIPVisionConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=2, num_attention_heads=1,
        image_size=8, patch_size=4,
    )  # fmt: skip
    text = tf.LlamaConfig(
        vocab_size=len(made.tokenizer), hidden_size=48, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, pad_token_id=made.tokenizer.pad_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    image = made.tokenizer.convert_tokens_to_ids("<image>")
    config = tf.LlavaConfig(vision_config=vision, text_config=text, image_token_index=image)
    model = tf.LlavaForConditionalGeneration(config)
    turns = [
        [{"role": r, "content": [{"type": "text", "text": t}]} for r, t in pairs]
        for pairs in (
            [("user", asked), ("assistant", said)]
            for asked, said in (*SAYS.items(), *((OPEN, said) for said in SAYS.values()))
        )
    ]
    texts = [made.apply_chat_template(turn, tokenize=False) for turn in turns]
    batch = made.tokenizer(texts, return_tensors="pt", padding=True, padding_side="right")
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for _ in range(150):
        optimizer.zero_grad()
        model(**batch, labels=labels).loss.backward()
        optimizer.step()
    return HfBackend(model.eval(), made, ModelSpec(model="trained", checkpoint="x"))


def scored(backend: HfBackend, asked: str) -> tuple[str, dict[str, list[int]]]:
    """The prompt before answers, and the tokens of each choice."""
    rendered = backend.render(Prompt(user=asked, images=()))
    following = [backend.continuation(choice, "\n") for choice in SAYS.values()]
    context, rows = backend.text.answers(rendered, following)
    return context, dict(zip(SAYS.values(), rows, strict=True))


@pytest.mark.parametrize("asked", SAYS)
def test_scored_tokens_are_what_a_model_writes(trained, asked):
    context, tokens = scored(trained, asked)
    batch = trained.inputs.encode([context], [Prompt(user=asked, images=())], side="right")
    output = trained.model.generate(**batch, max_new_tokens=len(tokens[SAYS[asked]]))
    assert output[0, batch["input_ids"].shape[1] :].tolist() == tokens[SAYS[asked]]


@pytest.mark.parametrize("said", SAYS.values())
def test_scored_tokens_are_what_it_writes_when_forced_to_an_answer(trained, said):
    """It may spell the characters as it likes: "A" behind a space as one token or as two."""
    context, tokens = scored(trained, OPEN)
    batch = trained.inputs.encode([context], [Prompt(user=OPEN, images=())], side="right")
    start = batch["input_ids"].shape[1]
    made = trained.processor.tokenizer
    spelled = made.convert_ids_to_tokens(range(len(made)))
    plain = [token.replace("▁", " ").replace("Ġ", " ") for token in spelled]
    wanted = "".join(plain[token] for token in tokens[said])

    def allowed(_: int, ids: torch.Tensor) -> list[int]:
        rest = wanted.removeprefix("".join(plain[i] for i in ids[start:].tolist()))
        return [i for i, piece in enumerate(plain) if piece and rest.startswith(piece)] or [0]

    output = trained.model.generate(
        **batch, max_new_tokens=len(tokens[said]), prefix_allowed_tokens_fn=allowed
    )
    assert output[0, start:].tolist() == tokens[said]


def test_all_probability_is_on_the_choices_and_none_without_the_templates_white_space(trained):
    prompts = [Prompt(user=asked, images=()) for asked in SAYS]
    following = [[trained.continuation(choice, "\n") for choice in SAYS.values()]] * len(SAYS)
    scores = np.array(trained.choice_logprobs(prompts, following))
    assert scores.argmax(axis=1).tolist() == [0, 1, 2, 3]
    assert np.exp(scores).sum(axis=1).min() > 0.9
    if trained.continuation("A", "\n") == "A":
        return  # nothing stands before an answer, or the prompt itself ends with it
    bare = np.array(trained.choice_logprobs(prompts, [list(SAYS.values())] * len(SAYS)))
    assert np.exp(bare).sum(axis=1).max() < 0.05
