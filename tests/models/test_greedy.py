"""Nothing in a checkpoint bends greedy answers, and they say why they ended."""

from __future__ import annotations

import torch
from llava import make_llava
from transformers import GenerationConfig, LlavaForConditionalGeneration

from vlmbench.models import HfBackend, Prompt
from vlmbench.models._greedy import GREEDY, finish_of, greedy_config
from vlmbench.spec import GenerationKwargs, ModelSpec

CPU = torch.device("cpu")
# What published checkpoints bring in generation_config.json, and what else there is.
BENT = {
    "repetition_penalty": 1.3,
    "no_repeat_ngram_size": 2,
    "num_beams": 2,
    "do_sample": True,
    "temperature": 0.7,
    "min_new_tokens": 5,
    "suppress_tokens": list(range(60, 120)),
    "begin_suppress_tokens": list(range(150)),
    "bad_words_ids": [[5]],
    "forced_eos_token_id": 1,
    "sequence_bias": [[[7], 9.0]],
    "exponential_decay_length_penalty": [1, 3.0],
}
KWARGS = GenerationKwargs(until=(), max_gen_toks=12)
PROMPTS = [Prompt(user=f"Which is red, {i}?", images=()) for i in range(20)]


def argmax_of(backend: HfBackend, prompt: Prompt) -> list[int]:
    """The likeliest token twelve times over, by plain forward passes."""
    batch = dict(backend.inputs.encode([backend.render(prompt)], [prompt], side="right"))
    ids = batch["input_ids"]
    start = ids.shape[1]
    with torch.no_grad():
        while ids.shape[1] < start + KWARGS.max_gen_toks:
            logits = backend.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
            ids = torch.cat([ids, logits[:, -1:].argmax(-1)], dim=1)
    return ids[0, start:].tolist()


def loaded(folder, **generation: object) -> HfBackend:
    make_llava(folder)
    own = GenerationConfig.from_pretrained(folder)
    for name, value in generation.items():
        setattr(own, name, value)
    own.eos_token_id = None
    (folder / "generation_config.json").write_text(own.to_json_string(use_diff=True))
    spec = ModelSpec(model="m", checkpoint=str(folder))
    return HfBackend.load(spec, None, CPU, torch.float32)


def test_a_bent_checkpoint_writes_the_likeliest_tokens(tmp_path):
    backend = loaded(tmp_path, **BENT)
    replies = backend.generate(PROMPTS, KWARGS)
    decode = backend.text.thoughts.decode
    wanted = [decode(argmax_of(backend, prompt)).split("</s>")[0] for prompt in PROMPTS]
    assert [reply.text for reply in replies] == wanted
    assert len(set(wanted)) > 1


def test_it_would_write_others_if_it_were_let(tmp_path):
    """A control: the same checkpoint under transformers' own defaults."""
    backend = loaded(tmp_path, repetition_penalty=1.3)
    plain = LlavaForConditionalGeneration.from_pretrained(tmp_path).eval()
    wrong = 0
    for prompt in PROMPTS:
        batch = backend.inputs.encode([backend.render(prompt)], [prompt], side="right")
        output = plain.generate(**batch, max_new_tokens=KWARGS.max_gen_toks, pad_token_id=0)
        written = output[0, batch["input_ids"].shape[1] :].tolist()
        wrong += written != argmax_of(backend, prompt)[: len(written)]
    assert wrong >= 3


def test_what_was_set_aside_is_noted(tmp_path):
    notes = loaded(tmp_path, repetition_penalty=1.3, suppress_tokens=[7]).notes("", [])
    assert notes["decoding"] == GREEDY
    assert notes["generation_config_set_aside"] == {
        "repetition_penalty": 1.3,
        "suppress_tokens": [7],
    }


def test_tokens_that_end_a_text_are_kept():
    own = GenerationConfig(eos_token_id=[1, 2], pad_token_id=0, repetition_penalty=1.0)
    plain, aside = greedy_config(own)
    assert plain.eos_token_id == [1, 2]
    assert aside == {}


def test_why_an_answer_ended():
    assert finish_of([5, 6, 1], 1, most=3) == "stop"
    assert finish_of([5, 6, 7], [1, 2], most=3) == "length"
    assert finish_of([5, 6], None, most=3) == "stop"  # a stop string ended it
    assert finish_of([5, 2, 0], [1, 2], most=3) == "stop"
