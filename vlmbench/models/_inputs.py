"""Prompts as a model's forward pass takes them: batches of tokens and pixels."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Bool
from PIL import Image
from torch import Tensor

from vlmbench.models._backend import IMAGE_PLACEHOLDER, Prompt
from vlmbench.models._images import prepare
from vlmbench.models._projected import Projected, image_keys
from vlmbench.models._text import PromptText
from vlmbench.registry import context_length
from vlmbench.types import DocumentError, VlmbenchError

AnswerT = TypeVar("AnswerT")
# Of a patch of 14 x 14, where nothing else is known.
_PIXELS_OF_A_TOKEN = 196
# Encoded batches that wait to be run.
_MOST_AHEAD = 16


class Ahead:
    """What one thread has made of a batch of prompts, until another one takes it."""

    def __init__(self) -> None:
        self._made: OrderedDict[Any, tuple[Sequence[Prompt], Any]] = OrderedDict()

    def put(self, name: Any, prompts: Sequence[Prompt], made: Any) -> None:
        """Keep something under a name, for these very prompts."""
        # The prompts are kept with it, so that no others can have their addresses.
        self._made[name, *map(id, prompts)] = list(prompts), made
        while len(self._made) > _MOST_AHEAD:  # of batches that were cut anew
            self._made.popitem(last=False)

    def take(self, name: Any, prompts: Sequence[Prompt]) -> Any:
        """Return what was kept, once; None if nothing was."""
        return self._made.pop((name, *map(id, prompts)), (None, None))[1]


class Inputs:
    """Encodes prompts for one model of transformers.

    Args:
        model: The model.
        text: Renders and tokenises its prompts.

    Attributes:
        ahead: What was made ready in another thread.
        projected: What the tower and the projector have said of images, where that is kept.
        prefix: Tokens that stand before every prompt for learned embeddings; see `prefixed`.
    """

    def __init__(self, model: Any, text: PromptText) -> None:
        self.model = model
        self.prefix = 0
        self.text = text
        self._copies: list[PromptText] = []
        self.ahead = Ahead()
        self.projected: Projected | None = None
        self._image_tokens: dict[tuple[int, int], int] = {}
        tokenizer = text.processor.tokenizer
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token

    def encode(
        self,
        texts: Sequence[str],
        prompts: Sequence[Prompt],
        *,
        side: Literal["left", "right"],
        room: int = 0,
        projected: bool = False,
    ) -> Any:
        """Tokenise rendered prompts and their images into one batch on the model's device.

        Args:
            texts: The rendered prompts.
            prompts: The prompts they were rendered from, for their images.
            side: `right` for plain forward passes, where padding changes no position;
                `left` for generation.
            room: Tokens that must fit behind every prompt.
            projected: Whether projected features may stand in for pixels.

        Raises:
            DocumentError: If a prompt is longer than what the model can read.
        """
        made = self.ahead.take((side, *texts), prompts)
        batch, keys = made or self._encoded(self.text, texts, prompts, side, projected)
        if self.prefix:
            self._put_before(batch)
        left = min(self.room_behind(batch))
        if left < room and self.context is not None:
            taken = self.context - left + room
            message = f"the prompt and its answer take {taken:,} tokens; the model reads "
            raise DocumentError(f"{message}{self.context:,}")
        batch = self._moved(batch)
        if not projected or self.projected is None or keys is None:
            return batch
        return self.projected.handed(batch, keys) or batch

    def _moved(self, batch: Any) -> Any:
        """Return a batch on the model's device, which need not wait for it."""
        if self.model.device.type != "cuda":
            return batch.to(self.model.device, self.model.dtype)
        batch.data.update({name: value.pin_memory() for name, value in batch.items()})
        return batch.to(self.model.device, self.model.dtype, non_blocking=True)

    def _encoded(
        self,
        text: PromptText,
        texts: Sequence[str],
        prompts: Sequence[Prompt],
        side: str,
        projected: bool,
    ) -> tuple[Any, list[str] | None]:
        """Return what a processor makes of prompts and images, and the keys of these if needed."""
        batch = _encoded(text, texts, prompts, side)
        if self.projected is None or not projected:
            return batch, None
        return batch, image_keys(batch, sum(len(prompt.images) for prompt in prompts))

    @contextmanager
    def own_text(self) -> Iterator[PromptText]:
        """Lend a copy of `text` to a thread: tokenizers are not shared by two."""
        try:
            text = self._copies.pop()
        except IndexError:
            text = deepcopy(self.text)
        try:
            yield text
        finally:
            self._copies.append(text)

    def encode_ahead(
        self,
        text: PromptText,
        texts: Sequence[str],
        prompts: Sequence[Prompt],
        *,
        side: Literal["left", "right"],
        projected: bool,
    ) -> None:
        """Do in this thread what `encode` will be asked for in another, with these very prompts."""
        encoded = self._encoded(text, texts, prompts, side, projected)
        self.ahead.put((side, *texts), prompts, encoded)

    def _put_before(self, batch: Any) -> None:
        """Put as many tokens before the prompts of a batch as the prefix has embeddings."""
        values = {
            "input_ids": self.text.processor.tokenizer.pad_token_id,
            "attention_mask": 1,
            "token_type_ids": 0,
            "mm_token_type_ids": 0,
            "cross_attention_mask": 0,
        }
        for name in values.keys() & batch.keys():
            old = batch[name]
            shape = (len(old), self.prefix, *old.shape[2:])
            batch[name] = torch.cat([old.new_full(shape, values[name]), old], dim=1)

    @cached_property
    def context(self) -> int | None:
        """Most tokens of a prompt with its answer; None where nothing says."""
        tokenizer = self.text.processor.tokenizer
        return context_length(self.model.config.to_dict(), tokenizer.model_max_length)

    def room_behind(self, batch: Any) -> list[int]:
        """Return how many tokens can follow each prompt of an encoded batch."""
        context = sys.maxsize if self.context is None else self.context
        return [context - length for length in batch["attention_mask"].sum(dim=1).tolist()]

    def image_tokens(self, size: tuple[int, int]) -> int:
        """Return how many tokens an image of that (width, height) takes, about.

        Only how batches are cut depends on it.
        """
        if size not in self._image_tokens:
            self._image_tokens[size] = self._tokens_of(size)
        return self._image_tokens[size]

    def _tokens_of(self, size: tuple[int, int]) -> int:
        side = self.text.spec.image.letterbox
        width, height = size if side is None else (side, side)
        try:  # what transformers offers for this to engines that plan ahead
            told = self.text.processor._get_num_multimodal_tokens(image_sizes=[[height, width]])
            return int(told["num_image_tokens"][0])
        except Exception:  # not every family's processor tells, or tells in this way
            return width * height // _PIXELS_OF_A_TOKEN

    def trial(self, side: int) -> Any:
        """Return a question about a square of noise, encoded: what any model must take."""
        noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
        images = prepare([Image.fromarray(noise)], self.text.spec.image)
        prompt = Prompt(user=f"{IMAGE_PLACEHOLDER}A or B?", images=tuple(images))
        return self.encode([self.text.render(prompt)], [prompt], side="right")

    def image_positions(self, batch: Any) -> Bool[Tensor, "prompts tokens"]:
        """Tell which tokens of an encoded batch are replaced by projected image tokens.

        Raises:
            VlmbenchError: If the model's config does not name such a token.
        """
        config = self.model.config
        for place in (config, getattr(config, "vision_config", None)):
            for name in ("image_token_id", "image_token_index"):
                token = getattr(place, name, None)
                if token is not None:
                    positions: Tensor = batch["input_ids"] == token
                    return positions
        raise VlmbenchError(
            f"{config.model_type!r} does not replace any token of the text with images"
        )

    def by_likeness(
        self,
        run: Callable[..., Sequence[AnswerT]],
        prompts: Sequence[Prompt],
        *columns: Sequence[Any],
    ) -> list[AnswerT]:
        """Return what `run` gives for every prompt, run with those it may share a batch with.

        These are the ones with and those without images, at least; some families want more.

        Args:
            run: Takes prompts and their values of each column, and returns an answer per prompt.
            prompts: All prompts.
            columns: Values that belong to the prompts, in their order.
        """
        groups: dict[object, list[int]] = {}
        for index, prompt in enumerate(prompts):
            groups.setdefault(self._likeness(prompt), []).append(index)
        answers: dict[int, AnswerT] = {}
        for group in groups.values():
            parts = [[column[index] for index in group] for column in (prompts, *columns)]
            answers.update(zip(group, run(*parts), strict=True))
        return [answers[index] for index in range(len(prompts))]

    def _likeness(self, prompt: Prompt) -> object:
        """Return what is equal for prompts that may share a batch."""
        sizes = tuple(image.size for image in prompt.images)
        match self.text.family.batches:
            case "any":
                return bool(sizes)
            case "same_count":
                return len(sizes)
            case "same_sizes":
                return sizes


def _encoded(text: PromptText, texts: Sequence[str], prompts: Sequence[Prompt], side: str) -> Any:
    """Return what a processor makes of rendered prompts and their images, in main memory."""
    images = [list(prompt.images) for prompt in prompts]
    batch = text.processor(
        text=list(texts),
        images=images if any(images) else None,
        padding=True,
        padding_side=side,
        add_special_tokens=text.wants_start(texts),
        return_tensors="pt",
    )
    batch.pop("labels", None)  # PaliGemma's processor prepares for training
    return batch
