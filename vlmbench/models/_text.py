"""The text that a model reads and the tokens of its answers: all that needs no weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from vlmbench.models._answer_tokens import AnswerTokens
from vlmbench.models._backend import IMAGE_PLACEHOLDER, Prompt
from vlmbench.models._chat import Chat
from vlmbench.models._checkpoint import checkpoint_path
from vlmbench.models._processor import load_processor
from vlmbench.models._thoughts import Thoughts, has_marks, left_open, split_thoughts
from vlmbench.registry import Family, family_of
from vlmbench.spec import GenerationKwargs, ModelSpec, Prompting
from vlmbench.spec import render as fill_template
from vlmbench.types import DocumentError, Problem, VlmbenchError


def continuation_of(choice: str, before: str, prompting: Prompting) -> str:
    """Return what follows the rendered prompt when `choice` is the answer.

    Args:
        choice: The choice.
        before: What the model is known to write between prompt and answer, or the task's
            `target_delimiter`; the delimiter of the model's YAML overrides it.
        prompting: How the model is prompted.
    """
    return (before if prompting.answer_delimiter is None else prompting.answer_delimiter) + choice


class PromptText:
    """Prompts as one model reads them, rendered and tokenised.

    Args:
        processor: The model's processor.
        spec: The model's spec.
        family: Where the model leaves transformers' conventions.
    """

    def __init__(self, processor: Any, spec: ModelSpec, family: Family) -> None:
        self.processor = processor
        self.spec = spec
        self.family = family
        token = getattr(processor, "image_token", None)
        self._image_token = IMAGE_PLACEHOLDER if token is None else str(token)
        self._placeholder = family.placeholder or self._image_token
        self.chat = Chat(processor, spec.prompt, self._placeholder)
        self.thoughts = Thoughts(processor.tokenizer)
        self._answer_tokens = AnswerTokens(processor.tokenizer)
        self.writes_images = token is not None or bool(family.placeholder)

    @classmethod
    def load(cls, spec: ModelSpec, folder: Path | None) -> PromptText:
        """Load what a checkpoint's prompts take: its processor, and no weights.

        Args:
            spec: Which model.
            folder: Folder of its YAML, at which a relative `checkpoint` starts.

        Raises:
            VlmbenchError: If it has no processor of images and text.
            OSError: If there is no such checkpoint.
            ValueError: If transformers does not know its family.
        """
        from transformers import AutoConfig

        source = checkpoint_path(spec.checkpoint, folder)
        model_type = AutoConfig.from_pretrained(
            source, revision=spec.revision, trust_remote_code=False
        ).model_type
        return cls(load_processor(source, spec.revision), spec, family_of(model_type))

    # -- prompts --------------------------------------------------------------------------

    def render(self, prompt: Prompt) -> str:
        """Return the text the processor is given: chat template or wrapper applied.

        Raises:
            DocumentError: If the question itself writes what the model reads as an image.
        """
        self._refuse_image_tokens(prompt)
        if self.chat.template is not None:
            within = self._image_token in self._placeholder
            marker = self._image_token if within else self._placeholder
            n_images = len(prompt.images)
            return self.chat.prompt(prompt.system, prompt.user, marker=marker, n_images=n_images)
        text = prompt.system + prompt.user
        if self.spec.prompt.wrapper is not None:
            text = fill_template(self.spec.prompt.wrapper, {"prompt": text})
        return text.replace(IMAGE_PLACEHOLDER, self._placeholder)

    def _refuse_image_tokens(self, prompt: Prompt) -> None:
        asked = prompt.system + prompt.user
        tokens = {self._image_token, self._placeholder} - {IMAGE_PLACEHOLDER}
        written = next((token for token in sorted(tokens) if token in asked), None)
        if written is not None:
            message = f"the question contains {written!r}, which the model reads as an image"
            raise DocumentError(message)
        places = asked.count(IMAGE_PLACEHOLDER)
        if places != len(prompt.images):
            message = f"the question has {places} places for {len(prompt.images)} images"
            raise DocumentError(message)

    def tail(self, text: str) -> str:
        """Return what follows a rendered prompt's last image, as the processor ends it."""
        return text.rpartition(self._image_token)[2] + self.family.appended

    # -- thoughts -------------------------------------------------------------------------

    @property
    def thinks(self) -> bool:
        """Whether the model thinks before it answers."""
        asked = self.spec.prompt.thinking is not None
        return asked or self._opens_thoughts or has_marks(self._before or "")

    @cached_property
    def _opens_thoughts(self) -> bool:
        """Whether prompts end inside thoughts, though these are switched off if they can be."""
        if self.chat.template is None:
            return left_open(self.spec.prompt.wrapper or "")
        return self.chat.opens_thoughts

    def refuse_thoughts(self) -> VlmbenchError:
        """Return why choices of a model that thinks first have no likelihoods."""
        return VlmbenchError(
            Problem(
                field="prompt.thinking",
                message=f"model {self.spec.model!r} thinks before it answers, so the likelihood "
                "of a choice in place of its thoughts says nothing",
                remedy="Give it room and read what it writes: `prompt: {thinking: 2048}`.",
            )
        )

    def split(self, ids: Sequence[int]) -> tuple[str, str]:
        """Return the thoughts among the tokens of an answer, and what is said after them."""
        return split_thoughts(self.thoughts.decode(ids), opened=self._opens_thoughts)

    # -- answers --------------------------------------------------------------------------

    @cached_property
    def _before(self) -> str | None:
        """What the model writes between prompt and answer; None where nothing tells.

        The chat template tells, or the processor that ends prompts itself.
        """
        if self.chat.template is not None:
            return self.chat.before_answer
        return "" if self.family.appended else None

    def continuation(self, choice: str, delimiter: str) -> str:
        """Return what follows the rendered prompt when `choice` is the answer.

        Args:
            choice: The choice.
            delimiter: The task's `target_delimiter`, for a model without a chat template.
        """
        before = delimiter if self._before is None else self._before
        return continuation_of(choice, before, self.spec.prompt)

    def without_delimiter(self, continuation: str) -> str:
        """Return the choice in a continuation, without the model's own delimiter."""
        return continuation.removeprefix(continuation_of("", self._before or "", self.spec.prompt))

    def answers(self, text: str, continuations: Sequence[str]) -> tuple[str, list[list[int]]]:
        """Return the prompt before which answers stand, and the tokens of each answer.

        Args:
            text: A rendered prompt.
            continuations: What follows it.

        Returns:
            The prompt, perhaps without the white space at its end; and token ids, a list an answer.

        Raises:
            DocumentError: If an answer has no tokens.
            VlmbenchError: If the model thinks first.
        """
        if self.thinks:
            raise self.refuse_thoughts()
        # From its last image token on, which merges with no text.
        head = (self._image_token if self._image_token in text else "") + self.tail(text)
        moves = not self.family.appended
        moved, rows = self._answer_tokens.after(head, continuations, moves=moves)
        return text[: len(text) - moved], rows

    def notes(self, text: str, continuations: Sequence[str]) -> dict[str, Any]:
        """Return what decides which tokens are scored and read, for the record.

        Args:
            text: A rendered prompt.
            continuations: What follows it; none where nothing is scored.

        Returns:
            `answer_tokens`, by continuation, where there are any; `chat_template`, as the spec
            names it; `thinking`: most tokens of thoughts, `first` for a model that thinks unasked,
            or `off`; and `template_switches` that were set for that.
        """
        prompting, chats = self.spec.prompt, self.chat.template is not None
        noted: dict[str, Any] = {
            "chat_template": prompting.chat_template if chats else "none",
            "thinking": prompting.thinking or ("first" if self.thinks else "off"),
            "template_switches": self.chat.switches,
        }
        if continuations:
            _, rows = self.answers(text, continuations)
            spelled = map(self.processor.tokenizer.convert_ids_to_tokens, rows)
            noted["answer_tokens"] = dict(zip(continuations, map(list, spelled), strict=True))
        return noted

    # -- tokens ---------------------------------------------------------------------------

    @cached_property
    def image_id(self) -> int | None:
        """The token that stands for an image in `prompt_tokens`; None if it is not one token."""
        ids = self.processor.tokenizer.encode(self._image_token, add_special_tokens=False)
        return int(ids[0]) if len(ids) == 1 else None

    def prompt_tokens(self, text: str) -> list[int]:
        """Return a rendered prompt's tokens, with one image token per image."""
        special = self.wants_start([text])
        ids: list[int] = self.processor.tokenizer.encode(text, add_special_tokens=special)
        return ids

    def wants_start(self, texts: Sequence[str]) -> bool:
        """Tell whether the tokenizer must put its first token before rendered prompts.

        A template that already wrote it must not get a second one.
        """
        start = self.processor.tokenizer.bos_token
        return not (start and all(text.startswith(start) for text in texts))


def stops_of(kwargs: GenerationKwargs) -> tuple[str, ...]:
    """Return the strings at which an answer ends."""
    until = (kwargs.until,) if isinstance(kwargs.until, str) else kwargs.until
    return tuple(filter(None, until))


def cut(text: str, stops: Sequence[str]) -> str:
    """Return what comes before the first stop string, as lm-eval cuts answers."""
    for stop in stops:
        text = text.split(stop, maxsplit=1)[0]
    return text
