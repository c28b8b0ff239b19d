"""Requests and answers of chat completions, as plain data.

The protocol is OpenAI's (https://platform.openai.com/docs/api-reference/chat/create), kept to
what vLLM, SGLang, `transformers serve` and the hosted look-alikes have in common. `stop` is not
sent: reasoning models refuse it, Anthropic refuses white space in it, and `transformers serve`
5.23 fails on it for image models. Texts are cut at the stop strings here instead.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from PIL import Image

from vlmbench.models._backend import IMAGE_PLACEHOLDER, Prompt, pieces
from vlmbench.models.openai._faults import read_json
from vlmbench.spec import GenerationKwargs, ModelSpec

# Most alternatives that OpenAI lists, and what vLLM lists unless it is started with more.
TOP_LOGPROBS = 20
LONGEST_TEXT = 1_000_000
"""Most characters of an answer."""
MOST_TOKENS = 100_000_000
"""Most tokens that a server can say it billed."""
# Servers write this for "less than anything worth saying": it is not a likelihood.
UNSAID = -9999.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request before its images are encoded.

    Attributes:
        prompt: What is asked.
        settings: All of the request but its messages.
        asking: What tells it from the same request asked before; empty where there is no need to.
    """

    prompt: Prompt
    settings: Mapping[str, Any]
    asking: str = ""

    @property
    def wants_logprobs(self) -> bool:
        """Whether the likelihoods of the first token are asked for."""
        return bool(self.settings.get("logprobs"))

    @property
    def most_tokens(self) -> int:
        """Most tokens that the answer can have; 4096 where the request does not say."""
        limits = (self.settings.get(name) for name in ("max_completion_tokens", "max_tokens"))
        return max((int(limit) for limit in limits if limit is not None), default=4096)

    def key(self, address: str) -> str:
        """Return the hex SHA-256 of what is asked of whom: pixels, text and settings."""
        digest = hashlib.sha256()
        about = [address, self.settings, self.prompt.system, self.prompt.user]
        about += [self.asking] if self.asking else []
        digest.update(json.dumps(about, sort_keys=True).encode())
        for image in self.prompt.images:
            digest.update(f"{image.mode}{image.size}".encode())
            digest.update(image.tobytes())
        return digest.hexdigest()

    def body(self) -> bytes:
        """Return the JSON of the request, images as PNG data URLs."""
        return json.dumps({**self.settings, "messages": messages(self.prompt)}).encode()


def settings(spec: ModelSpec, kwargs: GenerationKwargs, *, logprobs: bool) -> dict[str, Any]:
    """Return a request's keys other than its messages; null in `server.body` removes a key."""
    assert spec.server is not None, "checked when the spec was loaded"
    keys: dict[str, Any] = {
        "model": spec.checkpoint,
        "max_completion_tokens": kwargs.max_gen_toks,
        "temperature": 0,
    }
    if logprobs:
        keys |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
    keys |= spec.server.body
    return {name: value for name, value in keys.items() if value is not None}


def messages(prompt: Prompt) -> list[dict[str, Any]]:
    """Return a prompt's messages, images as PNG data URLs."""
    found: list[dict[str, Any]] = []
    if prompt.system:
        found.append({"role": "system", "content": prompt.system})
    return [*found, {"role": "user", "content": _content(prompt)}]


def _content(prompt: Prompt) -> list[dict[str, Any]]:
    """Return text and images in the order of the prompt."""
    count = prompt.user.count(IMAGE_PLACEHOLDER)
    if count != len(prompt.images):
        raise ValueError(f"{count} `<image>` for {len(prompt.images)} images")
    images = iter(prompt.images)
    return [
        {"type": "image_url", "image_url": {"url": _data_url(next(images))}}
        if piece is None
        else {"type": "text", "text": piece}
        for piece in pieces(prompt.user)
    ]


def _data_url(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What a server answered.

    Attributes:
        text: Its text; empty where it refused or was filtered.
        finish: Why it ended (`stop`, `length`, ...).
        first: Text -> log-likelihood in nats of what the first token could have been; empty
            where the server lists nothing.
        sampled: Text of what the first token is; empty likewise.
        prompt_tokens: Tokens billed for the question; None if the server does not say.
        completion_tokens: Tokens billed for the answer; None if the server does not say.
    """

    text: str
    finish: str = ""
    first: Mapping[str, float] = field(default_factory=dict)
    sampled: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    @classmethod
    def kept(cls, values: Mapping[str, Any]) -> Completion:
        """Return an answer from its fields as they were written.

        Raises:
            TypeError: If fields are missing or unknown.
            ValueError: If one holds what an answer cannot.
        """
        found = cls(**values)
        counts = (found.prompt_tokens, found.completion_tokens)
        if any(count is not None and _count(count) is None for count in counts):
            raise ValueError("its tokens cannot be counted")
        listed = [{"token": token, "logprob": value} for token, value in found.first.items()]
        first = _first([{"token": "", "logprob": 1, "top_logprobs": listed}])
        if len(first) != len(listed):
            raise ValueError("its likelihoods are none")
        text, finish, sampled = map(_whole, (found.text, found.finish, found.sampled))
        return replace(found, text=text, finish=finish, sampled=sampled, first=first)


def parse(raw: bytes) -> Completion:
    """Return the answer in a response.

    Raises:
        ValueError: If it is not a chat completion.
    """
    try:
        data = read_json(raw)
        choice = data["choices"][0]
        message = choice["message"]
        usage = data.get("usage") or {}
        tokens = (choice.get("logprobs") or {}).get("content") or []
        return Completion(
            text=_whole(_text(message.get("content"))),
            finish=_whole(str(choice.get("finish_reason") or "")),
            first=_first(tokens),
            sampled=_whole(str(tokens[0]["token"])) if tokens else "",
            prompt_tokens=_count(usage.get("prompt_tokens")),
            completion_tokens=_count(usage.get("completion_tokens")),
        )
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError) as error:
        reason = f"{type(error).__name__} {error}"
        raise ValueError(f"the server's answer is not a chat completion: {reason}") from error


def _whole(text: str) -> str:
    r"""Return text that can be written: halves of characters are spelt out, as `\ud800`.

    Raises:
        ValueError: If it is longer than an answer can be.
    """
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"a text of more than {LONGEST_TEXT:,} characters")
    return text.encode("utf-8", "backslashreplace").decode()


def _text(content: Any) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part.get("type") == "text")


def _first(tokens: Sequence[Any]) -> dict[str, float]:
    """Return the alternatives of the first token; of equal texts the likeliest counts."""
    found: dict[str, float] = {}
    for entry in (e for first in tokens[:1] for e in (first, *(first.get("top_logprobs") or ()))):
        value, token = float(entry["logprob"]), _whole(str(entry["token"]))
        if UNSAID < value <= 0:
            found[token] = max(value, found.get(token, value))
    return found


def _count(value: Any) -> int | None:
    """Return a count of tokens; None for what cannot be one, as where the server says none."""
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None
