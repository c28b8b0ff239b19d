"""Makes a tiny vision-language model from its recipe, stage by stage."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from vlmbench.organisms._card import card
from vlmbench.organisms._curves import curves_svg
from vlmbench.organisms._dense import DenseObjective
from vlmbench.organisms._encoder_stage import build_objective, train_encoder
from vlmbench.organisms._encoders import patch_tokens, prefix_tokens
from vlmbench.organisms._export import export
from vlmbench.organisms._images import load_images
from vlmbench.organisms._language_stage import (
    Speaker,
    build_vlm,
    train_letters,
    train_pointing,
    train_vision,
)
from vlmbench.organisms._lessons import Library, corpus_texts
from vlmbench.organisms._loop import Progress, Report, Stage
from vlmbench.organisms._recipe import (
    DepthRecipe,
    EncoderRecipe,
    LanguageRecipe,
    PointingRecipe,
    Recipe,
    VisionRecipe,
    digest,
)
from vlmbench.organisms._tokenizer import train_tokenizer

Schedule = EncoderRecipe | DepthRecipe | LanguageRecipe | VisionRecipe | PointingRecipe

StageName = Literal["letters", "encoder", "depth", "vision", "pointing", "shapes"]

CORPUS_LESSONS = 4000
"""Lessons from which the tokenizer is trained."""


def train(
    recipe: Recipe,
    *,
    output: Path,
    cache: Path,
    resume: bool = True,
    progress: Report | None = None,
) -> Path:
    """Make the model of a recipe and write it to `output`; returns `output`.

    Images, saved states and the log are kept in `cache`, under names that change with what they
    depend on; stages that are complete there are not run again.

    Args:
        recipe: What to make.
        output: Folder for weights, configuration, processor, training log and curves.
        cache: Folder for everything in between.
        resume: Go on from saved states. If False they are deleted first; images are kept.
        progress: Called every few steps.
    """
    report = progress or (lambda _: None)
    tokenizer = build_tokenizer(recipe)
    stages = _stages(recipe, tokenizer, cache)
    if not resume:
        for stage in stages.values():
            shutil.rmtree(stage.folder, ignore_errors=True)
    vlm = build_vlm(recipe, len(tokenizer))
    speaker = Speaker(vlm)
    train_letters(recipe, speaker, tokenizer, stages["letters"], report)
    library = Library(load_images(recipe.images, cache, _images(report)))
    encoder = encoder_of(recipe, tokenizer, library, stages, report)
    features = stored_features(recipe, encoder, library.images.pixels, report)
    train_vision(recipe, speaker, tokenizer, library, features, stages["vision"], report)
    for name in ("pointing", "shapes"):
        if name in stages:
            train_pointing(recipe, speaker, tokenizer, library, features, stages[name], report)
    # A pooling layer that transformers adds to the tower, and nothing here reads, stays as it is.
    vlm.model.vision_tower.load_state_dict(encoder.state_dict(), strict=False)
    export(vlm, tokenizer, recipe, output)
    log = "".join((s.folder / "log.jsonl").read_text(encoding="utf-8") for s in stages.values())
    (output / "training.jsonl").write_text(log, encoding="utf-8")
    (output / "curves.svg").write_text(curves_svg(log), encoding="utf-8")
    text = card(recipe, log, sum(p.numel() for p in vlm.parameters()))
    (output / "README.md").write_text(text, encoding="utf-8")
    return output


def build_tokenizer(recipe: Recipe) -> PreTrainedTokenizerFast:
    """Train the tokenizer of a recipe; it takes two seconds and is not cached."""
    return train_tokenizer(corpus_texts(0, CORPUS_LESSONS), recipe.language.vocabulary)


def stored_features(
    recipe: Recipe, encoder: PreTrainedModel, pixels: NDArray[np.uint8], report: Report
) -> NDArray[np.float16]:
    """Return (n, patches, width) what the projector reads, for every training image."""
    prefix = prefix_tokens(recipe.encoder.objective)
    parts = []
    for patches, _ in patch_tokens(encoder, pixels, recipe.vision.feature_layer, prefix):
        parts.append(patches)
        done = sum(map(len, parts))
        report(Progress(stage="features", done=done, total=len(pixels)))
    return np.concatenate(parts)


def encoder_of(
    recipe: Recipe,
    tokenizer: PreTrainedTokenizerFast,
    library: Library,
    stages: Mapping[StageName, Stage],
    report: Report,
) -> PreTrainedModel:
    """Return the trained encoder, in evaluation mode."""
    torch.manual_seed(recipe.seed)
    objective = build_objective(recipe.encoder, tokenizer)
    train_encoder(objective, library, stages["encoder"], report)
    if isinstance(objective, DenseObjective) and "depth" in stages:
        objective.turn_to_depth()
        train_encoder(objective, library, stages["depth"], report)
    return objective.encoder.eval()


def _stages(
    recipe: Recipe, tokenizer: PreTrainedTokenizerFast, cache: Path
) -> dict[StageName, Stage]:
    """Return the schedules, each kept in a folder named by all that its outcome depends on.

    So the models of one family share the letters stage, a stage that reads text is run again when
    the wording of the corpus, and with it the tokenizer, has changed, and a dense encoder, which
    draws images of its own, is kept when those of the later stages change.
    """
    words = tokenizer.backend_tokenizer.to_str()
    captions = words if recipe.encoder.objective in ("clip", "siglip") else ""
    own = recipe.encoder.objective == "dense"
    parts: dict[StageName, Schedule | None] = {
        "letters": recipe.language,
        "encoder": recipe.encoder,
        "depth": recipe.depth,
        "vision": recipe.vision,
        "pointing": recipe.pointing,
        "shapes": recipe.shapes,
    }
    first = (recipe.seed, *(() if own else (recipe.images,)), recipe.encoder)
    seen = (*first, recipe.depth) if recipe.depth else first
    spoken = (*seen, recipe.images, recipe.language, recipe.vision)
    keys = {
        "letters": digest(recipe.seed, recipe.language, recipe.encoder.width, words),
        "encoder": digest(*first, captions),
        "depth": digest(*seen),
        "vision": digest(*spoken, words),
        "pointing": digest(*spoken, recipe.pointing, words),
        "shapes": digest(*spoken, recipe.pointing, recipe.shapes or "", words),
    }
    stages = {}
    for name, part in parts.items():
        if part is None:
            continue
        folder = cache / f"{name}-{keys[name]}"
        folder.mkdir(parents=True, exist_ok=True)
        stages[name] = Stage(
            name=name,
            folder=folder,
            seed=recipe.seed,
            steps=part.steps,
            rate=part.rate,
            warmup=part.warmup,
            weight_decay=recipe.encoder.weight_decay if name in ("encoder", "depth") else 0.01,
            save_every=recipe.checkpoint_every,
        )
    return stages


def _images(report: Report) -> Callable[[int, int], None]:
    """Return a callback that reports drawn images."""
    return lambda done, total: report(Progress(stage="images", done=done, total=total))
