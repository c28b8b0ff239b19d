"""Tiny checkpoints of families that transformers lists and that vlmbench cannot ask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers as tf
from tiny_parts import (
    SIDE,
    SQUARE,
    VOCABULARY,
    image_processor,
    save,
    text_config,
    token,
    tokenizer,
    vision_config,
)

PIXELS = {"size": {"shortest_edge": SIDE}, "crop_size": SQUARE}
BART = {
    "vocab_size": VOCABULARY, "d_model": 48, "encoder_layers": 2, "decoder_layers": 2,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    "decoder_start_token_id": 2, "forced_eos_token_id": None,
}  # fmt: skip


def git(folder: Path) -> None:
    config = tf.GitConfig(
        vision_config=vision_config(), vocab_size=VOCABULARY, hidden_size=48, num_hidden_layers=2,
        num_attention_heads=4, intermediate_size=64, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    pixels = image_processor("CLIPImageProcessor", **PIXELS)
    save(folder, "GitForCausalLM", config, tf.GitProcessor(pixels, tokenizer()))


def kosmos2(folder: Path) -> None:
    words = tokenizer()
    words.unk_token = "<s>"  # the image's tokens are those after it
    pixels = image_processor("CLIPImageProcessor", **PIXELS)
    processor = tf.Kosmos2Processor(pixels, words, num_patch_index_tokens=4)
    text = {
        "vocab_size": len(processor.tokenizer), "embed_dim": 48, "layers": 2, "ffn_dim": 64,
        "attention_heads": 4, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    config = tf.Kosmos2Config(vision_config=vision_config(), text_config=text)
    save(folder, "Kosmos2ForConditionalGeneration", config, processor)


def blip(folder: Path) -> None:
    text = text_config(encoder_hidden_size=32, sep_token_id=2)
    text.pop("num_key_value_heads")
    config = tf.BlipConfig(vision_config=vision_config(), text_config=text)
    pixels = image_processor("BlipImageProcessor", size=SQUARE)
    save(folder, "BlipForConditionalGeneration", config, tf.BlipProcessor(pixels, tokenizer()))


def blip2(folder: Path) -> None:
    save_blip2(folder, {
        "model_type": "opt", "vocab_size": VOCABULARY, "hidden_size": 48, "ffn_dim": 64,
        "num_hidden_layers": 2, "num_attention_heads": 4, "word_embed_proj_dim": 48,
        "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    })  # fmt: skip


def blip2_t5(folder: Path) -> None:
    save_blip2(folder, {
        "model_type": "t5", "vocab_size": VOCABULARY, "d_model": 48, "d_ff": 64, "d_kv": 12,
        "num_layers": 2, "num_heads": 4, "pad_token_id": 0, "eos_token_id": 2,
        "decoder_start_token_id": 0,
    })  # fmt: skip


def save_blip2(folder: Path, text: dict[str, Any]) -> None:
    config = tf.Blip2Config(
        vision_config=vision_config(), text_config=text, num_query_tokens=4,
        qformer_config={
            "vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2,
            "num_attention_heads": 2, "intermediate_size": 48,
        },
        image_token_index=token("<image>"),
    )  # fmt: skip
    pixels = image_processor("BlipImageProcessor", size=SQUARE)
    words = tokenizer()
    save(folder, "Blip2ForConditionalGeneration", config, tf.Blip2Processor(
        pixels, words, num_query_tokens=4
    ))  # fmt: skip


def florence2(folder: Path) -> None:
    config = tf.Florence2Config(
        vision_config={
            "depths": [1, 1, 1, 1], "embed_dim": [8, 16, 24, 32], "num_heads": [1, 2, 2, 2],
            "num_groups": [1, 2, 2, 2], "window_size": 4, "projection_dim": 48,
        },
        text_config={"model_type": "bart", **BART}, image_token_id=token("<image>"),
        bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    pixels = image_processor("CLIPImageProcessor", size=SQUARE, do_center_crop=False)
    pixels.image_seq_length = 5
    words = tokenizer(image_token="<image>")
    save(folder, "Florence2ForConditionalGeneration", config, tf.Florence2Processor(pixels, words))
