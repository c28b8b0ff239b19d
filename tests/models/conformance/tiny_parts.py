"""Pieces of tiny checkpoints: a tokenizer with every family's tokens, configs, processors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers as tf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers.utils import is_torchvision_available
from transformers.video_processing_utils import VideoProcessorMixin

SIDE, PATCH = 32, 8
TOKENS = (SIDE // PATCH) ** 2
_NAMED = """
<pad> <s> </s> <image> <video> <|image|> <|video|> <|image_pad|> <|video_pad|> <|vision_start|>
<|vision_end|> <img> </img> <IMG_CONTEXT> <fake_token_around_image> <global-img>
<end_of_utterance> <start_of_image> <end_of_image> <image_soft_token> [IMG] [IMG_BREAK] [IMG_END]
<|audio|> <|START_OF_IMG|> <|END_OF_IMG|> <|IMG_PATCH|> <|IMG_LINE_BREAK|> TILE TILE_GLOBAL
<|begin_of_image|> <|end_of_image|> <|begin_of_video|> <|end_of_video|> <|image_start|>
<|image_end|> <|patch|> <|tile_x_separator|> <|tile_y_separator|> <|python_tag|>
"""
SPECIAL = [
    *_NAMED.split(),
    *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)),
    *(f"TILE_{tile}" for tile in range(1, 13)),
]


class NoVideos(VideoProcessorMixin):
    """Fills a processor's slot for videos where torchvision, which videos need, is absent."""

    def to_dict(self) -> dict[str, Any]:
        return {}


def filmless(kind: str) -> type:
    """Return a processor's class that takes `NoVideos` too; its files look the same."""

    def check(self: Any, name: str, argument: Any) -> Any:
        return NoVideos if name == "video_processor" else real(self, name, argument)

    made = getattr(tf, kind)
    real = made.check_argument_for_proper_class
    if is_torchvision_available():
        return made
    return type(kind, (made,), {"check_argument_for_proper_class": check})


def tokenizer(*, bos: bool = False, **named: str) -> Any:
    """Return a byte-level tokenizer; `bos` puts `<s>` before every text, as Llama's does."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    inner.train_from_iterator(["USER: Which is nearer, A or B? red blue ASSISTANT: A B C"], trainer)
    if bos:
        inner.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A $B:1", special_tokens=[("<s>", inner.token_to_id("<s>"))]
        )
    return tf.PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        eos_token="</s>",
        bos_token="<s>",
        extra_special_tokens=named or list(SPECIAL[3:]),
    )


def token(name: str) -> int:
    """Return a special token's id, the same in every tokenizer here."""
    return SPECIAL.index(name)


def template(image: str, *, start: str = "") -> str:
    """Return a chat template that writes `image` for an image."""
    return (
        start + "{% for message in messages %}{{ message['role'].upper() }}: "
        "{% for part in message['content'] %}"
        "{% if part['type'] == 'image' %}" + image + "{% else %}{{ part['text'] }}{% endif %}"
        "{% endfor %} {% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
    )


def text_config(**more: Any) -> dict[str, Any]:
    """Return the keys of a tiny language model."""
    return {
        "vocab_size": VOCABULARY, "hidden_size": 48, "intermediate_size": 64,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": 4096, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
        **more,
    }  # fmt: skip


def vision_config(**more: Any) -> dict[str, Any]:
    """Return the keys of a tiny vision transformer."""
    return {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
        "num_attention_heads": 2, "image_size": SIDE, "patch_size": PATCH, **more,
    }  # fmt: skip


def save(folder: Path, kind: str, config: Any, processor: Any) -> None:
    """Draw the weights, so that an image changes an answer and no gate is shut, and write."""
    torch.manual_seed(0)
    model = getattr(tf, kind)(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=1.2 * parameter[0].numel() ** -0.5)
            elif not parameter.any():
                torch.nn.init.normal_(parameter, std=0.3)
    model.generation_config.eos_token_id = None  # so that answers have several tokens
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def image_processor(name: str, **settings: Any) -> Any:
    """Return an image processor, by Pillow where torchvision is absent."""
    return getattr(tf, name if is_torchvision_available() else f"{name}Pil")(**settings)


def videos(name: str) -> Any:
    """Return a family's video processor, or what stands for it."""
    return getattr(tf, name)() if is_torchvision_available() else NoVideos()


VOCABULARY = len(tokenizer())
SQUARE = {"height": SIDE, "width": SIDE}
PINPOINTS = [[SIDE, 2 * SIDE], [2 * SIDE, SIDE], [2 * SIDE, 2 * SIDE]]


def clip(**more: Any) -> dict[str, Any]:
    return vision_config(model_type="clip_vision_model", **more)


def siglip(**more: Any) -> dict[str, Any]:
    return vision_config(model_type="siglip_vision_model", vision_use_head=False, **more)
