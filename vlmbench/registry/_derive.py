"""A model spec from a checkpoint's own config files, each value with where it came from."""

from __future__ import annotations

import math
import os.path
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from vlmbench.registry._checkpoint_files import CheckpointFiles
from vlmbench.registry._families import Family, Layer, family_of
from vlmbench.registry._pixels import CLIP_MEAN, crop_of, processor_settings, side_of
from vlmbench.spec import Located, ModelSpec, load_text, schema_path
from vlmbench.types import Problem, VlmbenchError

# Towers whose first (Llama 4: last) token is a class token, by their config's model_type.
_CLASS_TOKENS = frozenset(
    {"clip_vision_model", "internvl_vision", "llama4_vision_model", "mlcd", "vit"}
    | {"dinov2", "dinov2_with_registers", "dinov3_vit"}
)
# Facts that are shown between the keys of `twin`.
_INSIDE_TWIN = frozenset({"twin.letterbox", "grid", "class token", "merging"})
# What a tower without a size of its own is shown: near what most others see.
_USUAL_SIDE = 448


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that was found out about a checkpoint.

    Attributes:
        key: YAML key that it becomes, dotted; or a word for something that has no key.
        value: What was found; None if nothing was.
        origin: File and key it was read from, or the rule that gave it.
        in_yaml: Whether `key` is a key of the YAML.
    """

    key: str
    value: Any
    origin: str
    in_yaml: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """A model as its own files describe it.

    Attributes:
        model: The spec.
        facts: What it was made from, in the order of the YAML.
    """

    model: Located[ModelSpec]
    facts: tuple[Fact, ...]


def derive(source: str) -> Derived:
    """Derive a model's spec from its config, processor and chat template files.

    Args:
        source: Hub id, or folder that `save_pretrained` wrote.

    Raises:
        VlmbenchError: If there is no such checkpoint, or its files cannot be read.
    """
    files = CheckpointFiles.open(source)
    facts = tuple(_facts(files))
    path = files.folder / "config.json"
    model = cast("Located[ModelSpec]", load_text(_yaml(files.source, facts), path))
    return Derived(model=model, facts=facts)


def derived_yaml(source: str, folder: Path) -> str:
    """Return the YAML of a derived model, to be written into `folder`."""
    files = CheckpointFiles.open(source)
    facts = _facts(files)
    if files.local:  # relative paths start at the YAML
        index = next(i for i, fact in enumerate(facts) if fact.key == "checkpoint")
        where = Path(os.path.relpath(files.folder.resolve(), folder.resolve())).as_posix()
        facts[index] = Fact(key="checkpoint", value=where, origin="the folder given")
    schema = Path(os.path.relpath(schema_path("model"), folder)).as_posix()
    return f"# yaml-language-server: $schema={schema}\n{_yaml(source, tuple(facts))}"


def _facts(files: CheckpointFiles) -> list[Fact]:
    config = files.json("config.json")
    family = family_of(str(config.get("model_type", "")))
    vision = config.get("vision_config") or {}
    found = [
        Fact(key="model", value=_name(files), origin="the name given"),
        Fact(key="checkpoint", value="." if files.local else files.source, origin="as given"),
    ]
    if files.revision is not None:
        origin = "commit of the files in the hub's cache"
        found.append(Fact(key="revision", value=files.revision, origin=origin))
    found += [_memory(files), _family(config, family), _template(files)]
    found += [_image_token(config), _several(family), *_uncropped(files), _transform(files)]
    found += _twin(files, config, vision, family)
    return [fact for fact in found if fact.value is not None or not fact.in_yaml]


def _twin(
    files: CheckpointFiles, config: Mapping[str, Any], vision: Mapping[str, Any], family: Family
) -> list[Fact]:
    """Return what is known of the tower and of the state that the language model consumes."""
    if family.encoder:
        return [_note("twin", None, f"no encoder readout: {family.encoder}")]
    if not vision:
        message = "config.json has no vision_config: to ask its encoder, write `twin` yourself"
        return [_note("twin", None, message)]
    layer, origin = _layer(config, vision, family)
    strategy = vision.get("vision_feature_select_strategy")
    strategy = config.get("vision_feature_select_strategy", strategy)
    with_class = vision.get("model_type") in _CLASS_TOKENS or strategy == "default"
    with_class = with_class or bool(config.get("vision_use_cls_token"))
    kind = vision.get("model_type", "?")
    return [
        _note("tower", vision.get("architecture", kind), "config.json: vision_config"),
        Fact(key="twin.layer", value=list(layer) if isinstance(layer, tuple) else layer,
             origin=origin),
        Fact(key="twin.pooled", value="cls" if with_class else "mean",
             origin=f"a {kind} tower has {'a' if with_class else 'no'} class token"),
        _letterbox(files, config, vision),
        _grid(config, vision),
        _note("class token", ("dropped" if with_class and strategy != "full" else "kept")
              if with_class else "none", "config.json: vision_feature_select_strategy"
              if strategy else "the family's code"),
        _merging(family),
        Fact(key="twin.relation", value="identical", origin="the tower inside the checkpoint"),
    ]  # fmt: skip


def _layer(
    config: Mapping[str, Any], vision: Mapping[str, Any], family: Family
) -> tuple[Layer, str]:
    """Return the hidden state that the language model consumes, and what says so."""
    for place, values in (("", config), ("vision_config.", vision)):
        for name in ("vision_feature_layer", "feature_layer"):
            found = values.get(name)
            if found is None:
                continue
            origin = f"config.json: {place}{name}"
            if found == -1 and family.last_is_normed:
                return "final_norm", f"{origin} = -1; {family.why}"
            return tuple(found) if isinstance(found, list) else int(found), origin
    if family.name:
        return family.layer, f"{family.name}: {family.why}"
    return "final_norm", "transformers' convention (last_hidden_state); family not checked"


def _letterbox(
    files: CheckpointFiles, config: Mapping[str, Any], vision: Mapping[str, Any]
) -> Fact:
    """Return the side of the square that the tower sees."""
    merge = vision.get("spatial_merge_size")
    dynamic = merge is not None or vision.get("model_type") == "pixtral"
    if not dynamic:
        places = {
            "config.json: vision_config.image_size": vision.get("image_size"),
            "config.json: vision_config.model_args.img_size": (
                vision.get("model_args") or {}
            ).get("img_size"),
            "the image processor's crop_size": side_of(processor_settings(files).get("crop_size")),
            "the image processor's tile_size": processor_settings(files).get("tile_size"),
            "the image processor's size": side_of(processor_settings(files).get("size")),
        }  # fmt: skip
        for origin, size in places.items():
            if size is not None:
                return Fact(key="twin.letterbox", value=_one(size), origin=origin)
        message = "not in any file: write how many pixels wide the tower's square should be"
        return _note("twin.letterbox", None, message)
    step = _one(vision.get("patch_size", 16)) * int(merge or config.get("spatial_merge_size") or 1)
    size = processor_settings(files).get("size") or {}
    most = processor_settings(files).get("max_pixels") or size.get("longest_edge") or math.inf
    if vision.get("model_type") != "pixtral":  # a budget of pixels; GLM-4V counts both frames
        most = math.sqrt(most / int(processor_settings(files).get("temporal_patch_size") or 1))
    side = max(step, int(min(_USUAL_SIDE, most)) // step * step)
    origin = f"it takes any size: near {_USUAL_SIDE}, a multiple of {step} (patch x merge)"
    return Fact(key="twin.letterbox", value=side, origin=origin)


def _grid(config: Mapping[str, Any], vision: Mapping[str, Any]) -> Fact:
    patch = vision.get("patch_size") or (vision.get("model_args") or {}).get("patch_size")
    merge = vision.get("spatial_merge_size") or config.get("spatial_merge_size")
    value = None if patch is None else f"patches of {_one(patch)} pixels"
    if value and merge:
        value += f", {merge} x {merge} of them per token"
    return _note("grid", value, "config.json: vision_config.patch_size, spatial_merge_size")


def _merging(family: Family) -> Fact:
    if family.merging:
        return _note("merging", family.merging, "the family's code")
    return _note("merging", "not known", "the family is not listed, and no file says it")


def _memory(files: CheckpointFiles) -> Fact:
    """Return GiB for the weights and a batch: their size on disk and a quarter more."""
    index = files.json("model.safetensors.index.json") if not files.local else {}
    size = (index.get("metadata") or {}).get("total_size")
    origin = "model.safetensors.index.json: metadata.total_size, plus a quarter"
    if files.local:
        size = sum(path.stat().st_size for path in files.folder.glob("*.safetensors"))
        origin = "size of the weights on disk, plus a quarter"
    gigabytes = round(1.25 * size / 2**30, 1) if size else None
    return Fact(key="needs.memory_gb", value=gigabytes or None, origin=origin)


def _family(config: Mapping[str, Any], family: Family) -> Fact:
    kind = config.get("model_type")
    name = family.name or f"{kind} (not listed: transformers' conventions apply)"
    return _note("family", name, "config.json: model_type")


def _template(files: CheckpointFiles) -> Fact:
    """Return whether there is a chat template, and in which file."""
    if files.text("chat_template.jinja"):
        return Fact(key="prompt.chat_template", value="auto", origin="chat_template.jinja")
    for name in ("chat_template.json", "processor_config.json", "tokenizer_config.json"):
        if files.json(name).get("chat_template"):
            origin = f"{name}: chat_template"
            return Fact(key="prompt.chat_template", value="auto", origin=origin)
    origin = "no file has a chat template: the bare prompt is used"
    return Fact(key="prompt.chat_template", value="none", origin=origin)


def _image_token(config: Mapping[str, Any]) -> Fact:
    for place, values in (("", config), ("vision_config.", config.get("vision_config") or {})):
        for name in ("image_token_id", "image_token_index"):
            if values.get(name) is not None:
                return _note("image token", values[name], f"config.json: {place}{name}")
    return _note("image token", None, "no key of config.json names it; the processor writes it")


def _several(family: Family) -> Fact:
    value = "native" if family.several else "join"
    return Fact(key="image.several", value=value, origin="one placeholder per image")


def _uncropped(files: CheckpointFiles) -> list[Fact]:
    """Return the letterbox that keeps a processor from cutting off what a question is about."""
    settings = processor_settings(files)
    crop = crop_of(settings)
    if crop is None:
        return []
    scaled, side = crop
    if scaled != side:
        message = (
            f"the image processor scales to {scaled} pixels and cuts out the inner {side}, so that "
            "the edges of every image are lost, with the points and boxes in them"
        )
        remedy = "Change `size` or `crop_size` of a copy of its files, so that they are equal."
        raise VlmbenchError(Problem(file=str(files.folder), message=message, remedy=remedy))
    fill = [int(255 * level) for level in settings.get("image_mean") or CLIP_MEAN]
    origin = "the image processor's crop_size: it would cut off the edges, so images are padded"
    return [
        Fact(key="image.letterbox", value=side, origin=origin),
        Fact(key="image.fill", value=fill, origin="the image processor's image_mean"),
    ]


def _transform(files: CheckpointFiles) -> Fact:
    settings = processor_settings(files)
    kind = settings.get("image_processor_type", settings.get("feature_extractor_type"))
    mean = settings.get("image_mean")
    value = None if kind is None else f"{kind}, mean {mean}, std {settings.get('image_std')}"
    return _note("image transform", value, "preprocessor_config.json or processor_config.json")


def _name(files: CheckpointFiles) -> str:
    if not files.local:
        return files.source
    return re.sub(r"[^A-Za-z0-9_.+-]", "-", files.folder.resolve().name).lstrip("-_.+") or "model"


def _note(key: str, value: Any, origin: str) -> Fact:
    return Fact(key=key, value=value, origin=origin, in_yaml=False)


def _one(size: Any) -> int:
    return int(size[0] if isinstance(size, list) else size)


def _yaml(source: str, facts: tuple[Fact, ...]) -> str:
    """Write facts as YAML, with where each came from as a comment."""
    lines = [f"# Derived from the files of {source}; `vlmbench show` explains every line."]
    section = ""
    for fact in facts:
        shown = "not found" if fact.value is None else fact.value
        if not fact.in_yaml:
            indent = "  " if fact.key in _INSIDE_TWIN else ""
            lines.append(f"{indent}# {fact.key}: {shown}  ({fact.origin})")
            continue
        above, _, key = fact.key.rpartition(".")
        if above and above != section:
            lines.append(f"{above}:")
        section = above
        value = f'"{shown}"' if fact.key in ("model", "checkpoint", "revision") else shown
        lines.append(f"{'  ' if above else ''}{key}: {value}  # {fact.origin}")
    return "\n".join(lines) + "\n"
