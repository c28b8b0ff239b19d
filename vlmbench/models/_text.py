"""The text that a model reads and the tokens of its answers: all that needs no weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache, partial
from typing import Any

from jinja2 import TemplateError

from vlmbench.models._backend import IMAGE_PLACEHOLDER, Prompt, pieces
from vlmbench.registry import Family
from vlmbench.spec import GenerationKwargs, ModelSpec, Prompting
from vlmbench.spec import render as fill_template
from vlmbench.types import Problem, VlmbenchError


def continuation_of(choice: str, delimiter: str, prompting: Prompting, *, chats: bool) -> str:
    """Return what stands after the rendered prompt when `choice` is the answer.

    Where the model's YAML has no delimiter of its own, lm-eval's rule holds (api/task.py,
    construct_requests): nothing under a chat template, else the task's `target_delimiter`.
    """
    if prompting.answer_delimiter is not None:
        return prompting.answer_delimiter + choice
    return choice if chats else delimiter + choice


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
        self.writes_images = token is not None or bool(family.placeholder)

    # -- prompts --------------------------------------------------------------------------

    @property
    def chats(self) -> bool:
        """Whether prompts go through a chat template."""
        own = getattr(self.processor, "chat_template", None)
        has_template = own is not None or self.processor.tokenizer.chat_template is not None
        return self.spec.prompt.chat_template == "auto" and has_template

    def render(self, prompt: Prompt) -> str:
        """Return the text the processor is given: chat template or wrapper applied."""
        if self.chats:
            return self._render_chat(prompt)
        text = prompt.system + prompt.user
        if self.spec.prompt.wrapper is not None:
            text = fill_template(self.spec.prompt.wrapper, {"prompt": text})
        return text.replace(IMAGE_PLACEHOLDER, self._placeholder)

    def _render_chat(self, prompt: Prompt) -> str:
        """Return the prompt under the chat template, with every image where it belongs.

        Templates take a message as a list of texts and images, or (older ones, such as
        Phi-4-multimodal's) as one string that has the image tokens in it already.
        """
        system = [] if not prompt.system else [_message("system", prompt.system)]
        strings = [{"role": "system", "content": prompt.system}] if prompt.system else []
        written = prompt.user.replace(IMAGE_PLACEHOLDER, self._placeholder)
        conversations = (
            [*system, _message("user", prompt.user)],
            [*strings, {"role": "user", "content": written}],
        )
        own = getattr(self.processor, "chat_template", None)
        template = self.processor.tokenizer.chat_template if own is None else None
        within = self._image_token in self._placeholder
        marker = self._image_token if within else self._placeholder
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

    def tail(self, text: str) -> str:
        """Return what stands after a rendered prompt's last image, as the processor ends it."""
        return text.rpartition(self._image_token)[2] + self.family.appended

    # -- answers --------------------------------------------------------------------------

    def continuation(self, choice: str, delimiter: str) -> str:
        """Return what stands after the rendered prompt when `choice` is the answer."""
        return continuation_of(choice, delimiter, self.spec.prompt, chats=self.chats)

    def without_delimiter(self, continuation: str) -> str:
        """Return the choice in a continuation, without the model's own delimiter."""
        return continuation.removeprefix(self.spec.prompt.answer_delimiter or "")

    def continuation_tokens(self, text: str, continuation: str) -> list[int]:
        """Return the tokens that `continuation` adds to `text`, tokenised together as in lm-eval.

        Raises:
            VlmbenchError: If there are none.
        """
        tail = self.tail(text)  # image tokens never merge with text
        ids = self._tokens(tail + continuation)[len(self._tokens(tail)) :]
        if not ids:
            message = f"the choice {continuation!r} has no tokens, so it has no likelihood"
            raise VlmbenchError(message)
        return ids

    # -- tokens ---------------------------------------------------------------------------

    def prompt_tokens(self, text: str) -> list[int]:
        """Return a rendered prompt's tokens, one image token an image."""
        special = self.wants_start([text])
        ids: list[int] = self.processor.tokenizer.encode(text, add_special_tokens=special)
        return ids

    def wants_start(self, texts: Sequence[str]) -> bool:
        """Tell whether the tokenizer must put its first token before rendered prompts.

        A template that already wrote it must not get a second one.
        """
        start = self.processor.tokenizer.bos_token
        return not (start and all(text.startswith(start) for text in texts))

    @cached_property
    def _tokens(self) -> Callable[[str], list[int]]:
        """Tokenises texts; keeps thousands, as conditions that change images repeat the texts."""
        encode = partial(self.processor.tokenizer.encode, add_special_tokens=False)
        return lru_cache(maxsize=4096)(encode)


def stops_of(kwargs: GenerationKwargs) -> tuple[str, ...]:
    """Return the strings at which an answer ends."""
    return (kwargs.until,) if isinstance(kwargs.until, str) else kwargs.until


def cut(text: str, stops: Sequence[str]) -> str:
    """Return what stands before the first stop string, as lm-eval cuts answers."""
    for stop in stops:
        text = text.split(stop, maxsplit=1)[0] if stop else text
    return text


def _message(role: str, text: str) -> dict[str, Any]:
    """Return a chat message with its text cut at every `<image>`, as lm-eval's hf_vlms does."""
    content = [
        {"type": "image"} if piece is None else {"type": "text", "text": piece}
        for piece in pieces(text)
    ]
    return {"role": role, "content": content}
