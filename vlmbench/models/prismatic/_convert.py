"""From a Prismatic folder and timm weights to a LLaVA-class checkpoint of transformers.

The forward pass that is kept (https://github.com/TRI-ML/prismatic-vlms,
prismatic/models/backbones/vision/base_vision.py and prismatic/models/vlms/prismatic.py): the
output of the block before the last, without final norm and without class and register tokens,
through a two-layer GELU projector, between the start token and the text. Hidden state -2 of
transformers is that block's output.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from vlmbench.models.prismatic._encoders import SIDE, Encoder
from vlmbench.models.prismatic._ledger import Ledger, account
from vlmbench.models.prismatic._read import Source, read_encoder, read_source
from vlmbench.models.prismatic._text import IMAGE, PAD, chat_template, load_tokenizer, rows
from vlmbench.registry import MOST_LAYERS
from vlmbench.spec import load_file
from vlmbench.types import Problem, VlmbenchError

VICUNA = "lmsys/vicuna-7b-v1.5"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """What was written.

    Attributes:
        model_yaml: The model's YAML, next to its weights.
        filled: Tensors of the converted model that came from a source.
        zeros: Tensors that no source has and no output depends on.
        unused: Source entries that were left out, and why.
    """

    model_yaml: Path
    filled: int
    zeros: tuple[str, ...]
    unused: dict[str, str]


def convert(
    source: Path, target: Path, *, encoder: str | None = None, tokenizer: str = VICUNA
) -> Conversion:
    """Write a Prismatic model as a LLaVA-class checkpoint with processor and model YAML.

    Numbers keep the precision they were stored with. The YAML is written next to `target` and named
    after the model. If there is one already and it names `target`, it is left alone.

    Args:
        source: Folder with `config.json` and `checkpoints/latest-checkpoint.pt`.
        target: Folder to write; it must not exist or be empty.
        encoder: File, folder or hub id of the encoder's timm weights; if None, wherever timm itself
            takes them from.
        tokenizer: Folder or hub id of Vicuna v1.5.

    Raises:
        VlmbenchError: With every tensor that is missing, of a wrong shape or unexpected.
    """
    if target.exists() and any(target.iterdir()):
        raise VlmbenchError(Problem(file=str(target), message="exists and is not empty"))
    read = read_source(source)
    model_yaml = _model_yaml(read, target)
    text = load_tokenizer(tokenizer, read.max_length)
    _check_rows(read.tensors, rows(text))
    tower, others = read_encoder(read.encoder, encoder)
    model = _empty(_config(read, tower, text))
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    ledger = account(shapes, read.tensors, tower, read.encoder)
    processor = _processor(read.encoder, model.config, text)
    model.load_state_dict(ledger.state, strict=True, assign=True)
    target.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(target)
    processor.save_pretrained(target)
    unused = {**read.unused, **others, **ledger.unused}
    _record(read, ledger, unused, target)
    if not model_yaml.exists():
        model_yaml.write_text(_spec(read, target), encoding="utf-8")
    zeros = tuple(name for name, origin in ledger.sources.items() if not origin)
    filled = len(ledger.sources) - len(zeros)
    return Conversion(model_yaml=model_yaml, filled=filled, zeros=zeros, unused=unused)


def _model_yaml(read: Source, target: Path) -> Path:
    """Return where the model's YAML goes.

    Raises:
        VlmbenchError: Another model's YAML is there.
    """
    path = target.parent / f"{read.model_id}.yaml"
    if path.exists():
        found = load_file(path).spec
        named = getattr(found, "checkpoint", None)
        if named is None or (path.parent / named).resolve() != target.resolve():
            message = f"is the YAML of another checkpoint ({named})"
            raise VlmbenchError(
                Problem(file=str(path), message=message, remedy="Convert into another folder.")
            )
    return path


def _check_rows(tensors: dict[str, Tensor], wanted: int) -> None:
    names = ("llm_backbone.llm.model.embed_tokens.weight", "llm_backbone.llm.lm_head.weight")
    problems = [
        Problem(
            message=f"{name} has {len(tensors[name])} rows, but the tokenizer with {PAD} makes "
            f"{wanted}",
            remedy="Give the tokenizer of the language model the checkpoint was trained from.",
        )
        for name in names
        if name in tensors and len(tensors[name]) != wanted
    ]
    if problems:
        raise VlmbenchError(problems)


def _config(read: Source, tower: dict[str, Tensor], tokenizer: Any) -> Any:
    """Return the LLaVA config, sizes read off the tensors."""
    from transformers import LlavaConfig

    embedding, gate = _sized(read.tensors, tower)
    try:
        layers = {int(name.split(".")[4]) for name in read.tensors if ".model.layers." in name}
        vision = read.encoder.config(tower)
        patches = (SIDE // vision["patch_size"]) ** 2
        if 1 + max(*layers, vision["num_hidden_layers"]) > MOST_LAYERS:
            raise ValueError(f"more than {MOST_LAYERS:,} layers")
    except (ValueError, IndexError, TypeError, ZeroDivisionError) as error:
        message = f"its tensors are not named or shaped as those of {read.model_id}: {error}"
        raise VlmbenchError(Problem(message=message)) from error
    return LlavaConfig(
        vision_config=vision,
        text_config={
            "model_type": "llama",
            "vocab_size": embedding.shape[0],
            "hidden_size": embedding.shape[1],
            "intermediate_size": gate.shape[0],
            "num_hidden_layers": 1 + max(layers),
            "num_attention_heads": read.heads,
            "max_position_embeddings": 4096,
            "rms_norm_eps": 1e-5,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        image_seq_length=patches,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default" if read.encoder.class_token else "full",
    )


def _sized(tensors: dict[str, Tensor], tower: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return the language model's embedding and a gate, off which its sizes are read.

    Raises:
        VlmbenchError: One of the tensors that sizes are read off is missing.
    """
    llama = (
        "llm_backbone.llm.model.embed_tokens.weight",
        "llm_backbone.llm.model.layers.0.mlp.gate_proj.weight",
    )
    vit = ("patch_embed.proj.weight", "blocks.0.mlp.fc1.weight")
    missing = [name for name in llama if name not in tensors]
    missing += [f"encoder {name}" for name in vit if name not in tower]
    if missing:
        raise VlmbenchError(Problem(message=f"{name} is missing") for name in missing)
    return tensors[llama[0]], tensors[llama[1]]


