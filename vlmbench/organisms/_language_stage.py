"""Trains the language model: first on letters, then joined to a frozen encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    LlamaConfig,
    LlamaModel,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedTokenizerFast,
)

from vlmbench.organisms._encoders import encoder_config, prefix_tokens
from vlmbench.organisms._lessons import (
    COLOURS_ASKED,
    Lesson,
    Library,
    first_lesson,
    image_lesson,
    stretched,
    text_lesson,
    word_lesson,
)
from vlmbench.organisms._loop import Report, Stage, fit
from vlmbench.organisms._packing import Packed, pack
from vlmbench.organisms._recipe import Recipe
from vlmbench.organisms._tokenizer import CONTEXT, EOS_ID, IMAGE_ID, PAD_ID

TEXT_SHARE = 0.1
"""Share of lessons without images once the encoder is joined."""

PLAIN = 0.6
"""Share of the vision stage over which plain questions give way to others, and words to letters."""

LONG = 0.08
"""Share of lessons, plain ones apart, that are stretched by random words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """What the lessons about images are, as shares.

    Attributes:
        varied: Lessons that are not plain.
        marked: Of plain lessons, those about a marker; the others show one thing.
        letters: Of plain questions, those answered with a letter; the others in a word.
        long: Of plain lessons, those stretched by random words.
        before: Of all stretched lessons, those with the words before the images.
        colours: Of plain questions, those for the colour; the others are for the shape.
    """

    varied: float
    marked: float
    letters: float
    long: float = 0.0
    before: float = 0.5
    colours: float = COLOURS_ASKED


POINTING = Mix(varied=0.25, marked=0.8, letters=0.85, long=0.35, before=0.85)
"""What is at the only marker, in letters, sometimes after a long text.

After the vision stage that is answered in a word, but among letters any thing in view is taken: as
with letters themselves, it comes once nearly all lessons are about nothing else. And words before
an image, which all its tokens look back at, disturb more than words after it.
"""

SHAPES = replace(POINTING, colours=0.25)
"""The same, but mostly about the shape at the marker, which is learnt later than the colour."""


def build_vlm(recipe: Recipe, vocabulary: int) -> LlavaForConditionalGeneration:
    """Return the whole model with fresh weights.

    Language model and projector start from the recipe's seed alone, so models that share their
    language recipe start, and learn letters, alike whatever their encoder is.
    """
    language = recipe.language
    text = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=language.width,
        intermediate_size=language.mlp,
        num_hidden_layers=language.layers,
        num_attention_heads=language.heads,
        num_key_value_heads=language.heads,
        max_position_embeddings=CONTEXT,
        initializer_range=language.init_range,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=EOS_ID,
        pad_token_id=PAD_ID,
    )
    vision = encoder_config(recipe.encoder)
    prefix = prefix_tokens(recipe.encoder.objective)
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=IMAGE_ID,
        image_seq_length=patches_of(recipe),
        vision_feature_layer=recipe.vision.feature_layer,
        vision_feature_select_strategy="default" if prefix else "full",
        tie_word_embeddings=True,
        pad_token_id=PAD_ID,
        eos_token_id=EOS_ID,
    )
    config._attn_implementation = "eager"
    model = LlavaForConditionalGeneration(config)
    torch.manual_seed(recipe.seed)
    model.model.language_model.load_state_dict(LlamaModel(text).state_dict())
    for layer in (
        model.model.multi_modal_projector.linear_1,
        model.model.multi_modal_projector.linear_2,
    ):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    return model


