"""A model spec from a checkpoint's own config files, each value with where it came from."""

from __future__ import annotations

import math
import os.path
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from vlmbench.registry._checkpoint_files import CheckpointFiles
from vlmbench.registry._families import Family, Layer, family_of
from vlmbench.registry._pixels import CLIP_MEAN, crop_of, processor_kind, processor_settings
from vlmbench.registry._section import MOST_LAYERS, Section
from vlmbench.spec import LONGEST_NAME, Located, ModelSpec, load_data, schema_path
from vlmbench.types import Problem, VlmbenchError, one_line, plain

# Towers whose first (Llama 4: last) token is a class token, by their config's model_type.
_CLASS_TOKENS = frozenset(
    {"clip_vision_model", "internvl_vision", "llama4_vision_model", "mlcd", "vit"}
    | {"dinov2", "dinov2_with_registers", "dinov3_vit"}
)
# Facts that are shown between the keys of `twin`.
_INSIDE_TWIN = frozenset({"twin.letterbox", "grid", "class token", "merging"})
# What a tower without a size of its own is shown: near what most others see.
_USUAL_SIDE = 448
# More than any number that decides about memory, and than any tower's patches.
_MOST_BYTES, _MOST_PIXELS, _MOST_MERGED = 2**50, 2**40, 64
_LONGEST_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that was found out about a checkpoint.

    Attributes:
        key: YAML key that it becomes, dotted; or a word for something that has no key. It is ours:
            a checkpoint's files only ever give values.
        value: What was found; None if nothing was. Text of theirs is made harmless and shortened.
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
    data: dict[str, Any] = {}
    for fact in facts:
        if fact.in_yaml:
            above, _, key = fact.key.rpartition(".")
            (data.setdefault(above, {}) if above else data)[key] = fact.value
    path = files.folder / "config.json"
    return Derived(model=cast("Located[ModelSpec]", load_data(data, path)), facts=facts)


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
    family = family_of(config.text("model_type") or "")
    vision = config.section("vision_config")
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


