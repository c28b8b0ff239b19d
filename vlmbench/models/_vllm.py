"""The `vllm` backend: vLLM's offline engine under the prompts of the `hf` backend.

Written against the documented interface (https://docs.vllm.ai, `LLM`, `SamplingParams` and
`RequestOutput`; token prompts with `multi_modal_data`). It was never run on vLLM itself, which
needs a GPU; its test runs it on a stand-in with the same signatures.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vlmbench.models._backend import Prompt, Reply
from vlmbench.models._checkpoint import checkpoint_path, stand_in_digest
from vlmbench.models._text import PromptText, cut, stops_of
from vlmbench.spec import GenerationKwargs, ModelSpec
from vlmbench.types import Problem, VlmbenchError

# vLLM reserves memory for as many images a prompt; documents with more are failed.
MOST_IMAGES = 8
# What a checkpoint's generation config could bend greedy decoding by.
_NEUTRAL = {
    "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0, "min_tokens": 0,
}  # fmt: skip


class VllmBackend:
    """A vision-language model run by vLLM.

    Args:
        engine: A `vllm.LLM`.
        text: Renders and tokenises its prompts.

    Attributes:
        spec: The model spec it was loaded for.
        weights_digest: SHA-256 of the checkpoint's name and revision; vLLM does not show the
            weights themselves.
    """

    def __init__(self, engine: Any, text: PromptText) -> None:
        self.spec = text.spec
        self.weights_digest = stand_in_digest("vllm", self.spec.checkpoint, self.spec.revision)
        self._engine = engine
        self._text = text

    @classmethod
    def load(
        cls, spec: ModelSpec, folder: Path | None, device: torch.device, dtype: torch.dtype
    ) -> VllmBackend:
        """Load the checkpoint of `spec` into an engine; vLLM picks its device itself.

        Raises:
            VlmbenchError: If it cannot be loaded, or its family's prompts are not plain text
                with image tokens in it.
        """
        from vllm import LLM

        del device
        source = checkpoint_path(spec.checkpoint, folder)
        try:
            text = PromptText.load(spec, folder)
            if text.family.appended or text.family.prefix_lm:
                message = (
                    f"the processor of {source!r} adds text to prompts that vLLM would not add"
                )
                raise VlmbenchError(
                    Problem(field="backend", message=message, remedy="Use `backend: hf`.")
                )
            engine = LLM(
                model=source,
                revision=spec.revision,
                trust_remote_code=False,
                dtype=str(dtype).removeprefix("torch."),
                seed=0,
                limit_mm_per_prompt={"image": MOST_IMAGES},
            )
        except (OSError, ValueError, ImportError) as error:
            message = f"model {spec.model!r}: vLLM cannot load {source!r}: {error}"
            raise VlmbenchError(Problem(field="checkpoint", message=message)) from error
        return cls(engine, text)

    def render(self, prompt: Prompt) -> str:
        """Return the whole text before tokenisation, one image token per image."""
        return self._text.render(prompt)

    def continuation(self, choice: str, delimiter: str) -> str:
        """Return what follows the rendered prompt when `choice` is the answer."""
        return self._text.continuation(choice, delimiter)

    def choice_logprobs(
        self, prompts: Sequence[Prompt], choices: Sequence[Sequence[str]]
    ) -> list[NDArray[np.float64]]:
        """Return, per prompt, the summed log-likelihood in nats of each continuation.

        Prompt and continuation are run as one prompt, of which vLLM reports every token's
        likelihood; the last ones are the continuation's.
        """
        from vllm import SamplingParams

        requests, answers = [], []
        for prompt, row in zip(prompts, choices, strict=True):
            text, found = self._text.answers(self.render(prompt), row)
            start = self._text.prompt_tokens(text)
            requests += [_request(start + ids, prompt) for ids in found]
            answers += found
        parameters = SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=1)
        outputs = self._engine.generate(requests, parameters, use_tqdm=False)
        if any(
            _likeliest(out, ids) in self._text.thoughts.openings
            for out, ids in zip(outputs, answers, strict=True)
        ):
            raise self._text.refuse_thoughts()
        sums = iter([_summed(out, ids) for out, ids in zip(outputs, answers, strict=True)])
        return [np.array([next(sums) for _ in row]) for row in choices]

    def generate(self, prompts: Sequence[Prompt], kwargs: GenerationKwargs) -> list[Reply]:
        """Return, per prompt, the greedily decoded answer up to the first stop string.

        A model that thinks writes on through stop strings, as with the `hf` backend.
        """
        from vllm import SamplingParams

        until = stops_of(kwargs)
        parameters = SamplingParams(
            temperature=0.0,
            max_tokens=kwargs.max_gen_toks + (self.spec.prompt.thinking or 0),
            stop=[] if self._text.thinks else list(until),
            **_NEUTRAL,
        )
        requests = [
            _request(self._text.prompt_tokens(self.render(prompt)), prompt) for prompt in prompts
        ]
        outputs = self._engine.generate(requests, parameters, use_tqdm=False)
        return [self._reply(output.outputs[0], until) for output in outputs]

    def notes(self, text: str, continuations: Sequence[str]) -> dict[str, Any]:
        """Return what of its prompting and decoding can move a number; see `TakesNotes`."""
        noted = self._text.notes(text, continuations)
        return noted if continuations else noted | {"decoding": {"temperature": 0.0, **_NEUTRAL}}

    def _reply(self, written: Any, until: Sequence[str]) -> Reply:
        thoughts, text = self._text.split(written.token_ids)
        return Reply(
            text=cut(text, until), thoughts=thoughts, finish=str(written.finish_reason or "")
        )


def _request(tokens: list[int], prompt: Prompt) -> dict[str, Any]:
    request: dict[str, Any] = {"prompt_token_ids": tokens}
    if prompt.images:
        request["multi_modal_data"] = {"image": list(prompt.images)}
    return request


def _likeliest(output: Any, answer: list[int]) -> int:
    """Return the token that greedy decoding would write in place of an answer's first."""
    listed = output.prompt_logprobs[-len(answer)]
    return int(max(listed, key=lambda token: listed[token].logprob))


def _summed(output: Any, answer: list[int]) -> float:
    """Return the summed log-likelihood of the last tokens of a prompt."""
    if list(output.prompt_token_ids[-len(answer) :]) != answer:
        raise VlmbenchError("vLLM changed the end of a prompt, so its likelihood is unknown")
    places = output.prompt_logprobs[-len(answer) :]
    return float(sum(place[token].logprob for place, token in zip(places, answer, strict=True)))