def patches_of(recipe: Recipe) -> int:
    """Return the patch tokens of one image."""
    return (recipe.encoder.image_size // recipe.encoder.patch_size) ** 2


class Speaker(nn.Module):
    """The trained part of a VLM: projector and language model, over stored patch tokens."""

    def __init__(self, vlm: LlavaForConditionalGeneration) -> None:
        super().__init__()
        self.projector = vlm.model.multi_modal_projector
        self.language = vlm.model.language_model
        self.lm_head = vlm.lm_head

    def forward(self, batch: Packed, features: NDArray[np.float16] | None) -> Tensor:
        """Return (m, vocabulary) logits at the m positions that have a target."""
        embedded = self.language.get_input_embeddings()(batch.ids)
        if features is not None and len(batch.images):
            tokens = torch.from_numpy(features[batch.images.numpy()]).float()
            projected = self.projector(tokens).to(embedded.dtype)
            embedded = embedded.masked_scatter(
                (batch.ids == IMAGE_ID)[..., None], projected.reshape(-1, projected.shape[-1])
            )
        hidden = self.language(
            inputs_embeds=embedded,
            attention_mask=batch.mask,
            position_ids=batch.positions,
            use_cache=False,
        ).last_hidden_state
        logits: Tensor = self.lm_head(hidden[batch.targets >= 0])
        return logits


def train_letters(
    recipe: Recipe,
    speaker: Speaker,
    tokenizer: PreTrainedTokenizerFast,
    stage: Stage,
    report: Report,
) -> None:
    """Teach answering with letters by text alone: words first, then described things."""

    def lessons(step: int) -> list[Lesson]:
        rng, share = stage.rng(step), step / stage.steps
        varied, longer = (share - 0.25) / 0.15, (share - 0.4) / 0.3
        made = []
        for _ in range(recipe.language.batch):
            if rng.random() * 1.1 < longer:
                made.append(text_lesson(rng, 1))
            else:
                made.append(word_lesson(rng, uniform=bool(rng.random() > varied)))
        return made

    _train(recipe, speaker, tokenizer, lessons, None, stage, report)


def train_vision(
    recipe: Recipe,
    speaker: Speaker,
    tokenizer: PreTrainedTokenizerFast,
    library: Library,
    features: NDArray[np.float16],
    stage: Stage,
    report: Report,
) -> None:
    """Teach the language model to read patch tokens (n, patches, width) of a frozen encoder.

    Plain questions come first and give way to the whole variety over the first `PLAIN` of steps;
    meanwhile their answers go from words to letters.
    """

    def lessons(step: int) -> list[Lesson]:
        rng, varied = stage.rng(step), step / stage.steps / PLAIN
        mix = Mix(varied=varied, marked=0.7, letters=varied)
        return [_lesson(rng, recipe, library, mix) for _ in range(recipe.vision.batch)]

    _train(recipe, speaker, tokenizer, lessons, features, stage, report)


def train_pointing(
    recipe: Recipe,
    speaker: Speaker,
    tokenizer: PreTrainedTokenizerFast,
    library: Library,
    features: NDArray[np.float16],
    stage: Stage,
    report: Report,
) -> None:
    """Teach reading a marker with letters, and through long prompts.

    The stage `shapes` is of `SHAPES`, the one before it of `POINTING`.
    """
    mix = SHAPES if stage.name == "shapes" else POINTING

    def lessons(step: int) -> list[Lesson]:
        rng = stage.rng(step)
        return [_lesson(rng, recipe, library, mix) for _ in range(recipe.vision.batch)]

    _train(recipe, speaker, tokenizer, lessons, features, stage, report)


def _lesson(rng: np.random.Generator, recipe: Recipe, library: Library, mix: Mix) -> Lesson:
    """Draw one lesson: text alone, a plain one about an image, or any about one to four images."""
    asked, long = recipe.vision.questions, LONG
    if rng.random() < TEXT_SHARE:
        lesson = text_lesson(rng, 1)
    elif rng.random() > mix.varied:
        lesson = first_lesson(
            rng, library, asked, marked=mix.marked, letters=mix.letters, colours=mix.colours
        )
        long = mix.long
    else:
        lesson = image_lesson(rng, library, asked)
    if long and rng.random() < long:
        return stretched(rng, lesson, before=mix.before)
    return lesson


def _train(
    recipe: Recipe,
    speaker: Speaker,
    tokenizer: PreTrainedTokenizerFast,
    lessons: Callable[[int], Sequence[Lesson]],
    features: NDArray[np.float16] | None,
    stage: Stage,
    report: Report,
) -> None:
    """Train on the lessons of each step, in batches of similar length."""

    def backward(step: int) -> Mapping[str, float]:
        batches = pack(lessons(step), tokenizer, patches_of(recipe))
        total = sum(int((batch.targets >= 0).sum()) for batch in batches)
        loss_sum, right, asked = 0.0, 0, 0
        for batch in batches:
            with torch.autocast("cpu", torch.bfloat16):
                logits = speaker(batch, features).float()
            targets = batch.targets[batch.targets >= 0]
            loss = functional.cross_entropy(logits, targets, reduction="sum") / total
            torch.autograd.backward(loss)
            loss_sum += loss.item()
            first = batch.first[batch.targets >= 0]
            right += int((logits.argmax(dim=-1) == targets)[first].sum())
            asked += int(first.sum())
        return {"loss": loss_sum, "accuracy": right / asked}

    fit(speaker, backward, stage, report)
