"""Which pixels a model and its encoder are given, as its YAML and its checkpoint's files say."""

from __future__ import annotations

import re

from vlmbench.registry._checkpoint_files import CheckpointFiles
from vlmbench.registry._section import Section
from vlmbench.spec import Located, ModelSpec
from vlmbench.types import VlmbenchError, plain

_FILTERS = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""Pillow's filters by number."""
CUT_OFF = "; THE EDGES ARE CUT OFF"
"""How the words for pixels end where a processor crops."""
# Processors that crop the whole image, unless told otherwise; others of that key crop tiles.
_CROPS = re.compile(r"(CLIP|Llava|Chameleon|Bit|Flava)(ImageProcessor|FeatureExtractor)")
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
"""What a CLIP processor takes where its file names no mean."""


def processor_settings(files: CheckpointFiles) -> Section:
    """Return the image processor's settings, wherever this checkpoint's age put them."""
    inner = files.json("processor_config.json").section("image_processor")
    return inner or files.json("preprocessor_config.json")


def processor_kind(settings: Section) -> str | None:
    """Return the class of an image processor."""
    return settings.text("image_processor_type") or settings.text("feature_extractor_type")


def crop_of(settings: Section) -> tuple[int, int] | None:
    """Return to which shorter side a processor scales, and to which side it then cuts an image.

    None where it cuts nothing off, or cuts what it has padded or tiled.
    """
    if not _CROPS.match(processor_kind(settings) or "") or settings.values.get("do_pad"):
        return None
    if not settings.values.get("do_center_crop", True):
        return None
    crop = settings.side("crop_size") or 224
    return settings.side("size") or crop, crop


def pixels_of(model: Located[ModelSpec]) -> dict[str, str]:
    """Return what each side is shown, by `model` and `encoder`; empty for what is not run."""
    spec = model.spec
    if not spec.has_weights or spec.checkpoint is None:
        return {}
    settings, config = _files(model)
    image = spec.image
    square = f"padded with {list(image.fill)}, bicubic"
    if image.letterbox is not None:
        own = f"{image.letterbox} x {image.letterbox}, {square}, padding {image.padding}"
    else:
        own = _by_processor(settings)
    joined = "several images side by side, then " if image.several == "join" else ""
    shown = {"model": joined + own}
    if spec.twin is not None:
        side = spec.twin.letterbox or config.section("vision_config").side("image_size")
        size = "a square of the tower's own size" if side is None else f"{side} x {side}"
        if image.letterbox is None:
            square = (
                "padded with the colour that the model's processor pads with (black where it pads "
                f"with none), {_filter(settings)}"
            )
        shown["encoder"] = f"{size}, {square}, every image by itself"
    return shown


def _files(model: Located[ModelSpec]) -> tuple[Section, Section]:
    """Return a checkpoint's image processor settings and config; empty where they are not here."""
    source = str(model.spec.checkpoint)
    folder = model.folder / source
    nothing = Section(values={}, file=source)
    try:
        if model.spec.server is not None:
            return nothing, nothing
        files = CheckpointFiles.open(str(folder) if folder.is_dir() else source)
        return processor_settings(files), files.json("config.json")
    except VlmbenchError:
        return nothing, nothing


def _by_processor(settings: Section) -> str:
    """Return what a checkpoint's own processor makes of an image."""
    if not settings:
        return "as its own processor makes them, whose files are not here"
    kind = processor_kind(settings) or "its own processor"
    sizes = [
        plain(f"{key} {settings.values[key]}", longest=200)
        for key in ("size", "crop_size")
        if settings.values.get(key)
    ]
    cut = "" if crop_of(settings) is None else CUT_OFF
    return ", ".join([plain(f"as {kind} makes them", longest=200), *sizes, _filter(settings)]) + cut


def _filter(settings: Section) -> str:
    number = settings.whole("resample", least=0, most=len(_FILTERS) - 1)
    return "the processor's filter" if number is None else _FILTERS[number]
