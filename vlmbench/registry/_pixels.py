"""Which pixels a model and its encoder are given, as its YAML and its checkpoint's files say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from vlmbench.registry._checkpoint_files import CheckpointFiles
from vlmbench.spec import Located, ModelSpec
from vlmbench.types import VlmbenchError

_FILTERS = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""Pillow's filters by number."""
# Processors that crop the whole image, unless told otherwise; others of that key crop tiles.
_CROPS = re.compile(r"(CLIP|Llava|Chameleon|Bit|Flava)(ImageProcessor|FeatureExtractor)")
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
"""What a CLIP processor takes where its file names no mean."""


def processor_settings(files: CheckpointFiles) -> Mapping[str, Any]:
    """Return the image processor's settings, wherever this checkpoint's age put them."""
    inner = files.json("processor_config.json").get("image_processor")
    settings: Mapping[str, Any] = inner or files.json("preprocessor_config.json")
    return settings


def crop_of(settings: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return to which shorter side a processor scales, and to which side it then cuts an image.

    None where it cuts nothing off, or cuts what it has padded or tiled.
    """
    kind = settings.get("image_processor_type", settings.get("feature_extractor_type", ""))
    if not _CROPS.match(kind or "") or settings.get("do_pad"):
        return None
    if not settings.get("do_center_crop", True):
        return None
    crop = side_of(settings.get("crop_size")) or 224
    return side_of(settings.get("size")) or crop, crop


def side_of(size: Any) -> int | None:
    """Return the side of a processor's `size`: a number, a pair or a mapping."""
    if isinstance(size, Mapping):
        size = size.get("height", size.get("shortest_edge"))
    return None if size is None else int(size[0] if isinstance(size, list) else size)


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
        vision = config.get("vision_config") or {}
        side = spec.twin.letterbox or side_of(vision.get("image_size"))
        size = "a square of the tower's own size" if side is None else f"{side} x {side}"
        if image.letterbox is None:
            square = (
                "padded with the colour that the model's processor pads with (black where it pads "
                f"with none), {_filter(settings)}"
            )
        shown["encoder"] = f"{size}, {square}, every image by itself"
    return shown


def _files(model: Located[ModelSpec]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return a checkpoint's image processor settings and config; empty where they are not here."""
    source = str(model.spec.checkpoint)
    folder = model.folder / source
    try:
        if model.spec.server is not None:
            return {}, {}
        files = CheckpointFiles.open(str(folder) if folder.is_dir() else source)
        return processor_settings(files), files.json("config.json")
    except VlmbenchError:
        return {}, {}


def _by_processor(settings: Mapping[str, Any]) -> str:
    """Return what a checkpoint's own processor makes of an image."""
    if not settings:
        return "as its own processor makes them, whose files are not here"
    kind = settings.get("image_processor_type", "its own processor")
    sizes = [f"{key} {settings[key]}" for key in ("size", "crop_size") if settings.get(key)]
    cut = "" if crop_of(settings) is None else "; THE EDGES ARE CUT OFF"
    return ", ".join([f"as {kind} makes them", *sizes, _filter(settings)]) + cut


def _filter(settings: Mapping[str, Any]) -> str:
    number = settings.get("resample")
    return _FILTERS[number] if isinstance(number, int) else "the processor's filter"
