"""What `_vllm.py` uses of vLLM, with the names and signatures of vLLM 0.32, on transformers.

This is not vLLM. It lets the ordinary tests run the backend's own code; what vLLM itself makes of
the calls is shown by `make vllm`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from vllm.exceptions import VLLMValidationError

__version__ = "0.32.0"
IMAGE, PATCHES = "<image>", 16
MOST_IMAGES = 12


@dataclass
class SamplingParams:
    temperature: float = 1.0
    max_tokens: int | None = 16
    stop: str | list[str] | None = None
    logprobs: int | None = None
    logprob_token_ids: list[int] | None = None
    flat_logprobs: bool = False
    detokenize: bool = True
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    min_tokens: int = 0

    def __post_init__(self):
        if self.stop and "" in self.stop:
            raise VLLMValidationError("stop cannot contain an empty string.")


@dataclass
class Logprob:
    logprob: float
    rank: int | None = None
    decoded_token: str | None = None


@dataclass
class CompletionOutput:
    index: int
    text: str
    token_ids: list[int]
    logprobs: list[dict[int, Logprob]] | None
    finish_reason: str | None


@dataclass
class RequestOutput:
    prompt_token_ids: list[int]
    outputs: list[CompletionOutput]


class LLM:
    def __init__(
        self,
        model,
        *,
        revision=None,
        trust_remote_code=False,
        dtype="auto",
        seed=0,
        enforce_eager=False,
        use_tqdm_on_load=True,
    ):
        assert dtype == "float32"
        assert trust_remote_code is False
        assert enforce_eager
        self.asked = []
        self.features = {}
        self.processor = AutoProcessor.from_pretrained(model, revision=revision)
        self.model = AutoModelForImageTextToText.from_pretrained(model, dtype=torch.float32).eval()

    def generate(self, prompts, sampling_params, *, use_tqdm=True):
        self.asked += prompts
        return [self._one(*pair) for pair in zip(prompts, sampling_params, strict=True)]

    @torch.inference_mode()
    def _one(self, prompt, parameters):
        images = prompt.get("multi_modal_data", {}).get("image", [])
        if len(images) > MOST_IMAGES:
            raise VLLMValidationError(f"At most {MOST_IMAGES} image(s) may be provided.")
        token = self.processor.tokenizer.convert_tokens_to_ids(IMAGE)
        ids = [t for i in prompt["prompt_token_ids"] for t in [i] * (PATCHES if i == token else 1)]
        inputs = {"input_ids": torch.tensor([ids])}
        if images:
            inputs["pixel_values"] = torch.cat(
                [
                    self._pixels(*pair)
                    for pair in zip(images, prompt["multi_modal_uuids"]["image"], strict=True)
                ]
            )
        output = self.model.generate(
            **inputs, max_new_tokens=parameters.max_tokens, do_sample=False, pad_token_id=0
        )
        written = output[0, len(ids) :].tolist()
        text = self.processor.tokenizer.decode(written, skip_special_tokens=True)
        reason = "length" if len(written) == parameters.max_tokens else "stop"
        for stop in parameters.stop or ():
            reason = "stop" if stop in text else reason
            text = text.split(stop)[0]
        listed = self._listed(inputs, parameters, written[0])
        return RequestOutput(ids, [CompletionOutput(0, text, written, listed, reason)])

    def _listed(self, inputs, parameters, first):
        wanted = list(parameters.logprob_token_ids or ())
        if not wanted and parameters.logprobs is None:
            return None
        likelihoods = self.model(**inputs).logits[0, -1].log_softmax(-1)
        wanted += likelihoods.topk(parameters.logprobs or 1).indices.tolist()
        return [{token: Logprob(float(likelihoods[token])) for token in {first, *wanted}}]

    def _pixels(self, image, name):
        """Keep what is made of an image under its name, right or wrong, as the engine does."""
        if name not in self.features:
            made = self.processor.image_processor([image], return_tensors="pt")
            self.features[name] = made["pixel_values"]
        return self.features[name]
