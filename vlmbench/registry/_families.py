"""Families of vision-language models: what their config files do not say.

Everything not listed follows transformers' conventions: the tower is what
`model.get_encoder("image")` returns, the language model consumes the hidden state that
`vision_feature_layer` names, or else the tower's `last_hidden_state`, and an image is written as
`processor.image_token`. There is a row here only for a family that deviates, that has been checked
by the conformance suite, or that some readout does not apply to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Layer = int | tuple[int, ...] | Literal["final_norm"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One family and where it leaves the conventions.

    Attributes:
        name: What people call it.
        model_types: Values of `model_type` in `config.json`.
        layer: Hidden state of the tower that is projected where the config has no
            `vision_feature_layer`.
        last_is_normed: `vision_feature_layer: -1` means the state after the final norm.
        why: Which lines of transformers `layer` was read from.
        merging: What stands between the tower's tokens and those the language model reads; empty
            where nobody has looked.
        whole_view: Where a processor that cuts images into tiles puts the tokens of the whole image
            among those of the image; empty where it makes none or nobody has looked.
        equal_tiles: Whether each tile has as many tokens as the whole view.
        placeholder: How an image is written in a prompt without chat template; empty for
            `processor.image_token`.
        tower: Path of the tower from the model where `get_encoder` does not find it.
        projector: Paths of the modules between tower and language model, in the order in which an
            image passes them, where they do not go by one of the usual names.
        appended: What the processor adds at the end of every prompt by itself.
        prefix_lm: Whether all tokens of the prompt see each other, and only the answer is
            causal; its processor calls the answer's tokens type 1.
        text_only: Whether it can be asked without an image.
        several: Whether a prompt may hold several images.
        batches: How alike the images of prompts must be to share a batch without changing each
            other's answers: of any number and size, of one number, or of one number and size.
        encoder: Why the encoder readout does not apply; empty if it does.
        internals: Why the internals readout does not apply; empty if it does.
        patching: Why states of image tokens cannot be patched; empty if they can.
        packages: What transformers needs in addition to run it.
    """

    name: str
    model_types: tuple[str, ...]
    layer: Layer = "final_norm"
    last_is_normed: bool = False
    why: str = "get_image_features takes last_hidden_state"
    merging: str = ""
    whole_view: Literal["", "first", "last"] = ""
    equal_tiles: bool = True
    placeholder: str = ""
    tower: str = ""
    projector: tuple[str, ...] = ()
    appended: str = ""
    prefix_lm: bool = False
    text_only: bool = True
    several: bool = True
    batches: Literal["any", "same_count", "same_sizes"] = "any"
    encoder: str = ""
    internals: str = ""
    patching: str = ""
    packages: tuple[str, ...] = ()


_ONE_TO_ONE = "one token per patch"
_FEATURE_LAYER = "get_image_features takes hidden_states[vision_feature_layer]"
_MERGER = "the merger takes the last block's output and norms it itself"
_QWEN_IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
_MERGE = "spatial_merge_size x spatial_merge_size patches become one token"
_TILES = "one token per patch of the whole view and of every tile, padding cut, newlines added"
_SHUFFLE = "pixel shuffle: neighbouring patches become one token"
_AGAIN = "features of the images enter its language model again further up, past a patch"
_TORCHVISION = ("torchvision",)

