"""Ways to spoil a checkpoint's folder, each by its name."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Spoil = Callable[[Path], object]
"""Given a good checkpoint's folder, makes it another one."""
NAN, INF = float("nan"), float("inf")
WEIGHTS = "model.safetensors"


def places(found: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return where values are in JSON, the whole of it not among them."""
    keys: Any = found.items() if isinstance(found, dict) else ()
    keys = enumerate(found) if isinstance(found, list) else keys
    return [place for key, value in keys for place in [(*at, key), *places(value, (*at, key))]]


def value(name: str, *keys: str | int, to: Any) -> Spoil:
    """Replace a value in a JSON file, and make the keys that lead there."""

    def spoil(folder: Path) -> None:
        found = json.loads((folder / name).read_text()) if (folder / name).exists() else {}
        inside = found
        for key in keys[:-1]:
            inside = inside.setdefault(key, {}) if isinstance(inside, dict) else inside[key]
        inside[keys[-1]] = to
        (folder / name).write_text(json.dumps(found))

    return spoil


def text(name: str, content: str | bytes) -> Spoil:
    """Write a file."""
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(raw)


def cut(name: str, share: float) -> Spoil:
    """Leave only the first part of a file."""

    def spoil(folder: Path) -> None:
        raw = (folder / name).read_bytes()
        (folder / name).write_bytes(raw[: int(len(raw) * share)])

    return spoil


def gone(*names: str) -> Spoil:
    """Delete files."""
    return lambda folder: [(folder / name).unlink(missing_ok=True) for name in names]


def instead(name: str, make: Callable[[Path], object]) -> Spoil:
    """Put something that is no file in a file's place."""

    def spoil(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        make(folder / name)

    return spoil


def header(change: Callable[[dict[str, Any]], object]) -> Spoil:
    """Change the table of contents of the weights."""

    def spoil(folder: Path) -> None:
        raw = (folder / WEIGHTS).read_bytes()
        (size,) = struct.unpack("<Q", raw[:8])
        about = json.loads(raw[8 : 8 + size])
        change(about)
        head = json.dumps(about).encode()
        (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(head)) + head + raw[8 + size :])

    return spoil


def tensors(change: Callable[[dict[str, Any]], object]) -> Spoil:
    """Change the weights."""

    def spoil(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        found = dict(load_file(folder / WEIGHTS))
        change(found)
        save_file(found, folder / WEIGHTS, metadata={"format": "pt"})

    return spoil


def shards(weight_map: Any, **more: Any) -> Spoil:
    """Say in an index in which files the weights are."""

    def spoil(folder: Path) -> None:
        (folder / WEIGHTS).rename(folder / "part.safetensors")
        index = {"metadata": {"total_size": 100}, "weight_map": weight_map, **more}
        (folder / f"{WEIGHTS}.index.json").write_text(json.dumps(index))

    return spoil


def pickled(folder: Path) -> None:
    """Put weights that run code in the place of those that cannot."""
    import torch

    class Run:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {folder.parent}/ran",)

    (folder / WEIGHTS).unlink()
    torch.save({"a": Run()}, folder / "pytorch_model.bin")


def _first(found: dict[str, Any]) -> str:
    return next(name for name in found if name != "__metadata__")


Odd = Mapping[tuple[str, ...], tuple[Any, ...]]
"""Values by the keys under which they are put."""


def _values(what: str, file: str, odd: Odd) -> dict[str, Spoil]:
    """Return each odd value in its place in a file, by a name that says so."""
    return {
        f"{what} {'.'.join(keys)} = {json.dumps(one)[:40]}": value(file, *keys, to=one)
        for keys, values in odd.items()
        for one in values
    }


def _configs() -> dict[str, Spoil]:
    """Return odd values of the keys that decide what is built."""
    odd: Odd = {
        ("model_type",): (None, 3, "", "stranger", "bert", "t5", "clip", ["llava"]),
        ("architectures",): (3, ["Stranger"], [None]),
        ("vision_config",): (None, [], "clip", {}, {"model_type": "stranger"}),
        ("text_config",): (None, [], "llama", {}, {"model_type": "stranger"}),
        ("vision_feature_layer",): (None, "x", 7, -50, [[]], [-1, -2], NAN),
        ("vision_feature_select_strategy",): (None, "x", 3),
        ("image_token_index",): (None, "x", -1, 10**9),
        ("image_token_id",): (None, "x", -1, 10**9),
        ("image_seq_length",): (None, "x", -1, 10**9),
        ("tie_word_embeddings",): (None, "x", True),
        ("torch_dtype",): ("x", 3, "int8"),
        ("dtype",): ("x", 3, "int8"),
        ("attn_implementation",): ("x", 3, "stranger/kernel", "kernels-community/flash-attn"),
        ("quantization_config",): (3, {}, {"quant_method": "x"}, {"quant_method": "bitsandbytes"}),
        ("auto_map",): (3, {"AutoConfig": "brought.Config"}),
        ("text_config", "num_hidden_layers"): (None, "x", -1, 0, 1, 10**9, 1.5, NAN),
        ("text_config", "vocab_size"): (None, "x", -1, 0, 10, 10**12, 2.5),
        ("text_config", "hidden_size"): (None, "x", -1, 0, 7, 10**9),
        ("text_config", "intermediate_size"): (None, "x", -1, 0, 10**9),
        ("text_config", "num_attention_heads"): (None, "x", -1, 0, 5, 10**9),
        ("text_config", "num_key_value_heads"): (None, "x", 0, 3, 10**9),
        ("text_config", "head_dim"): ("x", 0, 10**9),
        ("text_config", "hidden_act"): (None, "x", 3, "__import__('os')"),
        ("text_config", "max_position_embeddings"): (None, "x", -1, 0, 10**12),
        ("text_config", "rope_parameters"): (3, [], {"rope_type": "x"}, {"rope_theta": "x"},
                                             {"rope_type": "yarn"}, {"rope_theta": 0}),
        ("text_config", "layer_types"): (3, ["x"], ["full_attention"] * 9),
        ("vision_config", "num_hidden_layers"): (None, "x", 0, 1, 10**9),
        ("vision_config", "hidden_size"): (None, "x", 0, 10**9),
        ("vision_config", "image_size"): (None, "x", 0, 7, 10**6, 10**9, NAN),
        ("vision_config", "patch_size"): (None, "x", 0, 5, 10**9, [8, 8]),
        ("vision_config", "num_channels"): (0, 1, 10**9),
    }  # fmt: skip
    return _values("config", "config.json", odd)


def _processors() -> dict[str, Spoil]:
    odd: Odd = {
        ("processor_class",): (None, 3, "Stranger", "pipeline", "AutoModel", "os"),
        ("image_processor",): (None, 3, [], {}, {"image_processor_type": "Stranger"}),
        ("image_processor", "image_processor_type"): (None, 3, "Stranger", "pipeline"),
        ("image_processor", "size"): (None, "x", 0, -5, 10**5, 10**9, {"height": 10**9,
                                      "width": 10**9}, {"shortest_edge": 10**6}, {"a": 1}, [[]]),
        ("image_processor", "crop_size"): ("x", 0, 10**9, {"height": 10**9, "width": 10**9}),
        ("image_processor", "resample"): ("x", 99, -1),
        ("image_processor", "image_mean"): (None, "x", [], [0.5], [NAN] * 3, 0.5),
        ("image_processor", "image_std"): ("x", [0, 0, 0], [NAN] * 3),
        ("image_processor", "rescale_factor"): ("x", NAN, 1e308),
        ("image_processor", "do_resize"): (None, False, "x"),
        ("image_processor", "do_normalize"): (None, "x"),
        ("patch_size",): (None, "x", 0, 3, 10**9),
        ("num_additional_image_tokens",): (None, "x", -5, 10**9),
        ("image_token",): (None, 3, "", "x", "<pad>", "USER"),
        ("vision_feature_select_strategy",): (None, "x"),
        ("auto_map",): ({"AutoProcessor": "brought.Processor"},),
        ("chat_template",): (3, "{{ 1/0 }}", "{% for", {"default": "x"}, [{"name": 3}]),
    }  # fmt: skip
    return _values("processor", "processor_config.json", odd)


def _small() -> dict[str, Spoil]:
    """Return odd values of the settings of generation and of the tokenizer."""
    found: dict[str, Spoil] = {}
    odd: dict[tuple[str, str], tuple[Any, ...]] = {
        ("generation_config", "eos_token_id"): (None, "x", -1, [], ["x"], 10**9, [[1]], {"a": 1}),
        ("generation_config", "pad_token_id"): ("x", -1, 10**9, [1]),
        ("generation_config", "temperature"): ("x", -1, NAN),
        ("generation_config", "num_beams"): ("x", 0, 10**9),
        ("generation_config", "cache_implementation"): ("x", 3, "static"),
        ("generation_config", "max_length"): ("x", -1, 10**12),
        ("generation_config", "stop_strings"): (3, [3], ["A"]),
        ("generation_config", "bad_words_ids"): (3, [[]], "x"),
        ("tokenizer_config", "tokenizer_class"): (None, 3, "Stranger", "pipeline", "BertTokenizer"),
        ("tokenizer_config", "model_max_length"): (None, "x", -1, 0, 10**30, NAN),
        ("tokenizer_config", "pad_token"): (None, 3, "", "x" * 1000, {"content": 3}),
        ("tokenizer_config", "eos_token"): (None, 3, {"a": 1}),
        ("tokenizer_config", "padding_side"): (None, 3, "x"),
        ("tokenizer_config", "extra_special_tokens"): (3, "x", [3], {"a": 3}),
        ("tokenizer_config", "added_tokens_decoder"): (3, {"x": {}}, {"0": 3}),
        ("tokenizer_config", "auto_map"): ({"AutoTokenizer": ["brought.Tokenizer", None]},),
        ("tokenizer", "model"): (None, 3, {}, {"type": "x"}, {"type": "BPE"}),
        ("tokenizer", "added_tokens"): (None, 3, [{}], [{"id": 0, "content": 3}]),
        ("tokenizer", "pre_tokenizer"): (3, {"type": "x"}, None),
        ("tokenizer", "decoder"): (3, {"type": "x"}, None),
    }  # fmt: skip
    for (file, key), values in odd.items():
        for one in values:
            name = f"{file} {key} = {json.dumps(one)[:40]}"
            found[name] = value(f"{file}.json", key, to=one)
    return found


JSONS = ("config", "processor_config", "generation_config", "tokenizer_config", "tokenizer")

SPOILT: dict[str, Spoil] = {
    **_configs(), **_processors(), **_small(),
    **{f"{name} is {what}": text(f"{name}.json", content) for name in JSONS
       for what, content in (("empty", ""), ("null", "null"), ("a list", "[]"), ("text", '"x"'),
                             ("{}", "{}"), ("deep", "[" * 100_000), ("bytes", b"\xff\xfe\x00"),
                             ("a long number", '{"a": ' + "9" * 5000 + "}"))},
    **{f"{name} cut at {share}": cut(f"{name}.json", share)
       for name in JSONS for share in (0.3, 0.9)},
    **{f"no {name}": gone(f"{name}.json") for name in JSONS},
    **{f"{name} is a {kind}": instead(f"{name}.json", make) for name in JSONS
       for kind, make in (("folder", Path.mkdir), ("pipe", os.mkfifo),
                          ("link to nothing", lambda path: path.symlink_to("nowhere")),
                          ("link to itself", lambda path: path.symlink_to(path.name)),
                          ("link outside", lambda path: path.symlink_to("/etc/passwd")))},
    "weights gone": gone(WEIGHTS),
    "weights empty": text(WEIGHTS, b""),
    "weights of 4 bytes": text(WEIGHTS, b"abcd"),
    "weights zeros": text(WEIGHTS, bytes(10_000)),
    "weights a long header": text(WEIGHTS, struct.pack("<Q", 2**62) + b"{}"),
    "weights no JSON": text(WEIGHTS, struct.pack("<Q", 4) + b"oops"),
    "weights a list": text(WEIGHTS, struct.pack("<Q", 2) + b"[]"),
    "weights none": text(WEIGHTS, struct.pack("<Q", 2) + b"{}"),
    "weights cut early": cut(WEIGHTS, 0.01),
    "weights cut": cut(WEIGHTS, 0.5),
    "weights cut late": cut(WEIGHTS, 0.999),
    "weights longer": lambda folder: (folder / WEIGHTS).write_bytes(
        (folder / WEIGHTS).read_bytes() + bytes(100)),
    "weights a folder": instead(WEIGHTS, Path.mkdir),
    "weights a pipe": instead(WEIGHTS, os.mkfifo),
    "weights a link to nothing": instead(WEIGHTS, lambda path: path.symlink_to("nowhere")),
    "one weight less": tensors(lambda found: found.pop(_first(found))),
    "one weight more": tensors(lambda found: found.update(more=found[_first(found)].clone())),
    "a weight of another shape": tensors(
        lambda found: found.update({_first(found): found[_first(found)][..., :-1].clone()})),
    "a weight of no dimension": tensors(
        lambda found: found.update({_first(found): found[_first(found)].flatten()[0].clone()})),
    "whole numbers": tensors(lambda found: found.update({k: v.int() for k, v in found.items()})),
    "halves": tensors(lambda found: found.update({k: v.half() for k, v in found.items()})),
    "all NaN": tensors(lambda found: [v.fill_(NAN) for v in found.values()]),
    "all infinite": tensors(lambda found: [v.fill_(INF) for v in found.values()]),
    "a dtype that is none": header(lambda about: about[_first(about)].update(dtype="F7")),
    "a shape that is none": header(lambda about: about[_first(about)].update(shape=["a"])),
    "a shape too large": header(lambda about: about[_first(about)].update(shape=[2**40, 2**40])),
    "a place that is none": header(lambda about: about[_first(about)].update(data_offsets=[9, 3])),
    "a place beyond": header(lambda about: about[_first(about)].update(data_offsets=[0, 2**60])),
    "a tensor that is none": header(lambda about: about.update(more=3)),
    "shards elsewhere": shards({"lm_head.weight": "../../../../etc/passwd"}),
    "shards at a root": shards({"lm_head.weight": "/etc/passwd"}),
    "shards that are not there": shards({"lm_head.weight": "part-2.safetensors"}),
    "shards of numbers": shards({"lm_head.weight": 3}),
    "shards a list": shards(["part.safetensors"]),
    "shards none": shards({}),
    "an index that is none": text(f"{WEIGHTS}.index.json", "[]"),
    "pickled weights": pickled,
    "a pickle that is none": lambda folder: (gone(WEIGHTS)(folder),
                                             text("pytorch_model.bin", b"\x80\x05K")(folder)),
    "an adapter of another model": text("adapter_config.json", json.dumps(
        {"peft_type": "LORA", "base_model_name_or_path": "/etc", "r": 4,
         "target_modules": ["q_proj"]})),
    "an adapter that is none": text("adapter_config.json", "[]"),
    "a template that is none": text("chat_template.jinja", "{% for"),
    "a template of bytes": text("chat_template.jinja", b"\xff\xfe"),
    "an empty template": text("chat_template.jinja", ""),
    "a template without images": text("chat_template.jinja", "hello"),
    "a template that reaches out": text(
        "chat_template.jinja", "{{ ''.__class__.__mro__[1].__subclasses__() }}"),
    "a long template": text("chat_template.jinja", "x" * 40_000_000),
    "code beside it": text("brought.py", "raise SystemExit"),
}  # fmt: skip
