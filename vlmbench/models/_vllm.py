"""The `vllm` backend: vLLM's offline engine under the prompts of the `hf` backend.

Run on vLLM 0.32 on a CPU by `make vllm`, where its numbers are compared with those of `hf`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from vlmbench.models._backend import Prompt, Reply
from vlmbench.models._canary import Heard
from vlmbench.models._checkpoint import checkpoint_path, stand_in_digest
from vlmbench.models._text import PromptText, cut, stops_of
from vlmbench.registry import Family
from vlmbench.spec import GenerationKwargs, ModelSpec
from vlmbench.types import DocumentError, Problem, VlmbenchError

# What a checkpoint's generation config could bend greedy decoding by.
_NEUTRAL = {
    "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0, "min_tokens": 0,
}  # fmt: skip
# Set unless the user has: the engine runs in this process, where it schedules the same way every
# time; it says what goes wrong and nothing else; and it tells nobody that it is used.
_VARIABLES = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
}
# Alternatives of a canary's first token; the most that an engine lists unless it is told to.
_LISTED = 20
Tokens = tuple[int, ...]


class VllmBackend:
    """A vision-language model run by vLLM.

    Args:
        engine: A `vllm.LLM`.
        text: Renders and tokenises its prompts.

    Attributes:
        spec: The model spec it was loaded for.
        weights_digest: SHA-256 of the checkpoint's name and revision; vLLM does not show the
            weights themselves.
        canary: What canaries showed; see `TakesCanaries`.
        batch: Prompts to hand over at once; the engine makes its own batches of them.
    """

    batch = 128

    def __init__(self, engine: Any, text: PromptText) -> None:
        self.spec = text.spec
        self.weights_digest = stand_in_digest("vllm", self.spec.checkpoint, self.spec.revision)
        self.canary: dict[str, Any] = {}
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
        for name, value in _VARIABLES.items():
            os.environ.setdefault(name, value)
        from vllm import LLM

        source = checkpoint_path(spec.checkpoint, folder)
        try:
            text = PromptText.load(spec, folder)
            _refuse_additions(text.family, source)
            engine = LLM(
                model=source,
                revision=spec.revision,
                trust_remote_code=False,
                dtype=str(dtype).removeprefix("torch."),
                seed=0,
                enforce_eager=device.type == "cpu",  # compiling takes longer than it saves there
                use_tqdm_on_load=False,
            )
        except VlmbenchError:
            raise
        except Exception as error:  # whatever a family, or vLLM, may raise
            message = f"model {spec.model!r}: vLLM cannot load {source!r}: {error}"
            remedy = "See whether vLLM knows its family and its tower, or use `backend: hf`."
            raise VlmbenchError(
                Problem(field="checkpoint", message=message, remedy=remedy)
            ) from error
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

        One request asks what is likely to come next, of all tokens with which an answer goes on:
        a single one where all answers are single tokens, and one for every beginning that answers
        have otherwise. A beginning that answers share is asked about once, and what stands before
        it is in the engine's cache.

        Raises:
            DocumentError: If the engine does not take one of the prompts.
            VlmbenchError: If the model thinks first.
        """
        found, places, requests, asked = [], [], [], []
        for index, (prompt, row) in enumerate(zip(prompts, choices, strict=True)):
            text, answers = self._text.answers(self.render(prompt), row)
            start = self._text.prompt_tokens(text)
            found.append(answers)
            for beginning, tokens in branches(answers).items():
                places.append((index, beginning))
                requests.append(_request([*start, *beginning], prompt))
                more = {"logprob_token_ids": tokens, "flat_logprobs": True, "detokenize": False}
                asked.append(_one_token(**more))
        outputs = dict(zip(places, self._run(requests, asked), strict=True))
        written = {outputs[index, ()].outputs[0].token_ids[0] for index in range(len(prompts))}
        if written & self._text.thoughts.openings:
            raise self._text.refuse_thoughts()
        return [
            np.array([_summed(outputs, index, ids) for ids in answers], dtype=np.float64)
            for index, answers in enumerate(found)
        ]

    def generate(self, prompts: Sequence[Prompt], kwargs: GenerationKwargs) -> list[Reply]:
        """Return, per prompt, the greedily decoded answer up to the first stop string.

        A model that thinks writes on through stop strings, as with the `hf` backend.

        Raises:
            DocumentError: If the engine does not take one of the prompts.
        """
        from vllm import SamplingParams

        until = stops_of(kwargs)
        parameters = SamplingParams(
            temperature=0.0,
            max_tokens=kwargs.max_gen_toks + (self.spec.prompt.thinking or 0),
            stop=[] if self._text.thinks else list(until),
            **_NEUTRAL,
        )
        requests = [self._whole(prompt) for prompt in prompts]
        outputs = self._run(requests, [parameters] * len(requests))
        return [self._reply(output.outputs[0], until) for output in outputs]

    def notes(self, text: str, continuations: Sequence[str]) -> dict[str, Any]:
        """Return what of its prompting and decoding can move a number; see `TakesNotes`."""
        import vllm

        noted = self._text.notes(text, continuations) | {"vllm": vllm.__version__}
        return noted if continuations else noted | {"decoding": {"temperature": 0.0, **_NEUTRAL}}

    def hear(self, prompts: Sequence[Prompt]) -> list[Heard]:
        """Return the likeliest first tokens after each prompt; see `TakesCanaries`."""
        outputs = self._run(
            [self._whole(prompt) for prompt in prompts],
            [_one_token(logprobs=_LISTED)] * len(prompts),
        )
        return [
            Heard(
                first={token: one.logprob for token, one in said.outputs[0].logprobs[0].items()},
                text=said.outputs[0].text,
                tokens=len(said.prompt_token_ids),
            )
            for said in outputs
        ]

    def echo(self, prompt: Prompt) -> str:
        """Return a prompt as the engine reads it, repeated image tokens once."""
        (output,) = self._run([self._whole(prompt)], [_one_token()])
        read = self._text.processor.tokenizer.decode(output.prompt_token_ids)
        return re.sub(r"(<[^<>]+>)(?:\s*\1)+", r"\1", read)

    def _whole(self, prompt: Prompt) -> dict[str, Any]:
        return _request(self._text.prompt_tokens(self.render(prompt)), prompt)

    def _run(self, requests: Sequence[dict[str, Any]], parameters: Sequence[Any]) -> list[Any]:
        """Return one output a request, in their order; those of one image are run together."""
        from vllm.exceptions import VLLMClientError

        order = sorted(range(len(requests)), key=lambda place: _kinship(requests[place]))
        try:
            found = self._engine.generate(
                [requests[place] for place in order],
                [parameters[place] for place in order],
                use_tqdm=False,
            )
        except VLLMClientError as error:
            raise DocumentError(f"vLLM does not take the prompt: {error}") from error
        outputs = dict(zip(order, found, strict=True))
        for place, request in enumerate(requests):
            self._refuse_changed(request["prompt_token_ids"], outputs[place].prompt_token_ids)
        return [outputs[place] for place in range(len(requests))]

    def _refuse_changed(self, asked: Sequence[int], read: Sequence[int]) -> None:
        """Refuse an answer to another prompt: only images may have become more tokens."""
        image = getattr(self._text.processor, "image_token_id", None)
        if asked[-1] not in (read[-1], image) or len(read) < len(asked):
            raise VlmbenchError("vLLM changed the end of a prompt, so its likelihood is unknown")

    def _reply(self, written: Any, until: Sequence[str]) -> Reply:
        thoughts, text = self._text.split(written.token_ids)
        return Reply(
            text=cut(text, until), thoughts=thoughts, finish=str(written.finish_reason or "")
        )


