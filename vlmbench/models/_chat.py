"""A model's chat template: the prompt it writes, and what it writes before an answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Any, Literal

from vlmbench.models._backend import IMAGE_PLACEHOLDER, pieces
from vlmbench.models._thoughts import SWITCHES, left_open
from vlmbench.spec import Prompting
from vlmbench.templates import LONGEST_TEMPLATE, CallError, Limited
from vlmbench.types import Problem, VlmbenchError

# Stands for an answer while it is found out what a template writes before one.
_ANSWER = "4f7a"
# What Python makes of a list of texts that a template takes for one text.
_REPR = "{'type':"
# Transformers' own code, which compiles a checkpoint's template and runs it: both have limits.
_RENDER = Limited("transformers.utils.chat_template_utils:render_jinja_template")

Shape = Literal["parts", "text"]
"""A message's content as templates take it: a list of texts and images, or (older ones, such as
Phi-4-multimodal's) one string that has the image tokens in it already."""
_SHAPES: tuple[Shape, ...] = ("parts", "text")


class Chat:
    """A chat template.

    Args:
        processor: The model's processor.
        prompting: Says which of several templates, and whether thoughts are switched on.
        placeholder: How an image is written into a message that is one string.
    """

    def __init__(self, processor: Any, prompting: Prompting, placeholder: str) -> None:
        self._processor = processor
        self._prompting = prompting
        self._placeholder = placeholder
        self._at_limit: CallError | None = None

    @cached_property
    def template(self) -> str | None:
        """The template itself; None where the model has none, or shall not use it.

        Raises:
            VlmbenchError: If there are several and none of them is named.
        """
        own = getattr(self._processor, "chat_template", None)
        found: Any = self._processor.tokenizer.chat_template if own is None else own
        wanted = self._prompting.chat_template
        if wanted == "none" or found is None:
            return None
        named = found if isinstance(found, dict) else {"default": found}
        name = "default" if wanted == "auto" else wanted
        if name not in named:
            several = "several chat templates" if len(named) > 1 else "one chat template"
            raise VlmbenchError(
                Problem(
                    field="prompt.chat_template",
                    message=f"the model has {several}, and none is called {name!r}",
                    remedy=f"Choose one of: {', '.join(sorted(named))}.",
                )
            )
        return str(named[name])

    @cached_property
    def switches(self) -> dict[str, bool]:
        """The template's own switches of thoughts, as they are set."""
        wanted = self._prompting.thinking is not None
        return {s: wanted for s in SWITCHES if re.search(rf"\b{s}\b", self.template or "")}

    @lru_cache(maxsize=512)  # noqa: B019 -- a prompt is written again for its record
    def prompt(self, system: str, user: str, *, marker: str, n_images: int) -> str:
        """Return the prompt of one question.

        Args:
            system: The system message; empty for none.
            user: The question, with `<image>` in the place of each image.
            marker: What the template must write once for each image.
            n_images: How many images there are.

        Raises:
            VlmbenchError: If the template refuses the question, with its own words, or does not
                write every image.
        """
        refusals: list[CallError] = []
        for shape in _SHAPES:
            try:
                text = self._write(self._turns(shape, system, user), ask=True)
            except CallError as error:
                refusals.append(error)
                continue
            if text.count(marker) == n_images and (_REPR not in text or _REPR in user):
                return text
        raise VlmbenchError(_refused(refusals, system, marker, n_images))

    @cached_property
    def before_answer(self) -> str:
        """What stands between the prompt and an answer in a turn of the assistant.

        Nothing where the turn does not begin with the prompt: LLaVA-OneVision's template writes a
        space before the line break in the one and not in the other, those of models that think
        leave the thoughts out.
        """
        return min(self._heads(), key=len, default="")

    @cached_property
    def opens_thoughts(self) -> bool:
        """Whether the prompt ends inside thoughts, though they are off where they can be."""
        prompts = (self._tried(self._turns(shape, "", "?"), ask=True) for shape in _SHAPES)
        return any(map(left_open, prompts))

    def _heads(self) -> Iterator[str]:
        """Yield what each way of writing an answered question puts before the answer."""
        for asked in _SHAPES:
            question = self._turns(asked, "", "?")
            prompt = self._tried(question, ask=True)
            for answered in _SHAPES:
                answer = self._message("assistant", _ANSWER, answered)
                turn = self._tried([*question, answer], ask=False)
                before, found, _ = turn.partition(_ANSWER)
                if found and prompt and before.startswith(prompt) and _REPR not in before:
                    yield before[len(prompt) :]

    def _tried(self, messages: Sequence[dict[str, Any]], *, ask: bool) -> str:
        """Return what the template writes; nothing if it does not take such messages."""
        try:
            return self._write(messages, ask=ask)
        except CallError:
            return ""

    def _write(self, messages: Sequence[dict[str, Any]], *, ask: bool) -> str:
        """Return what the template writes.

        Raises:
            CallError: It does not take such messages, or has reached a limit of
                `vlmbench.templates`, after which it is not tried again.
        """
        template, switches = self.template, {"add_generation_prompt": ask, **self.switches}
        if self._at_limit is None and len(template or "") > LONGEST_TEMPLATE:
            message = (
                f"it has {len(template or ''):,} characters, at most {LONGEST_TEMPLATE:,} are read"
            )
            self._at_limit = CallError("TooLong", message)
        if self._at_limit is not None:
            raise self._at_limit
        words = {**self._processor.tokenizer.special_tokens_map, **switches}
        try:
            (text,), _ = _RENDER([list(messages)], chat_template=template, **words)
        except CallError as error:
            self._at_limit = error if error.at_limit else None
            raise
        if _is_usual(self._processor):
            return str(text)
        text = self._processor.apply_chat_template(  # this family has its own way
            list(messages), chat_template=template, tokenize=False, **switches
        )
        return str(text)

    def _turns(self, shape: Shape, system: str, user: str) -> list[dict[str, Any]]:
        turns = [("system", system), ("user", user)]
        return [self._message(role, text, shape) for role, text in turns if text or role == "user"]

    def _message(self, role: str, text: str, shape: Shape) -> dict[str, Any]:
        """Return a message, its text cut at every `<image>` as lm-eval's hf_vlms does."""
        if shape == "text":
            # What is written into a description stays as it stands.
            shown = text if role == "system" else text.replace(IMAGE_PLACEHOLDER, self._placeholder)
            return {"role": role, "content": shown}
        content = [
            {"type": "image"} if piece is None else {"type": "text", "text": piece}
            for piece in pieces(text)
        ]
        return {"role": role, "content": content}


def _is_usual(processor: Any) -> bool:
    """Tell whether a processor writes prompts as transformers' own base class does."""
    from transformers import ProcessorMixin

    return type(processor).apply_chat_template is ProcessorMixin.apply_chat_template


def _refused(refusals: list[CallError], system: str, marker: str, n_images: int) -> Problem:
    """Return why a template wrote no prompt: what it said itself, or which images are missing."""
    message = f"the chat template does not write {n_images} images as {marker!r}"
    remedy = "Write `chat_template: none` and give a `wrapper`."
    if refusals:
        said = " ".join(refusals[0].message.split()) or refusals[0].kind
        message = f"the chat template refuses the question: {said}"
    if refusals and system:
        remedy = f"Leave the task's `description` out if it wants no system message. {remedy}"
    return Problem(field="prompt.chat_template", message=message, remedy=remedy)
