"""lm-eval's requests: contexts with their images, and which of them are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from vlmbench.models import IMAGE_PLACEHOLDER
from vlmbench.spec import GenerationKwargs
from vlmbench.types import EncodedImage, Problem, VlmbenchError, shown

# Keys that say nothing once nothing is sampled.
_SAMPLING = frozenset({"do_sample", "temperature", "top_p", "top_k", "min_p"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Context:
    """What comes before a request's answer.

    Attributes:
        text: As lm-eval gave it.
        images: RGB, in order.
        key: Equal for contexts of one text and the same pixels.
    """

    text: str
    images: tuple[Image.Image, ...]
    key: tuple[str, ...]


class ContextReader:
    """Reads the contexts of one batch of requests, looking at each picture only once."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[Any, Image.Image, str]] = {}

    def read(self, arguments: Sequence[Any]) -> Context:
        """Return the context of a request's (text, what is asked, media) arguments.

        Raises:
            VlmbenchError: If the request has sound, or images that its context has no place for.
        """
        text = str(arguments[0])
        media: Mapping[str, Any] = arguments[2] if len(arguments) > 2 else {}
        if media.get("audio"):
            raise VlmbenchError("the task comes with sound, which no backend here supports")
        visual = media.get("visual")
        several = visual if isinstance(visual, list | tuple) else [visual]
        found = [self._image(value) for value in several if value is not None]
        if text == "":
            raise VlmbenchError(
                Problem(
                    message="the task wants a likelihood without any context (`acc_mutual_info`)",
                    remedy="Remove that metric: prompts are never empty here.",
                )
            )
        digests = tuple(digest for _, digest in found)
        images = tuple(image for image, _ in found)
        return Context(text=text, images=images, key=(text, *digests))

    def _image(self, value: Any) -> tuple[Image.Image, str]:
        if id(value) not in self._seen:
            image = _decoded(value)
            digest = hashlib.sha256(image.tobytes() + repr(image.size).encode()).hexdigest()
            self._seen[id(value)] = (value, image, digest)  # `value` is kept, so its id is its own
        return self._seen[id(value)][1:]


def _decoded(value: Any) -> Image.Image:
    """Return what an image shows, given as PIL, as a path, or as `datasets` keeps it undecoded."""
    try:
        return _shown(value)
    except (OSError, ValueError) as error:
        message = f"an image cannot be decoded: {error}"
        raise VlmbenchError(Problem(field="doc_to_image", message=message)) from error


def _shown(value: Any) -> Image.Image:
    match value:
        case Image.Image():
            return shown(value)
        case {"bytes": bytes(data)}:
            return EncodedImage(data).decode()
        case str(path) | {"path": str(path)} if Path(path).is_file():
            return EncodedImage(Path(path).read_bytes()).decode()
        case str():
            message = f"there is no image {value!r}; relative paths start at the current folder"
            raise VlmbenchError(Problem(field="doc_to_image", message=message))
        case _:
            message = f"a {type(value).__name__} is not an image"
            raise VlmbenchError(Problem(field="doc_to_image", message=message))


def check_places(text: str, images: Sequence[Image.Image]) -> None:
    """Raise VlmbenchError unless a text has one `<image>` for every image."""
    count = text.count(IMAGE_PLACEHOLDER)
    if count != len(images):
        message = f"a prompt has {count} {IMAGE_PLACEHOLDER} for {len(images)} images"
        remedy = f"Write {IMAGE_PLACEHOLDER} once for every image, where it belongs."
        raise VlmbenchError(Problem(field="doc_to_text", message=message, remedy=remedy))


def generation(given: Mapping[str, Any]) -> GenerationKwargs:
    """Return how text is generated, from lm-eval's `gen_kwargs`.

    Raises:
        VlmbenchError: If sampling or another search is asked for.
    """
    from lm_eval.models.utils import normalize_gen_kwargs

    kwargs = dict(normalize_gen_kwargs(dict(given)))
    if kwargs.get("do_sample"):
        message = "sampled answers cannot be reproduced, so sampling is not supported"
        remedy = "Set `do_sample: false` (or `--gen-kwargs do_sample=False`)."
        raise VlmbenchError(Problem(field="generation_kwargs", message=message, remedy=remedy))
    until, limit = kwargs.pop("until"), kwargs.pop("max_gen_toks")
    unknown = sorted(set(kwargs) - _SAMPLING)
    if unknown:
        message = f"no backend here supports {', '.join(unknown)}"
        raise VlmbenchError(Problem(field="generation_kwargs", message=message))
    return GenerationKwargs(until=tuple(until), max_gen_toks=limit)