def _empty(config: Any) -> Any:
    """Return the model without storage for its weights."""
    from transformers import GenerationConfig, LlavaForConditionalGeneration

    with torch.device("meta"):
        model = LlavaForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        bos_token_id=config.text_config.bos_token_id,
        eos_token_id=config.text_config.eos_token_id,
        pad_token_id=config.text_config.pad_token_id,
    )
    return model


def _processor(encoder: Encoder, config: Any, tokenizer: Any) -> Any:
    """Return the processor for images that the model YAML's policy has letterboxed already."""
    from transformers import CLIPImageProcessorPil, LlavaProcessor

    square = {"height": SIDE, "width": SIDE}
    return LlavaProcessor(
        image_processor=CLIPImageProcessorPil(
            size=square,
            crop_size=square,
            do_center_crop=False,
            image_mean=list(encoder.mean),
            image_std=list(encoder.std),
        ),
        tokenizer=tokenizer,
        patch_size=config.vision_config.patch_size,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        num_additional_image_tokens=int(encoder.class_token),
        image_token=IMAGE,
        chat_template=chat_template(tokenizer),
    )


def _record(read: Source, ledger: Ledger, unused: dict[str, str], target: Path) -> None:
    """Write `conversion.json`, which says where every tensor came from."""
    record = {
        "model": read.model_id,
        "encoder": read.encoder.timm,
        "tensors": ledger.sources,
        "unused": unused,
    }
    (target / "conversion.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _spec(read: Source, target: Path) -> str:
    """Return the model's YAML."""
    return yaml.safe_dump(
        {
            "model": read.model_id,
            "backend": "hf",
            "checkpoint": f"./{target.name}",
            "image": {
                "letterbox": SIDE,
                "fill": list(read.encoder.fill),
                "padding": "even",
                "several": "join",
            },
            "twin": {
                "layer": -2,
                "pooled": "cls" if read.encoder.class_token else "mean",
                "relation": "identical",
                "of": f"timm/{read.encoder.timm}",
                "of_relation": "identical",
            },
            "source": "https://huggingface.co/TRI-ML/prismatic-vlms",
        },
        sort_keys=False,
    )
