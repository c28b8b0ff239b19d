"""The `hf` backend: any image-text-to-text checkpoint that transformers loads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vlmbench.models._backend import Inside, Prompt, Reply
from vlmbench.models._checkpoint import (
    checkpoint_path,
    load_model,
    remedy_for,
    weights_digest,
)
from vlmbench.models._continuations import Read, from_cache, logits_at, read_answers, run_whole
from vlmbench.models._greedy import GREEDY, greedy_config, refuse_overflow, reply_of, stopping_at
from vlmbench.models._inputs import Inputs
from vlmbench.models._inspect import look_inside
from vlmbench.models._interventions import Intervention
from vlmbench.models._lora import merge_lora
from vlmbench.models._past import Past, Tokens, can_continue, positions_seen
from vlmbench.models._patching import intervening
from vlmbench.models._processor import load_processor
from vlmbench.models._projected import Projected
from vlmbench.models._shared import COPIED, beginnings, read_together
from vlmbench.models._text import PromptText, stops_of
from vlmbench.models._threads import fit_threads
from vlmbench.models._trial import try_out
from vlmbench.registry import family_of
from vlmbench.spec import ForwardChange, GenerationKwargs, ModelSpec
from vlmbench.types import Problem, Region, VlmbenchError

# Name under which it is kept which prompts of a batch begin alike.
_BEGUN = "begun"


class HfBackend:
    """A vision-language model run by transformers.

    Args:
        model: An image-text-to-text model in eval mode.
        processor: Its processor.
        spec: The model spec it was loaded for.

    Attributes:
        family: Where the model leaves transformers' conventions.
        text: Renders and tokenises its prompts.
        inputs: Encodes them.
        weights_digest: SHA-256 over names, shapes and bytes of all parameters and buffers.
        unused_weights: Names of weights in the checkpoint that the model has no place for.
        training: How its weights were trained just now; empty for its own.
    """

    def __init__(
        self, model: Any, processor: Any, spec: ModelSpec, unused_weights: tuple[str, ...] = ()
    ) -> None:
        self.model = model
        self.processor = processor
        self.spec = spec
        self.weights_digest = weights_digest(model)
        model.generation_config, self._set_aside = greedy_config(model.generation_config)
        self.unused_weights = unused_weights
        self.training: dict[str, Any] = {}
        self.family = family_of(model.config.model_type)
        self.text = PromptText(processor, spec, self.family)
        self.inputs = Inputs(model, self.text)
        self._intervention: Intervention | None = None
        self._stops: dict[tuple[str, ...], Any] = {}
        self._reads_on = True  # from what several prompts begin with, until it turns out not to

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
            VlmbenchError: If there is no such checkpoint, it lacks weights, or it is not a model
                that can be asked about images.
        """
        from transformers.utils import logging

        logging.disable_progress_bar()  # the run shows its own
        source = checkpoint_path(spec.checkpoint, folder)
        try:
            processor = load_processor(source, spec.revision)
            model, unused = load_model(source, spec, device, dtype)
            if spec.weights is not None:
                merge_lora(model, (folder or Path()) / spec.weights.lora)
            if device.type == "cpu":
                fit_threads(model)
            backend = cls(model.eval(), processor, spec, unused)
        except VlmbenchError:
            raise
        except Exception as error:  # whatever a family may raise
            raise VlmbenchError(
                Problem(
                    field="checkpoint",
                    message=f"model {spec.model!r}: cannot load {source!r}: {error}",
                    remedy=remedy_for(
                        error,
                        "Give a folder written by save_pretrained, or a hub id that is or can be "
                        "downloaded.",
                    ),
                )
            ) from error
        try_out(backend.inputs)
        return backend

    def render(self, prompt: Prompt) -> str:
        """Return the text the processor is given: chat template or wrapper applied."""
        return self.text.render(prompt)

    def continuation(self, choice: str, delimiter: str) -> str:
        """Return what follows the rendered prompt when `choice` is the answer."""
        return self.text.continuation(choice, delimiter)

    @torch.inference_mode()
    def choice_logprobs(
        self, prompts: Sequence[Prompt], choices: Sequence[Sequence[str]]
    ) -> list[NDArray[np.float64]]:
        """Return each continuation's summed log-likelihood in nats; see `choice_and_greedy`.

        Prompts that begin with the same images and text are read together, their beginning once;
        what is read is the same up to rounding. Not while a condition changes the forward pass.
        """
        read = self._together if self._shares else self._alone
        return [row for row, _ in self.inputs.by_likeness(read, prompts, choices)]

    @property
    def _shares(self) -> bool:
        """Whether prompts that begin alike are read together now."""
        return self._reads_on and not self._intervention and not self.inputs.prefix

    @property
    def _knows_images(self) -> bool:
        """Whether what the tower said of images still holds."""
        return not (self.training or self._intervention)

    @torch.inference_mode()
    def whole_logprobs(
        self, prompts: Sequence[Prompt], choices: Sequence[Sequence[str]], *, tower: bool = False
    ) -> list[NDArray[np.float64]]:
        """Return the same with every prompt in one pass from its first token to its last.

        Args:
            prompts: As `choice_and_greedy` takes them.
            choices: As `choice_and_greedy` takes them.
            tower: Whether its images pass the tower too, though it has seen them.
        """
        read = partial(self._alone, tower=tower)
        return [row for row, _ in self.inputs.by_likeness(read, prompts, choices)]

    def keep_features(self) -> None:
        """From now on, keep what the tower says of images, if the family allows it.

        Only for weights that stay as they are.
        """
        self.inputs.projected = Projected.proven(self.model, self.inputs.trial(224))

    @torch.inference_mode()
    def choice_and_greedy(
        self, prompts: Sequence[Prompt], choices: Sequence[Sequence[str]]
    ) -> list[Read]:
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
        return self.inputs.by_likeness(self._alone, prompts, choices)

    def inspect(
        self,
        prompts: Sequence[Prompt],
        choices: Sequence[Sequence[str]],
        regions: Sequence[Sequence[Region | None]],
    ) -> list[Inside]:
        """Return scores of choices and what the language model held; see `look_inside`."""
        score = partial(self.whole_logprobs, tower=True)  # whose pixels tell what tokens show
        return look_inside(self.inputs, score, prompts, choices, regions)

    @contextmanager
    def under(self, change: ForwardChange, *, seed: int = 0) -> Iterator[None]:
        """Change every forward pass for a while; see `Intervenes`.

        Raises:
            VlmbenchError: If the decoder does not allow it.
        """
        with intervening(change, self.inputs, seed=seed) as found:
            self._intervention = found
            try:
                yield
            finally:
                self._intervention = None

    @torch.inference_mode()
    def generate(self, prompts: Sequence[Prompt], kwargs: GenerationKwargs) -> list[Reply]:
        """Return greedily decoded answers, cut at the first stop string as lm-eval cuts them.

        A model that thinks writes on through stop strings, which hold for what it says after its
        thoughts, up to `prompt.thinking` tokens more.
        """
        return self.inputs.by_likeness(partial(self._answers, kwargs), prompts)

    @property
    def workers(self) -> int:
        """Threads that keep its device busy: a CPU is busy with the model already."""
        return 1 if self.model.device.type == "cpu" else min(8, os.cpu_count() or 1)

    def prepare(
        self,
        prompts: Sequence[Prompt],
        choices: Sequence[Sequence[str]] | None,
        *,
        listening: bool = False,
    ) -> None:
        """Encode prompts ahead, in this thread; see `Prepares`."""
        columns = [] if choices is None else [choices]

        def encode(
            text: PromptText, alike: Sequence[Prompt], *rows: Sequence[Sequence[str]]
        ) -> Sequence[Prompt]:
            if rows:
                texts, _ = self._answered(text, alike, *rows)
            else:
                texts = [text.render(prompt) for prompt in alike]
            begun = None
            if rows and self._shares and not listening:
                begun = beginnings(text, texts, alike)
                self.inputs.ahead.put(_BEGUN, alike, (begun,))
            first = range(len(alike)) if begun is None else begun.first
            self.inputs.encode_ahead(
                text,
                [texts[i] for i in first],
                [alike[i] for i in first],
                side="right" if rows else "left",
                projected=bool(rows) and self._knows_images and not listening,
            )
            return alike

        with self.inputs.own_text() as text:
            self.inputs.by_likeness(partial(encode, text), prompts, *columns)

    def image_tokens(self, sizes: Sequence[tuple[int, int]]) -> int:
        """Return how many tokens images of these (width, height) take, about."""
        return sum(map(self.inputs.image_tokens, sizes))

    def notes(self, text: str, continuations: Sequence[str]) -> dict[str, Any]:
        """Return what of its prompting and decoding can move a number; see `TakesNotes`."""
        noted = self.text.notes(text, continuations)
        decoding = {"decoding": GREEDY, "generation_config_set_aside": self._set_aside}
        return noted if continuations else noted | decoding

    def _together(self, prompts: Sequence[Prompt], choices: Sequence[Sequence[str]]) -> list[Read]:
        """Read prompts, what several begin with once."""
        texts, tokens = self._answered(self.text, prompts, choices)
        (begun,) = self.inputs.ahead.take(_BEGUN, prompts) or (
            beginnings(self.text, texts, prompts),
        )
        if begun is None:
            return self._alone(prompts, choices)
        first = [texts[i] for i in begun.first], [prompts[i] for i in begun.first]
        longest = max(len(ids) for row in tokens for ids in row)
        room = longest + begun.longest
        batch = self.inputs.encode(*first, side="right", room=room, projected=self._knows_images)
        parts = read_together(self.model, self.inputs, batch, begun)
        if parts is None:
            self._reads_on = False
            return self._alone(prompts, choices)
        found: dict[int, Read] = {}
        for numbers, logits, past in parts:

            def rest(index: Sequence[int], answers: Tokens, past: Past = past) -> Tensor:
                return from_cache(self.model, past, index, answers)

            logs = logits.float().log_softmax(dim=-1)
            length = past.mask.shape[1]
            read = self._read(logs, [tokens[number] for number in numbers], rest, length)
            found.update(zip(numbers, read, strict=True))
        return [found[number] for number in range(len(prompts))]

    def _alone(
        self, prompts: Sequence[Prompt], choices: Sequence[Sequence[str]], *, tower: bool = False
    ) -> list[Read]:
        """Read every prompt from its first token to its last."""
        texts, tokens = self._answered(self.text, prompts, choices)
        longest = max(len(ids) for row in tokens for ids in row)
        seen = self._knows_images and not tower
        batch = self.inputs.encode(texts, prompts, side="right", room=longest, projected=seen)
        self._announce(batch, prompts)
        with positions_seen(self.model.get_decoder()) as positions:
            last, cache = self._last(batch, use_cache=longest > 1)
        continuable = longest > 1 and can_continue(self.model, cache, batch)
        past = Past.of(batch, cache, positions[0]) if continuable else None

        def rest(index: Sequence[int], answers: Tokens) -> Tensor:
            if past is not None:
                if self._intervention is not None:
                    self._intervention.answers(index)
                return from_cache(self.model, past, index, answers)
            asked = [prompts[i] for i in index]
            rendered = [texts[i] for i in index]
            again = self.inputs.encode(rendered, asked, side="right", projected=seen)
            self._announce(again, asked)
            return run_whole(self.model, again, answers, answer_type=int(self.family.prefix_lm))

        return self._read(last, tokens, rest, batch["attention_mask"].shape[1])

    def _answered(
        self, text: PromptText, prompts: Sequence[Prompt], choices: Sequence[Sequence[str]]
    ) -> tuple[list[str], list[Tokens]]:
        """Return what prompts say before their answers, and the tokens of these."""
        pairs = zip(prompts, choices, strict=True)
        answers = [text.answers(text.render(prompt), row) for prompt, row in pairs]
        return [before for before, _ in answers], [row for _, row in answers]

    def _read(
        self,
        last: Tensor,
        tokens: Sequence[Tokens],
        rest: Callable[[Sequence[int], Tokens], Tensor],
        length: int,
    ) -> list[Read]:
        """Return `read_answers`, unless the model would think first.

        As many answers are read at once as there are prompts, or as may be copied if each has
        `length` tokens before it.
        """
        openings = self.text.thoughts.openings
        if openings and openings.intersection(last.argmax(dim=1).tolist()):
            raise self.text.refuse_thoughts()
        return read_answers(last, tokens, rest, max(len(tokens), COPIED // length))

    def _announce(self, batch: Any, prompts: Sequence[Prompt]) -> None:
        """Tell what intervenes, if anything does, which prompts are read next."""
        if self._intervention is not None:
            self._intervention.prompt(batch, prompts)

    def _last(self, batch: Any, *, use_cache: bool) -> tuple[Tensor, Any]:
        """Return float32 log-probabilities (batch, vocab) after each prompt, and the cache."""
        ends = batch["attention_mask"].sum(dim=1) - 1
        rows = torch.arange(len(ends), device=ends.device)
        logits, cache = logits_at(self.model, batch, rows, ends, use_cache=use_cache)
        return logits.float().log_softmax(dim=-1), cache

    def logits_at(self, batch: Any, places: Sequence[tuple[int, int]]) -> Tensor:
        """Return (places, vocab) logits of an encoded batch, at places of (prompt, token)."""
        rows, columns = torch.tensor(places, device=batch["input_ids"].device).T
        return logits_at(self.model, batch, rows, columns)[0]

    def _answers(self, kwargs: GenerationKwargs, prompts: Sequence[Prompt]) -> list[Reply]:
        until = () if self.text.thinks else stops_of(kwargs)
        most = kwargs.max_gen_toks + (self.spec.prompt.thinking or 0)
        texts = [self.render(prompt) for prompt in prompts]
        batch = self.inputs.encode(texts, prompts, side="left", room=1)
        self._announce(batch, prompts)
        room = [min(most, left) for left in self.inputs.room_behind(batch)]
        if until not in self._stops:
            self._stops[until] = stopping_at(until, self.processor.tokenizer)
        output = self.model.generate(
            **batch,
            max_new_tokens=max(room),
            logits_processor=[refuse_overflow],
            pad_token_id=self.processor.tokenizer.pad_token_id,
            stopping_criteria=self._stops[until],
        )
        written = output[:, batch["input_ids"].shape[1] :].tolist()
        ends = self.model.generation_config.eos_token_id
        return [
            reply_of(self.text, ids[:most], stops_of(kwargs), ends, most=most)
            for ids, most in zip(written, room, strict=True)
        ]
