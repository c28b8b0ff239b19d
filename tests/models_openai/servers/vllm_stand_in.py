"""What `_vllm.py` uses of vLLM, with vLLM's names and signatures, around a transformers model.

This is not vLLM. It shows that the calls fit the documented interface and that likelihoods are
read off the right tokens, and nothing about vLLM's own numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

IMAGE, PATCHES = "<image>", 16


@dataclass
class SamplingParams:
    temperature: float = 1.0
    max_tokens: int | None = 16
    stop: str | list[str] | None = None
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    min_tokens: int = 0


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
    finish_reason: str | None


@dataclass
class RequestOutput:
    prompt_token_ids: list[int]
    prompt_logprobs: list[dict[int, Logprob] | None] | None
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
        limit_mm_per_prompt=None,
    ):
        assert dtype == "float32"
        assert trust_remote_code is False
        self.most = limit_mm_per_prompt["image"]
        self.processor = AutoProcessor.from_pretrained(model, revision=revision)
        self.model = AutoModelForImageTextToText.from_pretrained(model, dtype=torch.float32).eval()

    def generate(self, prompts, sampling_params=None, *, use_tqdm=True):
        return [self._one(prompt, sampling_params) for prompt in prompts]

    @torch.inference_mode()
    def _one(self, prompt, parameters):
        images = prompt.get("multi_modal_data", {}).get("image", [])
        if len(images) > self.most:
            raise ValueError(f"At most {self.most} image(s) may be provided in one prompt.")
        token = self.processor.tokenizer.convert_tokens_to_ids(IMAGE)
        ids = [t for i in prompt["prompt_token_ids"] for t in [i] * (PATCHES if i == token else 1)]
        inputs = {"input_ids": torch.tensor([ids])}
        if images:
            pixels = self.processor.image_processor(images, return_tensors="pt")
            inputs["pixel_values"] = pixels["pixel_values"]
        likelihoods = None
        if parameters.prompt_logprobs is not None:
            logprobs = self.model(**inputs).logits[0].log_softmax(-1)
            likelihoods = [None]
            for position, found in enumerate(ids[1:]):
                best = int(logprobs[position].argmax())
                listed = {i: Logprob(float(logprobs[position, i])) for i in (best, found)}
                likelihoods.append(listed)
        output = self.model.generate(
            **inputs, max_new_tokens=parameters.max_tokens, do_sample=False, pad_token_id=0
        )
        written = output[0, len(ids) :].tolist()
        text = self.processor.tokenizer.decode(written, skip_special_tokens=True)
        reason = "length" if len(written) == parameters.max_tokens else "stop"
        for stop in parameters.stop or ():
            reason = "stop" if stop in text else reason
            text = text.split(stop)[0]
        return RequestOutput(ids, likelihoods, [CompletionOutput(0, text, written, reason)])
