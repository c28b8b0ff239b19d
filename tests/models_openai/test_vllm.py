"""The `vllm` backend on a stand-in for vLLM. It has not been run on vLLM itself.

The stand-in (`servers/vllm_stand_in.py`) has the signatures of vLLM's documentation around a
transformers model, so that likelihoods can be compared with the `hf` backend's.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from home import vlmbench

from vlmbench.models import HfBackend, Prompt
from vlmbench.registry import backends
from vlmbench.spec import GenerationKwargs, ModelSpec
from vlmbench.types import VlmbenchError

CPU = torch.device("cpu")


def test_it_is_listed_with_its_install_command_where_vllm_is_missing(monkeypatch) -> None:
    plugin = backends()["vllm"]
    assert plugin.missing == ("vllm",)
    assert plugin.remedy == 'pip install "vlmbench-gap[vllm]"'
    with pytest.raises(VlmbenchError, match="needs vllm"):
        plugin.load()
    monkeypatch.setenv("COLUMNS", "200")
    assert plugin.remedy in vlmbench("ls", "backends").out


@pytest.fixture
def pair(monkeypatch, tmp_path: Path, llava_folder: Path):
    """The same checkpoint under `vllm` (the stand-in) and under `hf`."""
    program = Path(__file__).parent / "servers" / "vllm_stand_in.py"
    shutil.copy(program, tmp_path / "vllm.py")
    monkeypatch.syspath_prepend(tmp_path)
    spec = ModelSpec(model="m", backend="vllm", checkpoint=str(llava_folder))
    yield (
        backends()["vllm"].load().load(spec, None, CPU, torch.float32),
        HfBackend.load(spec, None, CPU, torch.float32),
    )
    monkeypatch.delitem(__import__("sys").modules, "vllm")


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
    kwargs = GenerationKwargs(until=("B",), max_gen_toks=6)
    for one, other in zip(*(backend.generate(prompts, kwargs) for backend in pair), strict=True):
        assert (one.text, one.finish) == (other.text, other.finish)


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
        vllm.choice_logprobs([Prompt(user="<image>", images=(pictures[0],))], [["A", "B"]])


def test_too_many_images_are_the_documents_fault(pair, pictures) -> None:
    vllm, _ = pair
    many = Prompt(user="<image>" * 9, images=(*pictures, pictures[0]))
    with pytest.raises(ValueError, match="At most 8"):
        vllm.choice_logprobs([many], [["A", "B"]])