FAMILIES: tuple[Family, ...] = (
    Family(
        name="LLaVA-1.5",
        model_types=("llava", "vipllava"),
        layer=-2,
        why=_FEATURE_LAYER,
        merging=_ONE_TO_ONE,
    ),
    Family(
        name="LLaVA-NeXT, Granite Vision 3",
        model_types=("llava_next",),
        layer=-2,
        why=_FEATURE_LAYER,
        merging=_TILES,
        whole_view="first",
        equal_tiles=False,
    ),
    Family(
        name="LLaVA-OneVision",
        model_types=("llava_onevision",),
        layer=-1,
        why=_FEATURE_LAYER,
        merging=_TILES,
        whole_view="first",
        equal_tiles=False,
    ),
    Family(
        name="Qwen2-VL, Qwen2.5-VL",
        model_types=("qwen2_vl", "qwen2_5_vl"),
        layer=-1,
        why=_MERGER,
        merging=_MERGE,
        placeholder=_QWEN_IMAGE,
    ),
    Family(
        name="Qwen3-VL",
        model_types=("qwen3_vl", "qwen3_vl_moe"),
        layer=-1,
        why=_MERGER,
        merging=f"{_MERGE}; shallower states (deepstack) are added further up the language model",
        projector=("model.visual.merger", "model.visual.deepstack_merger_list"),
        placeholder=_QWEN_IMAGE,
        patching=_AGAIN,
    ),
    Family(
        name="InternVL",
        model_types=("internvl",),
        last_is_normed=True,
        why="get_image_features takes last_hidden_state where vision_feature_layer is -1",
        merging=_SHUFFLE,
        whole_view="last",
    ),
    Family(
        name="Idefics3",
        model_types=("idefics3",),
        merging=_SHUFFLE,
        whole_view="last",
    ),
    Family(
        name="SmolVLM",
        model_types=("smolvlm",),
        merging=_SHUFFLE,
        packages=("num2words",),
        whole_view="last",
    ),
    Family(
        name="Gemma 3",
        model_types=("gemma3",),
        merging="average pooling to mm_tokens_per_image tokens",
        placeholder="<start_of_image>",
    ),
    Family(
        name="PaliGemma",
        model_types=("paligemma",),
        merging=_ONE_TO_ONE,
        appended="\n",
        prefix_lm=True,
        text_only=False,
    ),
    Family(
        name="Mistral 3 (Pixtral)",
        model_types=("mistral3",),
        layer=-1,
        why=_FEATURE_LAYER,
        merging=_MERGE,
    ),
    Family(
        name="Phi-4-multimodal",
        model_types=("phi4_multimodal",),
        layer=-2,
        why="get_img_features takes hidden_states[vision_config.feature_layer]",
        merging="2 x 2 average pooling of the whole view and of every tile, newlines added",
        tower="model.embed_tokens_extend.image_embed.img_processor",
        projector=(
            "model.embed_tokens_extend.image_embed.image_token_compression",
            "model.embed_tokens_extend.image_embed.img_projection_up",
            "model.embed_tokens_extend.image_embed.img_projection_down",
        ),
        # In transformers 5.23 its tower attends causally unless an image of the batch is padded,
        # so only images that are padded alike give what each gives alone.
        batches="same_sizes",
        packages=_TORCHVISION,
    ),
    Family(
        name="FastVLM",
        model_types=("fast_vlm",),
        last_is_normed=True,
        merging="the cells of a convolution's map are the tokens",
        packages=("timm", "torchvision"),
    ),
    Family(
        name="Perception LM",
        model_types=("perception_lm",),
        merging="average pooling of the whole view and of every tile",
        batches="same_sizes",
        packages=("timm", "torchvision"),
        whole_view="first",
    ),
    Family(
        name="Aya Vision",
        model_types=("aya_vision",),
        layer=-1,
        why=_FEATURE_LAYER,
        merging=_SHUFFLE,
        whole_view="last",
    ),
    Family(
        name="Granite 4 Vision",
        model_types=("granite4_vision",),
        projector=("model.layerwise_projectors", "model.spatial_projectors"),
        encoder="several projections of several hidden states enter at different depths of the "
        "language model, so there is no one consumed layer",
        patching=_AGAIN,
    ),
    Family(
        name="GLM-4V",
        model_types=("glm4v", "glm4v_moe"),
        why="the downsampling convolution takes what post_layernorm gives",
        merging="a strided convolution over spatial_merge_size x spatial_merge_size patches",
        projector=("model.visual.downsample", "model.visual.merger"),
        placeholder="<|begin_of_image|><|image|><|end_of_image|>",
    ),
    Family(
        name="Llama 4",
        model_types=("llama4",),
        why="the vision adapter takes what layernorm_post gives, without the class token",
        projector=("vision_model.vision_adapter", "multi_modal_projector"),
        merging=_SHUFFLE,
        packages=_TORCHVISION,
        whole_view="last",
    ),
    Family(
        name="LFM2-VL",
        model_types=("lfm2_vl",),
        encoder="its tower takes patches with their number of rows and columns, and no square of "
        "pixels",
        internals="most layers of its language model convolve and give no attention weights",
        packages=_TORCHVISION,
    ),
    Family(
        name="Mllama (Llama 3.2 Vision)",
        model_types=("mllama",),
        batches="same_count",
        encoder="cross-attention: several hidden states and a second, gated transformer over all "
        "tiles are concatenated, and there is no image token in the text",
        internals="cross-attention: images are not tokens of the text, so neither hidden states "
        "nor attention of the language model have image positions",
    ),
)


def family_of(model_type: str) -> Family:
    """Return the family of a `model_type`, or the bare conventions if it is not listed."""
    listed = (family for family in FAMILIES if model_type in family.model_types)
    return next(listed, Family(name="", model_types=(model_type,)))
