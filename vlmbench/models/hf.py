"""The `hf` backend: any image-text-to-text checkpoint that transformers loads."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from jinja2 import TemplateError
from numpy.typing import NDArray
from torch import Tensor

from vlmbench.models._backend import IMAGE_PLACEHOLDER, Inside, Prompt
from vlmbench.models._continuations import can_continue, from_cache, run_whole
from vlmbench.models._inspect import look_inside
from vlmbench.models._processor import load_processor
from vlmbench.models._registers import drop_registers
from vlmbench.registry import family_of
from vlmbench.spec import GenerationKwargs, ModelSpec
from vlmbench.types import Problem, Region, VlmbenchError


class HfBackend:
    """A vision-language model run by transformers.

    Args:
        model: An image-text-to-text model in eval mode.
        processor: Its processor.
        spec: The model spec it was loaded for.

    Attributes:
        model: As given.
        processor: As given.
        family: Where the model leaves transformers' conventions.
        weights_digest: SHA-256 over names, shapes and bytes of all parameters and buffers.
    """

    def __init__(self, model: Any, processor: Any, spec: ModelSpec) -> None:
        self.model = model
        self.processor = processor
        self.spec = spec
        self.weights_digest = weights_digest(model)
        self.family = family_of(model.config.model_type)
        self._picks_logits = "logits_to_keep" in inspect.signature(model.forward).parameters
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
            device: Where to put it. A model that `needs` more memory than one GPU has is spread
                over all of them.
            dtype: Number format of the weights; quantised ones keep theirs.

        Raises:
            VlmbenchError: If there is no such checkpoint, or it is no image-text-to-text model.
        """
        from transformers.utils import logging

        logging.disable_progress_bar()  # the run shows its own
        source = checkpoint_path(spec.checkpoint, folder)
        try:
            processor = load_processor(source, spec.revision)
            model = _load_model(source, spec, device, dtype)
        except (OSError, ValueError, ImportError) as error:
            raise VlmbenchError(
                Problem(
                    field="checkpoint",
                    message=f"model {spec.model!r}: cannot load {source!r}: {error}",
                    remedy="Give a folder that save_pretrained wrote, or a hub id that is "
                    "downloaded or can be.",
                )
            ) from error
        return cls(model.eval(), processor, spec)

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
        text = prompt.system + prompt.user
        if self.spec.prompt.wrapper is not None:
            from vlmbench.spec import render

            text = render(self.spec.prompt.wrapper, {"prompt": text})
        return text.replace(IMAGE_PLACEHOLDER, self._placeholder())

    def continuation(self, choice: str, delimiter: str) -> str:
        """Return what stands after the rendered prompt when `choice` is the answer.

        The delimiter follows lm-eval's rule (api/task.py, construct_requests): nothing under a
        chat template, else the task's `target_delimiter`.
        """
        if self.spec.prompt.answer_delimiter is not None:
            return self.spec.prompt.answer_delimiter + choice
        return choice if self._chat() else delimiter + choice

    def _chat(self) -> bool:
        own = getattr(self.processor, "chat_template", None)
        has_template = own is not None or self.processor.tokenizer.chat_template is not None
        return self.spec.prompt.chat_template == "auto" and has_template

    def _image_token(self) -> str:
        token = getattr(self.processor, "image_token", None)
        return str(token) if token is not None else IMAGE_PLACEHOLDER

    def _placeholder(self) -> str:
        """Return how an image is written into a prompt."""
        return self.family.placeholder or self._image_token()

    def _render_chat(self, prompt: Prompt) -> str:
        """Return the prompt under the chat template, with every image where it belongs.

        Templates take a message as a list of texts and images, or (older ones, such as
        Phi-4-multimodal's) as one string that has the image tokens in it already.
        """
        system = [] if not prompt.system else [_message("system", prompt.system)]
        strings = [{"role": "system", "content": prompt.system}] if prompt.system else []
        written = prompt.user.replace(IMAGE_PLACEHOLDER, self._placeholder())
        conversations = (
            [*system, _message("user", prompt.user)],
            [*strings, {"role": "user", "content": written}],
        )
        own = getattr(self.processor, "chat_template", None)
        template = self.processor.tokenizer.chat_template if own is None else None
        token = self._image_token()
        marker = token if token in self._placeholder() else self._placeholder()
        for messages in conversations:
            try:
                text: str = self.processor.apply_chat_template(
                    messages, chat_template=template, add_generation_prompt=True, tokenize=False
                )
            except (TypeError, TemplateError):
                continue
            if text.count(marker) == len(prompt.images):
                return text
        raise VlmbenchError(
            Problem(
                field="prompt.chat_template",
                message=f"model {self.spec.model!r}: its chat template does not write "
                f"{len(prompt.images)} images as {marker!r}",
                remedy="Write `chat_template: none` and give a `wrapper`.",
            )
        )

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
            text=list(texts),
            images=images if any(images) else None,
            padding=True,
            padding_side=side,
            add_special_tokens=special,
            return_tensors="pt",
        )
        batch.pop("labels", None)  # PaliGemma's processor prepares for training
        return batch.to(self.device, self.model.dtype)

    def image_positions(self, batch: Any) -> Bool[Tensor, "prompts tokens"]:
        """Tell which tokens of an encoded batch are replaced by projected image tokens.

        Raises:
            VlmbenchError: If the model's config names no such token.
        """
        config = self.model.config
        places = (config, getattr(config, "vision_config", None))
        for place in places:
            for name in ("image_token_id", "image_token_index"):
                token = getattr(place, name, None)
                if token is not None:
                    positions: Tensor = batch["input_ids"] == token
                    return positions
        raise VlmbenchError(f"{config.model_type!r} replaces no token of the text by images")

    def alike(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        """Return positions of prompts that may share a batch: with and without images, at least."""
        groups: dict[tuple[object, ...], list[int]] = {}
        for index, prompt in enumerate(prompts):
            sizes = tuple(image.size for image in prompt.images)
            match self.family.batches:
                case "any":
                    key: tuple[object, ...] = (bool(sizes),)
                case "same_count":
                    key = (len(sizes),)
                case "same_sizes":
                    key = sizes
            groups.setdefault(key, []).append(index)
        return list(groups.values())

    def choice_logprobs(
        self, prompts: Sequence[Prompt], choices: Sequence[Sequence[str]]
    ) -> list[NDArray[np.float64]]:
        """Return each continuation's summed log-likelihood in nats; see `choice_and_greedy`."""
        return [row for row, _ in self.choice_and_greedy(prompts, choices)]

    @torch.inference_mode()
    def choice_and_greedy(
        self, prompts: Sequence[Prompt], choices: Sequence[Sequence[str]]
    ) -> list[tuple[NDArray[np.float64], NDArray[np.bool_]]]:
        """Return each continuation's summed log-likelihood; one shared forward per prompt.

        The prompt runs once. Single-token continuations are read off its last position; longer
        ones continue from its key-value cache, or, where a cache cannot be continued (sliding
        windows, cross-attention), are run together with the prompt. Log-softmax is taken in
        float32.

        Args:
            prompts: Questions, run as one batch; those without images apart.
            choices: Per prompt, the continuations exactly as they follow the rendered prompt.

        Returns:
            Per prompt, (n continuations,) float64 in nats, and whether each is what greedy
            decoding would write, (n continuations,) bool.
        """
        results: dict[int, tuple[NDArray[np.float64], NDArray[np.bool_]]] = {}
        for group in self.alike(prompts):
            own = [prompts[index] for index in group]
            rows = self._logprobs(own, [choices[index] for index in group])
            results.update(zip(group, rows, strict=True))
        return [results[index] for index in range(len(prompts))]

    def inspect(
        self,
        prompts: Sequence[Prompt],
        choices: Sequence[Sequence[str]],
        regions: Sequence[Sequence[Region]],
    ) -> list[Inside]:
        """Return scores of choices and what the language model held; see `look_inside`."""
        return look_inside(self, prompts, choices, regions)

    def _logprobs(
        self, prompts: Sequence[Prompt], choices: Sequence[Sequence[str]]
    ) -> list[tuple[NDArray[np.float64], NDArray[np.bool_]]]:
        texts = [self.render(prompt) for prompt in prompts]
        tokens = [
            [self.continuation_tokens(text, choice) for choice in row]
            for text, row in zip(texts, choices, strict=True)
        ]
        longest = max(len(ids) for row in tokens for ids in row)
        batch = self.encode(texts, prompts, side="right")
        last, cache = self._last(batch, use_cache=longest > 1)
        continuable = longest > 1 and can_continue(cache, batch)
        results = []
        for index, row in enumerate(tokens):
            first = last[index, [ids[0] for ids in row]]
            total = torch.stack([first, last[index].max().expand(len(row))]).double()
            if max(len(ids) for ids in row) == 1:
                pass
            elif continuable:
                total = total + from_cache(self.model, cache, batch, index, row)
            else:
                copies = [texts[index]] * len(row), [prompts[index]] * len(row)
                again = self.encode(*copies, side="right")
                total = run_whole(self.model, again, row, answer_type=int(self.family.prefix_lm))
            sums, best = total.cpu().numpy()
            results.append((sums, sums == best))
        return results

    def _last(self, batch: Any, *, use_cache: bool) -> tuple[Tensor, Any]:
        """Return float32 log-probabilities (batch, vocab) after each prompt, and the cache."""
        ends = batch["attention_mask"].sum(dim=1) - 1
        if self._picks_logits:  # of all positions, only those: vocabularies are large
            kept, ends = torch.unique(ends, return_inverse=True)
            output = self.model(**batch, use_cache=use_cache, logits_to_keep=kept)
        else:
            output = self.model(**batch, use_cache=use_cache)
        rows = torch.arange(len(ends), device=ends.device)
        return output.logits[rows, ends].float().log_softmax(dim=-1), output.past_key_values

    def tail(self, text: str) -> str:
        """Return what stands after a rendered prompt's last image, as the processor ends it."""
        return text.rpartition(self._image_token())[2] + self.family.appended

    def continuation_tokens(self, text: str, choice: str) -> list[int]:
        """Return the tokens that `choice` adds to `text`, tokenised together as lm-eval does."""
        tail = self.tail(text)  # image tokens never merge with text
        ids = self._tokens(tail + choice)[len(self._tokens(tail)) :]
        if not ids:
            raise VlmbenchError(f"the choice {choice!r} has no tokens, so it has no likelihood")
        return ids

    @cached_property
    def _tokens(self) -> Callable[[str], list[int]]:
        """Tokenises texts; keeps thousands, as conditions that change images repeat the texts."""
        encode = partial(self.processor.tokenizer.encode, add_special_tokens=False)
        return lru_cache(maxsize=4096)(encode)

    @torch.inference_mode()
    def generate(self, prompts: Sequence[Prompt], kwargs: GenerationKwargs) -> list[str]:
        """Return greedily decoded answers, cut at the first stop string as lm-eval cuts them."""
        results: dict[int, str] = {}
        for group in self.alike(prompts):
            answers = self._answers([prompts[index] for index in group], kwargs)
            results.update(zip(group, answers, strict=True))
        return [results[index] for index in range(len(prompts))]

    def _answers(self, prompts: Sequence[Prompt], kwargs: GenerationKwargs) -> list[str]:
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


def _load_model(source: str, spec: ModelSpec, device: torch.device, dtype: torch.dtype) -> Any:
    """Return the model on its device, or spread over several where one is too small."""
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoModelForMultimodalLM

    config = AutoConfig.from_pretrained(source, revision=spec.revision)
    # Models that also hear are in the second list only; image-text-to-text is part of it.
    auto = (
        AutoModelForImageTextToText
        if type(config) in AutoModelForImageTextToText._model_mapping
        else AutoModelForMultimodalLM
    )
    where: dict[str, Any] = {}
    if device.type == "cuda":
        room = torch.cuda.get_device_properties(device).total_memory / 2**30
        spread = spec.needs.memory_gb is not None and spec.needs.memory_gb > room
        where = {"device_map": "auto" if spread else {"": device}}
    model = auto.from_pretrained(source, revision=spec.revision, dtype=dtype, **where)
    drop_registers(model)
    return model if where else model.to(device)


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
