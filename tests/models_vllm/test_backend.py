"""The `vllm` backend's own code, on a stand-in for vLLM (`stand_in/vllm`).

Likelihoods are compared with those of the `hf` backend; `test_engine.py` does it on vLLM itself.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from home import vlmbench
from PIL import Image

from vlmbench.models import HfBackend, Prompt, try_canaries
from vlmbench.models._vllm import branches
from vlmbench.registry import backends
from vlmbench.spec import GenerationKwargs, ModelSpec
from vlmbench.types import DocumentError, VlmbenchError

CPU = torch.device("cpu")


@pytest.mark.skipif(find_spec("vllm") is not None, reason="about an environment without vLLM")
def test_it_is_listed_with_its_install_command_where_vllm_is_missing(monkeypatch) -> None:
    plugin = backends()["vllm"]
    assert plugin.missing == ("vllm",)
    assert plugin.remedy == 'pip install "vlmbench-gap[vllm]"'
    with pytest.raises(VlmbenchError, match="needs vllm"):
        plugin.load()
    monkeypatch.setenv("COLUMNS", "200")
    assert plugin.remedy in vlmbench("ls", "backends").out


@pytest.fixture
def pair(monkeypatch, llava_folder: Path):
    """The same checkpoint under `vllm` (the stand-in) and under `hf`."""
    monkeypatch.syspath_prepend(Path(__file__).parent / "stand_in")
    for name in ("VLLM_ENABLE_V1_MULTIPROCESSING", "VLLM_LOGGING_LEVEL", "VLLM_NO_USAGE_STATS"):
        monkeypatch.setenv(name, "kept")
    spec = ModelSpec(model="m", backend="vllm", checkpoint=str(llava_folder))
    yield (
        backends()["vllm"].load().load(spec, None, CPU, torch.float32),
        HfBackend.load(spec, None, CPU, torch.float32),
    )
    for name in ("vllm", "vllm.exceptions"):
        monkeypatch.delitem(sys.modules, name)


def test_likelihoods_and_texts_equal_those_of_hf(pair, pictures) -> None:
    vllm, hf = pair
    prompts = [
        Prompt(user="<image><image>\nWhich is nearer, A or B?", images=tuple(pictures[:2])),
        Prompt(user="Which is red?", images=(), system="Be brief. "),
        Prompt(user="<image> Which?", images=(pictures[3],)),
    ]
    choices = [["A", "B"], ["red", "blue", "a long answer"], ["C", "CC", "A red one"]]
    assert [vllm.render(p) for p in prompts] == [hf.render(p) for p in prompts]
    assert vllm.continuation("A", " ") == hf.continuation("A", " ")
    found, expected = (backend.choice_logprobs(prompts, choices) for backend in pair)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    kwargs = GenerationKwargs(until=("", "B"), max_gen_toks=6)
    for one, other in zip(*(backend.generate(prompts, kwargs) for backend in pair), strict=True):
        assert (one.text, one.finish) == (other.text, other.finish)


def test_each_beginning_of_answers_is_asked_about_once(pair, pictures) -> None:
    assert branches([[7], [8]]) == {(): [7, 8]}
    assert branches([[1, 7, 2], [1, 8, 2]]) == {(): [1], (1,): [7, 8], (1, 7): [2], (1, 8): [2]}
    assert branches([[1], [1, 5], [1, 5]]) == {(): [1], (1,): [5]}
    vllm, _ = pair
    prompt = Prompt(user="<image> Which?", images=(pictures[3],))
    vllm.choice_logprobs([prompt] * 3, [["A", "B", "C", "D"]] * 3)
    assert len(vllm._engine.asked) == 3


def test_requests_of_one_image_are_run_together_and_answered_in_order(pair, pictures) -> None:
    vllm, hf = pair
    texts = ["Which?", "Which is red?", "Which is nearer, A or B?"]
    prompts = [
        Prompt(user=f"<image>{text}", images=(image,)) for text in texts for image in pictures[:4]
    ]
    found = vllm.choice_logprobs(prompts, [["A", "B"]] * 12)
    for one, other in zip(found, hf.choice_logprobs(prompts, [["A", "B"]] * 12), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    names = [request["multi_modal_uuids"]["image"][0] for request in vllm._engine.asked]
    assert sum(one != other for one, other in pairwise(names)) == 3


def test_images_are_named_by_their_mode_size_and_content(pair) -> None:
    vllm, _ = pair
    square = Image.new("RGB", (8, 8), (1, 2, 3))
    images = [
        square,
        square.copy(),
        Image.frombytes("RGB", (4, 16), square.tobytes()),  # the same bytes, laid out otherwise
        Image.frombytes("L", (24, 8), square.tobytes()),
        Image.new("RGB", (8, 8), (1, 2, 4)),
    ]
    prompts = [Prompt(user="<image>", images=(image,)) for image in images]
    vllm.generate(prompts[:1] + prompts[2:], GenerationKwargs(max_gen_toks=1))
    vllm.generate(prompts[1:2], GenerationKwargs(max_gen_toks=1))
    assert len(vllm._engine.features) == len(images) - 1


def test_a_changed_prompt_has_no_likelihood(pair, pictures, monkeypatch) -> None:
    vllm, _ = pair
    engine = vllm._engine
    real = engine.generate

    def longer(*arguments, **more):
        outputs = real(*arguments, **more)
        for output in outputs:
            output.prompt_token_ids.append(5)
        return outputs

    monkeypatch.setattr(engine, "generate", longer)
    with pytest.raises(VlmbenchError, match="changed the end"):
        vllm.choice_logprobs([Prompt(user="<image>?", images=(pictures[0],))], [["A", "B"]])


def test_choices_in_place_of_thoughts_have_no_likelihood(pair, pictures, monkeypatch) -> None:
    """Of two choices neither opens thoughts; what the model would write does."""
    vllm, _ = pair
    prompt = Prompt(user="<image> Which?", images=(pictures[3],))
    ((heard,), tokenizer) = vllm.hear([prompt]), vllm._text.processor.tokenizer
    opening = max(heard.first, key=heard.first.get)
    assert [opening] not in [tokenizer.encode(each, add_special_tokens=False) for each in "AB"]
    monkeypatch.setitem(vllm._text.thoughts.__dict__, "openings", frozenset({opening}))
    with pytest.raises(VlmbenchError, match="thinks before it answers"):
        vllm.choice_logprobs([prompt], [["A", "B"]])


def test_what_the_engine_refuses_is_the_documents_fault(pair, pictures) -> None:
    vllm, _ = pair
    many = Prompt(user="<image>" * 13, images=(*pictures, *pictures[:5]))
    with pytest.raises(DocumentError, match="At most 12"):
        vllm.choice_logprobs([many], [["A", "B"]])
    with pytest.raises(DocumentError, match="At most 12"):
        vllm.generate([many], GenerationKwargs())


def test_canaries_are_heard(pair, located) -> None:
    vllm, _ = pair
    found = try_canaries(vllm, located)
    assert found["repeat"] == 0
    assert found["images"] > 0
    assert found["prompt"].count("<image>") == 1
    assert "What colour is this?" in found["prompt"]


def test_a_canary_finds_one_image_taken_for_another(pair, located, monkeypatch) -> None:
    vllm, _ = pair
    monkeypatch.setattr("vlmbench.models._vllm._identity", lambda image: "an image")
    with pytest.raises(VlmbenchError, match="nothing shows that it is given the images"):
        try_canaries(vllm, located)
