"""Processors of checkpoints, with or without torchvision."""

from __future__ import annotations

from typing import Any

from vlmbench.models._checkpoint import remedy_for
from vlmbench.models._folder import check_folder, folder_of
from vlmbench.types import Problem, VlmbenchError


def load_processor(source: str, revision: str | None) -> Any:
    """Return a checkpoint's processor.

    Many families' processors insist on a video processor, which transformers offers only where
    torchvision is installed. Without torchvision the processor is put together from its
    tokenizer and its Pillow image processor; it then refuses videos, which nothing here shows.

    Raises:
        VlmbenchError: If its files are damaged or odd, or a package is missing that the family's
            image processor needs.
    """
    from transformers import AutoProcessor
    from transformers.utils import is_torchvision_available

    check_folder(folder_of(source, revision))
    try:
        processor = AutoProcessor.from_pretrained(
            source, revision=revision, trust_remote_code=False
        )
        if not (hasattr(processor, "tokenizer") and hasattr(processor, "image_processor")):
            kind = type(processor).__name__
            raise ValueError(f"{kind} is not a processor of images and text")
        return processor
    except (ImportError, ValueError) as error:
        if is_torchvision_available():
            raise VlmbenchError(_cannot(source, error)) from error
    except Exception as error:  # whatever a family may raise
        raise VlmbenchError(_cannot(source, error)) from error
    try:
        return _without_videos(source, revision)
    except Exception as error:  # likewise
        raise VlmbenchError(_cannot(source, error)) from error


def _without_videos(source: str, revision: str | None) -> Any:
    """Put a processor together from parts that need no torchvision."""
    import transformers
    from transformers import AutoFeatureExtractor, AutoImageProcessor, AutoTokenizer

    parts = {
        "image_processor": AutoImageProcessor,
        "tokenizer": AutoTokenizer,
        "feature_extractor": AutoFeatureExtractor,
    }
    kind = _filmless(getattr(transformers, _class_name(source, revision)))
    settings, _ = kind.get_processor_dict(source, revision=revision)
    arguments = [
        parts[name].from_pretrained(source, revision=revision, trust_remote_code=False)
        if name in parts
        else kind.stand_in()
        for name in kind.get_attributes()
    ]
    return kind.from_args_and_dict(arguments, settings)


def _filmless(kind: Any) -> Any:
    """Return a processor's class that takes a stand-in for its video processor."""
    from transformers.video_processing_utils import VideoProcessorMixin

    class NoVideos(VideoProcessorMixin):  # type: ignore[misc]
        """Takes the place of a video processor."""

    class Filmless(kind):  # type: ignore[misc]
        """The same processor for images and text."""

        stand_in = NoVideos

        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            if isinstance(argument, NoVideos):
                return NoVideos
            return super().check_argument_for_proper_class(argument_name, argument)

    return Filmless


def _class_name(source: str, revision: str | None) -> str:
    """Return the processor's class, from its own files or else by the model's type."""
    from transformers import AutoConfig, ProcessorMixin
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

    settings, _ = ProcessorMixin.get_processor_dict(source, revision=revision)
    named = settings.get("processor_class")
    if named is None:
        config = AutoConfig.from_pretrained(source, revision=revision, trust_remote_code=False)
        named = PROCESSOR_MAPPING_NAMES.get(config.model_type)
    if named is None:
        raise ValueError("no file says which processor class it needs")
    return str(named)


def _cannot(source: str, error: Exception) -> Problem:
    message = f"cannot load the processor of {source!r}: {error}"
    return Problem(field="checkpoint", message=message, remedy=remedy_for(error))
