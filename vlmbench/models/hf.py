"""The `hf` backend: any image-text-to-text checkpoint that transformers loads."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vlmbench.models._backend import IMAGE_PLACEHOLDER, Prompt
from vlmbench.spec import GenerationKwargs, ModelSpec
from vlmbench.types import Problem, VlmbenchError


class HfBackend:
    """A vision-language model run by transformers.

    Args:
        model: An image-text-to-text model in eval mode.
        processor: Its processor.
        spec: The model spec it was loaded for.

    Attributes:
        model: As given.
        processor: As given, padding on the right.
        weights_digest: SHA-256 over names, shapes and bytes of all parameters and buffers.
    """

    def __init__(self, model: Any, processor: Any, spec: ModelSpec) -> None:
        self.model = model
        self.processor = processor
        self.spec = spec
        self.weights_digest = weights_digest(model)
        tokenizer = processor.tokenizer
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token

    @classmethod
    def load(
        cls, spec: ModelSpec, folder: Path | None, device: torch.device, dtype: torch.dtype
    ) -> HfBackend:
        """Load the checkpoint of `spec`.

        Args:
            spec: Which model.
            folder: Folder of its YAML, at which a relative `checkpoint` starts.
            device: Where to put it.
            dtype: Number format of the weights.

        Raises:
            VlmbenchError: If there is no such checkpoint, or it is no image-text-to-text model.
        """
        from transformers import AutoModelForImageTextToText, AutoProcessor
        from transformers.utils import logging

        logging.disable_progress_bar()  # the run shows its own
        source = checkpoint_path(spec.checkpoint, folder)
        try:
            processor = AutoProcessor.from_pretrained(source, revision=spec.revision)
            model = AutoModelForImageTextToText.from_pretrained(
                source, revision=spec.revision, dtype=dtype
            )
        except (OSError, ValueError) as error:
            raise VlmbenchError(
                Problem(
                    field="checkpoint",
                    message=f"model {spec.model!r}: cannot load {source!r}: {error}",
                    remedy="Give a folder that save_pretrained wrote, or a hub id that is "
                    "downloaded or can be.",
                )
            ) from error
        return cls(model.to(device).eval(), processor, spec)

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        device: torch.device = self.model.device
        return device

    # -- text -----------------------------------------------------------------------------

    def render(self, prompt: Prompt) -> str:
        """Return the text the processor is given: chat template or wrapper applied."""
        if self._chat():
            return self._render_chat(prompt)
        text = "".join((prompt.system, prompt.user, prompt.prefix))
        if self.spec.prompt.wrapper is not None:
            from vlmbench.spec import render

            text = render(self.spec.prompt.wrapper, {"prompt": text})
        return text.replace(IMAGE_PLACEHOLDER, self._image_token())

    def continuation(self, choice: str, delimiter: str, prefix: str) -> str:
        """Return what stands after the rendered prompt when `choice` is the answer.

        The delimiter follows lm-eval's rule (api/task.py, construct_requests): nothing under a
        chat template, unless the answer is prefilled, else the task's `target_delimiter`.
        """
        if self.spec.prompt.answer_delimiter is not None:
            return self.spec.prompt.answer_delimiter + choice
        prefilled = bool(prefix) and not prefix[-1].isspace()
        return (delimiter if prefilled or not self._chat() else "") + choice

    def _chat(self) -> bool:
        has_template = getattr(self.processor, "chat_template", None) is not None
        return self.spec.prompt.chat_template == "auto" and has_template

    def _image_token(self) -> str:
        token = getattr(self.processor, "image_token", None)
        return str(token) if token is not None else IMAGE_PLACEHOLDER

    def _render_chat(self, prompt: Prompt) -> str:
        messages = [] if not prompt.system else [_message("system", prompt.system)]
        messages.append(_message("user", prompt.user))
        if prompt.prefix:
            messages.append(_message("assistant", prompt.prefix))
        text: str = self.processor.apply_chat_template(
            messages,
            add_generation_prompt=not prompt.prefix,
            continue_final_message=bool(prompt.prefix),
        )
        return text

    # -- numbers --------------------------------------------------------------------------

    def encode(self, texts: Sequence[str], prompts: Sequence[Prompt], *, side: str) -> Any:
        """Tokenise rendered prompts and their images into one batch on the model's device.

        Args:
            texts: The rendered prompts.
            prompts: The prompts they were rendered from, for their images.
            side: `right` for plain forward passes, where padding changes no position;
                `left` for generation.
        """
        images = [list(prompt.images) for prompt in prompts]
        bos = self.processor.tokenizer.bos_token
        # A template that already wrote the first token must not get a second one.
        special = not (bos and all(text.startswith(bos) for text in texts))
        batch = self.processor(
            text=texts,
            images=images if any(images) else None,
            padding=True,
            padding_side=side,
            add_special_tokens=special,
            return_tensors="pt",
        )
        return batch.to(self.device, self.model.dtype)

    @torch.inference_mode()
    def choice_logprobs(
        self, prompts: Sequence[Prompt], choices: Sequence[Sequence[str]]
    ) -> list[NDArray[np.float64]]:
        """Return each continuation's summed log-likelihood; one shared forward per prompt.

        The prompt runs once. Single-token continuations are read off its last position;
        longer ones continue from its key-value cache. Log-softmax is taken in float32.

        Args:
            prompts: Questions, run as one batch.
            choices: Per prompt, the continuations exactly as they follow the rendered prompt.

        Returns:
            Per prompt, (n continuations,) float64 in nats.
        """
        texts = [self.render(prompt) for prompt in prompts]
        tokens = [
            [self._continuation_tokens(text, choice) for choice in row]
            for text, row in zip(texts, choices, strict=True)
        ]
        longest = max(len(ids) for row in tokens for ids in row)
        batch = self.encode(texts, prompts, side="right")
        lengths = batch["attention_mask"].sum(dim=1)
        output = self.model(**batch, use_cache=longest > 1)
        rows = torch.arange(len(prompts), device=lengths.device)
        last = output.logits[rows, lengths - 1].float().log_softmax(dim=-1)  # (batch, vocab)
        results = []
        for index, row in enumerate(tokens):
            first = last[index, [ids[0] for ids in row]].double()
            rest = torch.zeros_like(first)
            if any(len(ids) > 1 for ids in row):
                rest = self._continue(output.past_key_values, index, int(lengths[index]), row)
            results.append((first + rest).cpu().numpy())
        return results

    def _continuation_tokens(self, text: str, choice: str) -> list[int]:
        """Return the tokens that `choice` adds to `text`, tokenised together as lm-eval does."""
        tail = text.rpartition(self._image_token())[2]  # image tokens never merge with text
        encode = self.processor.tokenizer.encode
        before = encode(tail, add_special_tokens=False)
        ids: list[int] = encode(tail + choice, add_special_tokens=False)[len(before) :]
        if not ids:
            raise VlmbenchError(f"the choice {choice!r} has no tokens, so it has no likelihood")
        return ids

    def _continue(self, cache: Any, index: int, length: int, row: list[list[int]]) -> Tensor:
        """Return (n continuations,) float64 log-likelihoods of all tokens after the first."""
        longest = max(len(ids) for ids in row)
        padded = torch.zeros(len(row), longest, dtype=torch.long, device=self.device)
        valid = torch.zeros(len(row), longest, device=self.device)
        for position, ids in enumerate(row):
            padded[position, : len(ids)] = torch.tensor(ids, device=self.device)
            valid[position, : len(ids)] = 1
        # The shared cache serves every prompt of the batch, so each takes a copy of its row.
        own = copy.deepcopy(cache)
        own.batch_select_indices(torch.tensor([index], device=self.device))
        padding = own.get_seq_length() - length
        if padding:
            own.crop(-padding)
        own.batch_repeat_interleave(len(row))
        positions = torch.arange(length, length + longest - 1, device=self.device)
        output = self.model(
            input_ids=padded[:, :-1],
            attention_mask=torch.ones(len(row), length + longest - 1, device=self.device),
            position_ids=positions.expand(len(row), -1),
            past_key_values=own,
        )
        logprobs = output.logits.float().log_softmax(dim=-1)
        taken = logprobs.gather(2, padded[:, 1:, None]).squeeze(2)
        total: Tensor = (taken.double() * valid[:, 1:]).sum(dim=1)
        return total

    @torch.inference_mode()
    def generate(self, prompts: Sequence[Prompt], kwargs: GenerationKwargs) -> list[str]:
        """Return greedily decoded answers, cut at the first stop string as lm-eval cuts them."""
        until = (kwargs.until,) if isinstance(kwargs.until, str) else kwargs.until
        tokenizer = self.processor.tokenizer
        stops = (*until, tokenizer.decode([tokenizer.eos_token_id], skip_special_tokens=False))
        texts = [self.render(prompt) for prompt in prompts]
        batch = self.encode(texts, prompts, side="left")
        output = self.model.generate(
            **batch,
            max_new_tokens=kwargs.max_gen_toks,
            do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
            stop_strings=list(until) or None,
            tokenizer=tokenizer if until else None,
        )
        answers = []
        for ids in output[:, batch["input_ids"].shape[1] :]:
            text: str = tokenizer.decode(ids, skip_special_tokens=True)
            for stop in stops:
                text = text.split(stop, maxsplit=1)[0] if stop else text
            answers.append(text)
        return answers


def _message(role: str, text: str) -> dict[str, Any]:
    """Return a chat message with its text cut at every `<image>`, as lm-eval's hf_vlms does."""
    content: list[dict[str, str]] = []
    parts = text.split(IMAGE_PLACEHOLDER)
    for index, part in enumerate(parts):
        if part:
            content.append({"type": "text", "text": part})
        if index < len(parts) - 1:
            content.append({"type": "image"})
    return {"role": role, "content": content}


def checkpoint_path(checkpoint: str | None, folder: Path | None) -> str:
    """Return a local folder if `checkpoint` names one next to its YAML, else the hub id."""
    assert checkpoint is not None, "specs without a checkpoint never reach a backend"
    local = (folder or Path()) / checkpoint
    return str(local.resolve()) if local.is_dir() else checkpoint


def weights_digest(model: torch.nn.Module) -> str:
    """Return the hex SHA-256 over every parameter and buffer: name, shape, dtype and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        raw = tensor.detach().contiguous().cpu().flatten().view(torch.uint8)
        digest.update(raw.numpy().tobytes())
    return digest.hexdigest()
