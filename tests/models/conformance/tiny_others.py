"""Tiny checkpoints of families with packed patches, prefixes or cross-attention."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers as tf
from tiny_parts import (
    PATCH,
    SIDE,
    SQUARE,
    TOKENS,
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

QWEN_IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
QWEN_TOKENS = {
    "image_token_id": token("<|image_pad|>"), "video_token_id": token("<|video_pad|>"),
    "vision_start_token_id": token("<|vision_start|>"),
    "vision_end_token_id": token("<|vision_end|>"),
}  # fmt: skip
MROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 2, 2]}


def qwen_pixels(patch: int = PATCH) -> Any:
    return image_processor(
        "Qwen2VLImageProcessor", patch_size=patch, merge_size=2, temporal_patch_size=2,
        size={"shortest_edge": 16 * 16, "longest_edge": 2 * 64 * 64},
    )  # fmt: skip


def qwen2_vl(folder: Path) -> None:
    config = tf.Qwen2VLConfig(
        vision_config={
            "depth": 3, "embed_dim": 32, "hidden_size": 48, "num_heads": 2, "mlp_ratio": 2,
            "patch_size": PATCH, "spatial_merge_size": 2, "temporal_patch_size": 2,
        },
        text_config=text_config(rope_parameters=MROPE), **QWEN_TOKENS,
    )  # fmt: skip
    save(folder, "Qwen2VLForConditionalGeneration", config, filmless("Qwen2VLProcessor")(
        qwen_pixels(), tokenizer(), videos("Qwen2VLVideoProcessor"),
        chat_template=template(QWEN_IMAGE),
    ))  # fmt: skip


def qwen2_5_vl(folder: Path) -> None:
    config = tf.Qwen2_5_VLConfig(
        vision_config={
            "depth": 3, "hidden_size": 32, "out_hidden_size": 48, "num_heads": 2,
            "intermediate_size": 48, "patch_size": PATCH, "spatial_merge_size": 2,
            "temporal_patch_size": 2, "window_size": 32, "fullatt_block_indexes": [2],
        },
        text_config=text_config(rope_parameters=MROPE), **QWEN_TOKENS,
    )  # fmt: skip
    save(folder, "Qwen2_5_VLForConditionalGeneration", config, filmless("Qwen2_5_VLProcessor")(
        qwen_pixels(), tokenizer(), videos("Qwen2VLVideoProcessor"),
        chat_template=template(QWEN_IMAGE),
    ))  # fmt: skip


def qwen3_vl(folder: Path) -> None:
    config = tf.Qwen3VLConfig(
        vision_config={
            "depth": 3, "hidden_size": 32, "out_hidden_size": 48, "num_heads": 2,
            "intermediate_size": 48, "patch_size": PATCH, "spatial_merge_size": 2,
            "temporal_patch_size": 2, "num_position_embeddings": TOKENS,
            "deepstack_visual_indexes": [0, 1],
        },
        text_config=text_config(
            head_dim=12, rope_parameters={**MROPE, "mrope_interleaved": True}
        ),
        **QWEN_TOKENS,
    )  # fmt: skip
    save(folder, "Qwen3VLForConditionalGeneration", config, filmless("Qwen3VLProcessor")(
        qwen_pixels(), tokenizer(), videos("Qwen3VLVideoProcessor"),
        chat_template=template(QWEN_IMAGE),
    ))  # fmt: skip


def glm4v(folder: Path) -> None:
    config = tf.Glm4vConfig(
        vision_config={
            "depth": 3, "hidden_size": 32, "out_hidden_size": 48, "num_heads": 2,
            "intermediate_size": 48, "patch_size": PATCH, "image_size": SIDE,
            "spatial_merge_size": 2, "temporal_patch_size": 2,
        },
        text_config=text_config(rope_parameters={**MROPE, "partial_rotary_factor": 1.0}),
        image_token_id=token("<|image|>"), video_token_id=token("<|video|>"),
        image_start_token_id=token("<|begin_of_image|>"),
        image_end_token_id=token("<|end_of_image|>"),
        video_start_token_id=token("<|begin_of_video|>"),
        video_end_token_id=token("<|end_of_video|>"),
    )  # fmt: skip
    pixels = image_processor(
        "Glm4vImageProcessor", patch_size=PATCH, merge_size=2, temporal_patch_size=2,
        size={"shortest_edge": 16 * 16, "longest_edge": 2 * 64 * 64},
    )  # fmt: skip
    save(folder, "Glm4vForConditionalGeneration", config, filmless("Glm4vProcessor")(
        pixels, tokenizer(), videos("Glm4vVideoProcessor"),
        chat_template=template("<|begin_of_image|><|image|><|end_of_image|>"),
    ))  # fmt: skip


def gemma3(folder: Path) -> None:
    config = tf.Gemma3Config(
        vision_config=siglip(), mm_tokens_per_image=4,
        text_config=text_config(
            head_dim=12, sliding_window=16, query_pre_attn_scalar=12,
            layer_types=["sliding_attention", "full_attention"],
        ),
        boi_token_index=token("<start_of_image>"), eoi_token_index=token("<end_of_image>"),
        image_token_index=token("<image_soft_token>"),
    )  # fmt: skip
    words = tokenizer(
        bos=True, boi_token="<start_of_image>", eoi_token="<end_of_image>",
        image_token="<image_soft_token>",
    )  # fmt: skip
    pixels = image_processor("Gemma3ImageProcessor", size=SQUARE)
    save(folder, "Gemma3ForConditionalGeneration", config, tf.Gemma3Processor(
        pixels, words, image_seq_length=4, chat_template=template("<start_of_image>", start="<s>"),
    ))  # fmt: skip


def paligemma(folder: Path) -> None:
    config = tf.PaliGemmaConfig(
        # Like SigLIP's 384 pixels in patches of 14, no whole number of patches.
        vision_config=siglip(projection_dim=48, image_size=SIDE + 2),
        projection_dim=48, hidden_size=48,
        text_config=text_config(model_type="gemma", head_dim=12),
        image_token_index=token("<image>"),
    )  # fmt: skip
    size = {"height": SIDE + 2, "width": SIDE + 2}
    pixels = image_processor("SiglipImageProcessor", size=size)
    pixels.image_seq_length = TOKENS
    words = tokenizer(image_token="<image>")
    save(folder, "PaliGemmaForConditionalGeneration", config, tf.PaliGemmaProcessor(pixels, words))


def mistral3(folder: Path) -> None:
    config = tf.Mistral3Config(
        vision_config=vision_config(model_type="pixtral", head_dim=16),
        text_config=text_config(model_type="mistral", head_dim=12, sliding_window=None),
        image_token_index=token("[IMG]"), spatial_merge_size=2,
    )  # fmt: skip
    pixels = image_processor(
        "PixtralImageProcessor", patch_size=2 * PATCH, size={"longest_edge": SIDE}
    )
    save(folder, "Mistral3ForConditionalGeneration", config, tf.PixtralProcessor(
        pixels, tokenizer(bos=True), patch_size=PATCH, spatial_merge_size=2,
        chat_template=template("[IMG]", start="<s>"),
    ))  # fmt: skip


def mllama(folder: Path) -> None:
    config = tf.MllamaConfig(
        vision_config=vision_config(
            num_global_layers=1, attention_heads=2, intermediate_layers_indices=[1],
            vision_output_dim=64, max_num_tiles=4,
        ),
        text_config=text_config(num_hidden_layers=3, cross_attention_layers=[1]),
        image_token_index=token("<|image|>"),
    )  # fmt: skip
    pixels = image_processor("MllamaImageProcessor", size=SQUARE, max_image_tiles=4)
    save(folder, "MllamaForConditionalGeneration", config, tf.MllamaProcessor(
        pixels, tokenizer(bos=True), chat_template=template("<|image|>", start="<s>"),
    ))  # fmt: skip


def llama4(folder: Path) -> None:
    config = tf.Llama4Config(
        vision_config=vision_config(
            vision_output_dim=40, projector_input_dim=40, projector_output_dim=40,
            intermediate_size=128,
        ),
        text_config=text_config(
            head_dim=12, intermediate_size_mlp=64, num_local_experts=2, attention_chunk_size=16,
            no_rope_layers=[1, 0],  # the second sees all chunks
        ),
        boi_token_index=token("<|image_start|>"), eoi_token_index=token("<|image_end|>"),
        image_token_index=token("<|patch|>"),
    )  # fmt: skip
    pixels = tf.Llama4ImageProcessor(size=SQUARE, max_patches=4)
    save(folder, "Llama4ForConditionalGeneration", config, tf.Llama4Processor(
        pixels, tokenizer(), patch_size=PATCH, chat_template=template("<|image|>"),
    ))  # fmt: skip


def phi4_multimodal(folder: Path) -> None:
    config = tf.Phi4MultimodalConfig(
        vision_config=vision_config(
            image_size=64, crop_size=64, patch_size=2, image_token_id=token("<|image|>")
        ),  # its processor counts on 32 x 32 patches
        audio_config={
            "hidden_size": 32, "intermediate_size": 32, "num_blocks": 1, "num_attention_heads": 2,
            "ext_pw_out_channel": 32, "depthwise_separable_out_channel": 32,
            "nemo_conv_channels": 32, "input_size": 16, "time_reduction": 2,
            "audio_token_id": token("<|audio|>"), "bias_max_distance": 10,
        },
        **text_config(),
    )  # fmt: skip
    size = {"height": 64, "width": 64}
    pixels = tf.Phi4MultimodalImageProcessor(size=size, patch_size=2, dynamic_hd=4)
    sounds = tf.Phi4MultimodalFeatureExtractor(feature_size=16)
    words = tokenizer(image_token="<|image|>", audio_token="<|audio|>")
    older = (
        "{% for message in messages %}{{ message['role'] + ': ' + message['content'] }} "
        "{% endfor %}ASSISTANT:"
    )
    save(folder, "Phi4MultimodalForCausalLM", config, tf.Phi4MultimodalProcessor(
        pixels, sounds, words, chat_template=older,
    ))  # fmt: skip


def lfm2_vl(folder: Path) -> None:
    config = tf.Lfm2VlConfig(
        vision_config=vision_config(model_type="siglip2_vision_model", num_patches=TOKENS * 4),
        text_config=text_config(
            model_type="lfm2", num_hidden_layers=2, layer_types=["conv", "full_attention"],
            block_ff_dim=64, block_multiple_of=8,
        ),
        image_token_id=token("<image>"), projector_hidden_size=64, downsample_factor=2,
    )  # fmt: skip
    pixels = tf.Lfm2VlImageProcessor(
        encoder_patch_size=PATCH, tile_size=2 * SIDE, min_image_tokens=4, max_image_tokens=16,
        max_num_patches=64, do_image_splitting=False,
    )  # fmt: skip
    words = tokenizer(
        image_token="<image>", image_start_token="<|image_start|>", image_end_token="<|image_end|>"
    )
    save(folder, "Lfm2VlForConditionalGeneration", config, tf.Lfm2VlProcessor(pixels, words))
