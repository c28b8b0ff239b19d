"""Tiny checkpoints of LLaVA, its kin, and others that cut images into tiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers as tf
from tiny_parts import (
    PATCH,
    PINPOINTS,
    SIDE,
    SQUARE,
    TOKENS,
    clip,
    filmless,
    image_processor,
    save,
    siglip,
    template,
    text_config,
    token,
    tokenizer,
    videos,
    vision_config,
)


def llava(folder: Path) -> None:
    config = tf.LlavaConfig(
        vision_config=clip(), text_config=text_config(model_type="llama"),
        image_token_index=token("<image>"), image_seq_length=TOKENS,
    )  # fmt: skip
    pixels = image_processor("CLIPImageProcessor", size={"shortest_edge": SIDE}, crop_size=SQUARE)
    save(folder, "LlavaForConditionalGeneration", config, tf.LlavaProcessor(
        pixels, tokenizer(bos=True), patch_size=PATCH, vision_feature_select_strategy="default",
        num_additional_image_tokens=1, chat_template=template("<image>", start="<s>"),
    ))  # fmt: skip


def llava_next(folder: Path) -> None:
    config = tf.LlavaNextConfig(
        vision_config=clip(), text_config=text_config(model_type="llama"),
        image_token_index=token("<image>"), image_grid_pinpoints=PINPOINTS,
    )  # fmt: skip
    save_next(folder, config, "default", extra=1)


def granite_vision(folder: Path) -> None:
    config = tf.LlavaNextConfig(
        vision_config=siglip(), text_config=text_config(model_type="granite"),
        image_token_index=token("<image>"), image_grid_pinpoints=PINPOINTS,
        vision_feature_layer=[-3, -2, -1], vision_feature_select_strategy="full",
    )  # fmt: skip
    save_next(folder, config, "full", extra=0)


def save_next(folder: Path, config: Any, strategy: str, *, extra: int) -> None:
    pixels = image_processor(
        "LlavaNextImageProcessor", size={"shortest_edge": SIDE}, crop_size=SQUARE,
        image_grid_pinpoints=PINPOINTS,
    )  # fmt: skip
    save(folder, "LlavaNextForConditionalGeneration", config, tf.LlavaNextProcessor(
        pixels, tokenizer(), patch_size=PATCH, vision_feature_select_strategy=strategy,
        num_additional_image_tokens=extra, chat_template=template("<image>"),
    ))  # fmt: skip


def granite4_vision(folder: Path) -> None:
    config = tf.Granite4VisionConfig(
        vision_config=clip(hidden_size=64), text_config=text_config(num_hidden_layers=6),
        image_token_index=token("<image>"), image_grid_pinpoints=PINPOINTS,
        downsample_rate="1/2", deepstack_layer_map=[[-2, 0], [-1, 1]], spatial_vision_layer=-1,
        spatial_target_layers=[2, 3, 4, 5], projector_dropout=0.0,
    )  # fmt: skip
    pixels = image_processor(
        "LlavaNextImageProcessor", size={"shortest_edge": SIDE}, crop_size=SQUARE,
        image_grid_pinpoints=PINPOINTS,
    )  # fmt: skip
    save(folder, "Granite4VisionForConditionalGeneration", config, tf.Granite4VisionProcessor(
        pixels, tokenizer(), patch_size=PATCH, vision_feature_select_strategy="default",
        num_additional_image_tokens=1, downsample_rate="1/2", chat_template=template("<image>"),
    ))  # fmt: skip


def llava_onevision(folder: Path) -> None:
    config = tf.LlavaOnevisionConfig(
        vision_config=siglip(), text_config=text_config(model_type="qwen2"),
        image_token_index=token("<image>"), video_token_index=token("<video>"),
        image_grid_pinpoints=PINPOINTS,
    )  # fmt: skip
    pixels = image_processor(
        "LlavaOnevisionImageProcessor", size=SQUARE, image_grid_pinpoints=PINPOINTS
    )
    processor = filmless("LlavaOnevisionProcessor")
    save(folder, "LlavaOnevisionForConditionalGeneration", config, processor(
        pixels, tokenizer(), videos("LlavaOnevisionVideoProcessor"), num_image_tokens=TOKENS,
        vision_feature_select_strategy="full", chat_template=template("<image>"),
    ))  # fmt: skip


def internvl(folder: Path) -> None:
    config = tf.InternVLConfig(
        vision_config=vision_config(image_size=[SIDE, SIDE], patch_size=[PATCH, PATCH]),
        text_config=text_config(model_type="qwen2"), image_token_id=token("<IMG_CONTEXT>"),
        image_seq_length=TOKENS // 4,
    )  # fmt: skip
    pixels = image_processor(
        "GotOcr2ImageProcessor", size=SQUARE, crop_to_patches=True, max_patches=4
    )
    words = tokenizer(
        start_image_token="<img>", end_image_token="</img>", context_image_token="<IMG_CONTEXT>",
        video_token="<video>",
    )  # fmt: skip
    save(folder, "InternVLForConditionalGeneration", config, filmless("InternVLProcessor")(
        pixels, words, videos("InternVLVideoProcessor"), image_seq_length=TOKENS // 4,
        chat_template=template("<IMG_CONTEXT>"),
    ))  # fmt: skip


def idefics3(folder: Path) -> None:
    save_idefics(folder, "Idefics3")


def smolvlm(folder: Path) -> None:
    save_idefics(folder, "SmolVLM", videos("SmolVLMVideoProcessor"))


def save_idefics(folder: Path, family: str, *more: Any) -> None:
    config = getattr(tf, f"{family}Config")(
        vision_config=vision_config(), scale_factor=2, image_token_id=token("<image>"),
        text_config=text_config(model_type="llama"), pad_token_id=0,
    )  # fmt: skip
    pixels = image_processor(
        f"{family}ImageProcessor", size={"longest_edge": 2 * SIDE},
        max_image_size={"longest_edge": SIDE},
    )  # fmt: skip
    save(folder, f"{family}ForConditionalGeneration", config, getattr(tf, f"{family}Processor")(
        pixels, tokenizer(), *more, image_seq_len=TOKENS // 4, chat_template=template("<image>"),
    ))  # fmt: skip


def aya_vision(folder: Path) -> None:
    config = tf.AyaVisionConfig(
        vision_config=siglip(), downsample_factor=2, image_token_index=token("<|IMG_PATCH|>"),
        text_config=text_config(
            model_type="cohere2", sliding_window=8,
            layer_types=["sliding_attention", "full_attention"],
        ),
    )  # fmt: skip
    pixels = image_processor(
        "GotOcr2ImageProcessor", size=SQUARE, crop_to_patches=True, max_patches=4
    )
    save(folder, "AyaVisionForConditionalGeneration", config, tf.AyaVisionProcessor(
        pixels, tokenizer(), patch_size=PATCH, img_size=SIDE, downsample_factor=2,
        chat_template=template("<image>"),
    ))  # fmt: skip


def deepseek_vl(folder: Path) -> None:
    config = tf.DeepseekVLConfig(
        vision_config=siglip(), text_config=text_config(model_type="llama"),
        image_token_id=token("<image>"),
    )  # fmt: skip
    pixels = image_processor("DeepseekVLImageProcessor", size=SQUARE)
    save(folder, "DeepseekVLForConditionalGeneration", config, tf.DeepseekVLProcessor(
        pixels, tokenizer(image_token="<image>"), num_image_tokens=TOKENS,
        chat_template=template("<image>"),
    ))  # fmt: skip


def cohere2_vision(folder: Path) -> None:
    config = tf.Cohere2VisionConfig(
        vision_config=siglip(), downsample_factor=2, alignment_intermediate_size=64,
        image_token_id=token("<|IMG_PATCH|>"),
        text_config=text_config(
            model_type="cohere2", sliding_window=8,
            layer_types=["sliding_attention", "full_attention"],
        ),
    )  # fmt: skip
    words = tokenizer(
        boi_token="<|START_OF_IMG|>", eoi_token="<|END_OF_IMG|>", image_token="<|IMG_PATCH|>",
        img_line_break_token="<|IMG_LINE_BREAK|>",
    )  # fmt: skip
    pixels = tf.Cohere2VisionImageProcessor(size=SQUARE, max_patches=4)
    pixels.patch_size = SIDE // PATCH // 2  # the side of a tile in tokens
    save(folder, "Cohere2VisionForConditionalGeneration", config, tf.Cohere2VisionProcessor(
        pixels, words, chat_template=template("<|IMG_PATCH|>"),
    ))  # fmt: skip


def perception_lm(folder: Path) -> None:
    config = tf.PerceptionLMConfig(
        vision_config={
            "model_type": "timm_wrapper", "architecture": "vit_pe_core_tiny_patch16_384",
            "do_pooling": True, "num_classes": 0, "global_pool": "map",
            "model_args": {
                "embed_dim": 32, "depth": 3, "num_heads": 2, "img_size": [SIDE, SIDE],
                "patch_size": PATCH, "use_post_transformer_norm": False, "global_pool": "",
                "ref_feat_shape": [4, 4],
            },
        },
        text_config=text_config(model_type="llama"), projector_pooling_ratio=2,
        image_token_id=token("<|image|>"), video_token_id=token("<|video|>"),
    )  # fmt: skip
    pixels = tf.PerceptionLMImageProcessor(tile_size=SIDE, max_num_tiles=4)
    words = tokenizer(image_token="<|image|>", video_token="<|video|>")
    save(folder, "PerceptionLMForConditionalGeneration", config, tf.PerceptionLMProcessor(
        tf.PerceptionLMVideoProcessor(), pixels, words, patch_size=PATCH, pooling_ratio=2,
        chat_template=template("<|image|>"),
    ))  # fmt: skip


def fast_vlm(folder: Path) -> None:
    config = tf.FastVlmConfig(
        vision_config={
            "model_type": "timm_wrapper", "architecture": "fastvit_mci0", "do_pooling": True,
            "global_pool": "avg", "hidden_size": 256, "num_classes": 0,
            "model_args": {
                "layers": [1, 1, 1, 1], "embed_dims": [16, 32, 64, 128], "inference_mode": True,
            },
        },
        text_config=text_config(model_type="qwen2"), image_token_index=token("<image>"),
        image_seq_length=4,
    )  # fmt: skip
    size = {"height": 64, "width": 64}
    pixels = image_processor("CLIPImageProcessor", size={"shortest_edge": 64}, crop_size=size)
    save(folder, "FastVlmForConditionalGeneration", config, tf.LlavaProcessor(
        pixels, tokenizer(), patch_size=32, vision_feature_select_strategy="full",
        num_additional_image_tokens=0, chat_template=template("<image>"),
    ))  # fmt: skip