def _refuse_additions(family: Family, source: str) -> None:
    """Refuse a family whose processor adds text to prompts that vLLM would not add."""
    if family.appended or family.prefix_lm:
        message = f"the processor of {source!r} adds text to prompts that vLLM would not add"
        raise VlmbenchError(Problem(field="backend", message=message, remedy="Use `backend: hf`."))


def branches(answers: Sequence[Sequence[int]]) -> dict[Tokens, list[int]]:
    """Return the tokens with which answers go on, each once, by what stands before them.

    Args:
        answers: Token ids, a list an answer.

    Returns:
        Beginning of an answer -> token ids; the empty beginning comes first.
    """
    found: dict[Tokens, dict[int, None]] = {}
    for ids in answers:
        for place, token in enumerate(ids):
            found.setdefault(tuple(ids[:place]), {})[token] = None
    return {beginning: list(tokens) for beginning, tokens in found.items()}


def _summed(outputs: dict[tuple[int, Tokens], Any], index: int, answer: Sequence[int]) -> float:
    """Return the log-likelihood of an answer, the sum of that of its tokens."""
    listed = (outputs[index, tuple(answer[:place])].outputs[0] for place in range(len(answer)))
    pairs = zip(answer, listed, strict=True)
    return sum(float(output.logprobs[0][token].logprob) for token, output in pairs)


def _one_token(**more: Any) -> Any:
    """Return how to ask for what follows a prompt, and nothing after that."""
    from vllm import SamplingParams

    return SamplingParams(temperature=0.0, max_tokens=1, **more)


def _request(tokens: list[int], prompt: Prompt) -> dict[str, Any]:
    request: dict[str, Any] = {"prompt_token_ids": tokens}
    if prompt.images:
        request["multi_modal_data"] = {"image": list(prompt.images)}
        request["multi_modal_uuids"] = {"image": [_identity(image) for image in prompt.images]}
    return request


def _identity(image: Image.Image) -> str:
    """Return the name under which the engine keeps what it computes of an image: its content."""
    digest = hashlib.sha256(f"{image.mode}{image.size}".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()


def _kinship(request: dict[str, Any]) -> tuple[list[str], list[int]]:
    """Return a key by which requests that share their images and beginnings stand together."""
    return request.get("multi_modal_uuids", {}).get("image", []), request["prompt_token_ids"]
