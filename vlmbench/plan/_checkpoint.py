"""What a checkpoint's own files say that decides whether a prompt can be asked. No network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmbench.registry import AGAIN, Family, Section, context_length, family_of, read_object
from vlmbench.spec import Located, ModelSpec
from vlmbench.types import Problem, VlmbenchError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's config and tokenizer, if they are on this machine.

    Attributes:
        config: `config.json`; empty if it is not here.
        transform: Settings of the image processor; empty if they are not here.
        tokenizer_file: `tokenizer.json`, or None if it is not here.
    """

    config: Mapping[str, Any]
    transform: Mapping[str, Any]
    tokenizer_file: Path | None

    @classmethod
    def of(cls, model: Located[ModelSpec]) -> Checkpoint:
        """Find a model's files in its folder or in the hub's cache."""
        spec = model.spec
        if spec.checkpoint is None or spec.server is not None:
            return cls(config={}, transform={}, tokenizer_file=None)
        return _open(spec.checkpoint, spec.revision, model.folder)

    @property
    def context(self) -> int | None:
        """Most tokens of a prompt, or None if the config does not say."""
        return context_length(self.config)

    @property
    def family(self) -> Family:
        """What is known about its family; nothing if there is no config."""
        return family_of(str(self.config.get("model_type", "")))

    @property
    def image_tokens(self) -> int:
        """Tokens that one image takes; 0 if the config does not say."""
        length = self.config.get("image_seq_length")
        return length if isinstance(length, int) else 0

    @property
    def layers(self) -> int | None:
        """Layers of the language model, or None if the config does not say."""
        inner = self.config.get("text_config")
        said = inner if isinstance(inner, dict) else self.config
        layers = said.get("num_hidden_layers")
        return layers if isinstance(layers, int) else None

    @property
    def crops(self) -> bool:
        """Whether the image processor cuts off what does not fit; False where nothing says so."""
        return bool(self.transform.get("do_center_crop"))

    def tokens(self, text: str) -> int | None:
        """Return how many tokens a text has, or None without a tokenizer."""
        if self._tokenizer is None:
            return None
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    @cached_property
    def _tokenizer(self) -> Tokenizer | None:
        from tokenizers import Tokenizer

        file = self.tokenizer_file
        try:
            return None if file is None else Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises nothing narrower
            message = f"is not a tokenizer that can be read: {error}"
            problem = Problem(file=str(file), message=message, remedy=AGAIN)
            raise VlmbenchError(problem) from error


@lru_cache(maxsize=64)
def _open(checkpoint: str, revision: str | None, folder: Path) -> Checkpoint:
    def read(name: str) -> Section:
        file = _file(checkpoint, revision, folder, name)
        return Section(values={}, file=name) if file is None else read_object(file)

    inner = read("processor_config.json").section("image_processor")
    return Checkpoint(
        config=read("config.json").values,
        transform=(inner or read("preprocessor_config.json")).values,
        tokenizer_file=_file(checkpoint, revision, folder, "tokenizer.json"),
    )


def _file(checkpoint: str, revision: str | None, folder: Path, name: str) -> Path | None:
    local = folder / checkpoint
    if local.is_dir():
        return local / name if (local / name).is_file() else None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(checkpoint, name, revision=revision)
    except HFValidationError:
        return None  # no hub id: a folder that is not there, which loading will report
    return Path(cached) if isinstance(cached, str) else None