def _twin(files: CheckpointFiles, config: Section, vision: Section, family: Family) -> list[Fact]:
    """Return what is known of the tower and of the state that the language model consumes."""
    if family.encoder:
        return [_note("twin", None, f"no encoder readout: {family.encoder}")]
    if not vision:
        message = "config.json has no vision_config: to ask its encoder, write `twin` yourself"
        return [_note("twin", None, message)]
    layer, origin = _layer(config, vision, family)
    strategy = config.text("vision_feature_select_strategy")
    strategy = strategy or vision.text("vision_feature_select_strategy")
    kind = vision.text("model_type") or "?"
    with_class = kind in _CLASS_TOKENS or strategy == "default"
    with_class = with_class or bool(config.values.get("vision_use_cls_token"))
    return [
        _note("tower", vision.text("architecture") or kind, "config.json: vision_config"),
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


def _layer(config: Section, vision: Section, family: Family) -> tuple[Layer, str]:
    """Return the hidden state that the language model consumes, and what says so."""
    for place, values in (("", config), ("vision_config.", vision)):
        for name in ("vision_feature_layer", "feature_layer"):
            found = values.values.get(name)
            if found is None:
                continue
            origin = f"config.json: {place}{name}"
            if isinstance(found, list):
                if not (found and all(type(layer) is int for layer in found)):
                    raise values.wrong(name, "a list of whole numbers")
                return tuple(found), origin
            layer = values.whole(name, least=-MOST_LAYERS, most=MOST_LAYERS)
            if layer == -1 and family.last_is_normed:
                return "final_norm", f"{origin} = -1; {family.why}"
            assert layer is not None, "found just now"
            return layer, origin
    if family.name:
        return family.layer, f"{family.name}: {family.why}"
    return "final_norm", "transformers' convention (last_hidden_state); family not checked"


def _letterbox(files: CheckpointFiles, config: Section, vision: Section) -> Fact:
    """Return the side of the square that the tower sees."""
    settings = processor_settings(files)
    merge = vision.whole("spatial_merge_size", most=_MOST_MERGED)
    pixtral = vision.text("model_type") == "pixtral"
    if merge is None and not pixtral:
        places = {
            "config.json: vision_config.image_size": (vision, "image_size"),
            "config.json: vision_config.model_args.img_size": (
                vision.section("model_args"), "img_size"
            ),
            "the image processor's crop_size": (settings, "crop_size"),
            "the image processor's tile_size": (settings, "tile_size"),
            "the image processor's size": (settings, "size"),
        }  # fmt: skip
        for origin, (section, key) in places.items():
            size = section.side(key)
            if size is not None:
                return Fact(key="twin.letterbox", value=size, origin=origin)
        message = "not in any file: write how many pixels wide the tower's square should be"
        return _note("twin.letterbox", None, message)
    merge = merge or config.whole("spatial_merge_size", most=_MOST_MERGED) or 1
    step = (vision.side("patch_size") or 16) * merge
    most: float = settings.whole("max_pixels", most=_MOST_PIXELS) or math.inf
    if most == math.inf and isinstance(settings.values.get("size"), dict):
        most = settings.section("size").whole("longest_edge", most=_MOST_PIXELS) or math.inf
    if not pixtral:  # a budget of pixels; GLM-4V counts both frames
        most = math.sqrt(most / (settings.whole("temporal_patch_size") or 1))
    side = max(step, int(min(_USUAL_SIDE, most)) // step * step)
    origin = f"it takes any size: near {_USUAL_SIDE}, a multiple of {step} (patch x merge)"
    return Fact(key="twin.letterbox", value=side, origin=origin)


def _grid(config: Section, vision: Section) -> Fact:
    patch = vision.side("patch_size") or vision.section("model_args").side("patch_size")
    merge = vision.whole("spatial_merge_size", most=_MOST_MERGED)
    merge = merge or config.whole("spatial_merge_size", most=_MOST_MERGED)
    value = None if patch is None else f"patches of {patch} pixels"
    if value and merge:
        value += f", {merge} x {merge} of them per token"
    return _note("grid", value, "config.json: vision_config.patch_size, spatial_merge_size")


def _merging(family: Family) -> Fact:
    if family.merging:
        return _note("merging", family.merging, "the family's code")
    return _note("merging", "not known", "the family is not listed, and no file says it")


def _memory(files: CheckpointFiles) -> Fact:
    """Return GiB for the weights and a batch: their size on disk and a quarter more."""
    if files.local:
        weights = [path for path in files.folder.glob("*.safetensors") if path.is_file()]
        size = sum(path.stat().st_size for path in weights)
        origin = "size of the weights on disk, plus a quarter"
    else:
        about = files.json("model.safetensors.index.json").section("metadata")
        size = about.whole("total_size", least=0, most=_MOST_BYTES) or 0
        origin = "model.safetensors.index.json: metadata.total_size, plus a quarter"
    gigabytes = round(1.25 * size / 2**30, 1)
    return Fact(key="needs.memory_gb", value=gigabytes or None, origin=origin)


def _family(config: Section, family: Family) -> Fact:
    kind = config.text("model_type")
    name = family.name or f"{kind} (not listed: transformers' conventions apply)"
    return _note("family", name, "config.json: model_type")


def _template(files: CheckpointFiles) -> Fact:
    """Return whether there is a chat template, and in which file."""
    if files.text("chat_template.jinja"):
        return Fact(key="prompt.chat_template", value="auto", origin="chat_template.jinja")
    for name in ("chat_template.json", "processor_config.json", "tokenizer_config.json"):
        if files.json(name).values.get("chat_template"):
            origin = f"{name}: chat_template"
            return Fact(key="prompt.chat_template", value="auto", origin=origin)
    origin = "no file has a chat template: the bare prompt is used"
    return Fact(key="prompt.chat_template", value="none", origin=origin)


def _image_token(config: Section) -> Fact:
    for place, section in (("", config), ("vision_config.", config.section("vision_config"))):
        for name in ("image_token_id", "image_token_index"):
            number = section.whole(name, least=0, most=2**31)
            if number is not None:
                return _note("image token", number, f"config.json: {place}{name}")
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
    fill = [int(255 * level) for level in settings.levels("image_mean") or CLIP_MEAN]
    origin = "the image processor's crop_size: it would cut off the edges, so images are padded"
    return [
        Fact(key="image.letterbox", value=side, origin=origin),
        Fact(key="image.fill", value=fill, origin="the image processor's image_mean"),
    ]


def _transform(files: CheckpointFiles) -> Fact:
    settings = processor_settings(files)
    kind = processor_kind(settings)
    mean, std = settings.values.get("image_mean"), settings.values.get("image_std")
    value = None if kind is None else f"{kind}, mean {mean}, std {std}"
    return _note("image transform", value, "preprocessor_config.json or processor_config.json")


def _name(files: CheckpointFiles) -> str:
    if not files.local:
        return files.source
    name = re.sub(r"[^A-Za-z0-9_.+-]", "-", files.folder.resolve().name).lstrip("-_.+")
    return name[:LONGEST_NAME] or "model"


def _note(key: str, value: Any, origin: str) -> Fact:
    shown = plain(value, longest=_LONGEST_SHOWN) if isinstance(value, str) else value
    return Fact(key=key, value=shown, origin=origin, in_yaml=False)


def _yaml(source: str, facts: tuple[Fact, ...]) -> str:
    """Write facts as YAML, with where each came from as a comment."""
    about = f"Derived from the files of {source}; `vlmbench show` explains every line."
    lines = [f"# {_comment(about)}"]
    section = ""
    for fact in facts:
        if not fact.in_yaml:
            shown = "not found" if fact.value is None else fact.value
            indent = "  " if fact.key in _INSIDE_TWIN else ""
            lines.append(f"{indent}# {_comment(f'{fact.key}: {shown}  ({fact.origin})')}")
            continue
        above, _, key = fact.key.rpartition(".")
        if above and above != section:
            lines.append(f"{above}:")
        section = above
        indent = "  " if above else ""
        lines.append(f"{indent}{key}: {_value(fact.value)}  # {_comment(fact.origin)}")
    return "\n".join(lines) + "\n"


def _comment(text: str) -> str:
    """Return a comment that nothing in it can end."""
    return one_line(text).encode("ascii", "backslashreplace").decode()


def _value(value: Any) -> str:
    """Return a value as YAML on one line; text in quotes, so that it stays one."""
    style = '"' if isinstance(value, str) else None
    written = yaml.safe_dump(value, default_style=style, default_flow_style=True, width=math.inf)
    return written.removesuffix("...\n").strip()
