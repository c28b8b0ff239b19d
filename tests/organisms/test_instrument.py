"""The instrument itself: where a model has been taught an ability, the measured gap closes.

The ability is to name the style that a scene is drawn in. No shipped model was ever taught it
(its training images are never stylised, and no lesson asks for a style), while a linear probe on
its encoder tells styles apart. The taught model is `tiny-clip` with more lessons: its encoder is
kept as it is, so whatever the gap does is the language model's doing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
import yaml
from home import stats_of, vlmbench
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoTokenizer, LlavaForConditionalGeneration

from vlmbench.organisms import load_recipe
from vlmbench.organisms._export import export
from vlmbench.organisms._images import load_images
from vlmbench.organisms._language_stage import Speaker, _train
from vlmbench.organisms._lessons import Lesson, Library, first_lesson
from vlmbench.organisms._loop import Stage
from vlmbench.organisms._questions import Question
from vlmbench.organisms._recipe import ImagesRecipe
from vlmbench.organisms._train import stored_features
from vlmbench.registry import catalogue
from vlmbench.tasks.worlds import WORLDS
from vlmbench.tasks.worlds._rows import Split, drawn_row

QUESTION = "In which style is the image drawn? One word."
"""The names themselves are the choices: letters beside new names are learnt much later."""

CHOICES = 4
TASK = {
    "task": "style",
    "dataset_path": "parquet",
    "training_split": "train",
    "validation_split": "validation",
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_image": ["image"],
    "doc_to_text": "<image>\n" + QUESTION,
    "doc_to_choice": "choices",
    "doc_to_target": "gold",
    "metadata": {
        "vlmbench": {
            "ability": "art_style",
            "id_column": "doc_id",
            "probe": {"kind": "linear", "label_column": "label", "choices_column": "choices"},
        }
    },
}
ROWS: Mapping[Split, int] = {"train": 500, "validation": 50, "test": 100}
"""Rows of the world `art_style` that are drawn for each split; each has three images.

The taught model and the probe learn from the same ones.
"""

ORDINARY = ImagesRecipe(seed=3, single=60, several=0, marked=60)
"""Images without a style, about which the model is asked what it knows already."""

STEPS, BATCH = 280, 48
"""Steps, and lessons a step."""

FAMILIAR = 1 / 8
"""Share of lessons about ordinary images."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Stylised images: (n, 96, 96, 3) uint8 and the name of each one's style."""

    pixels: NDArray[np.uint8]
    styles: tuple[str, ...]


def draw_styles(split: Split) -> Drawn:
    """Draw a split of the world `art_style`, image by image."""
    options, pixels, styles = {"difficulty": 0.5}, [], []
    for index in range(ROWS[split]):
        row = drawn_row(
            WORLDS["art_style"],
            seed=7,
            split=split,
            index=index,
            count=ROWS[split],
            options=options,
        )
        styles += row["styles"]
        pixels += [row[f"image_{place + 1}"] for place in range(len(row["styles"]))]
    return Drawn(np.stack(pixels), tuple(styles))


def options_for(
    rng: np.random.Generator, style: str, names: Sequence[str], place: int
) -> list[str]:
    """Return four names in random order, the right one at `place`."""
    others = [str(n) for n in rng.permutation([n for n in names if n != style])[: CHOICES - 1]]
    return [*others[:place], style, *others[place:]]


def write_task(folder: Path, drawn: Mapping[Split, Drawn]) -> None:
    """Write the task and its data: a style is to be named among four, letters dealt evenly."""
    folder.mkdir()
    rng, files = np.random.default_rng(11), {}
    for split, images in drawn.items():
        names = sorted(set(images.styles))
        places = rng.permutation(np.arange(len(images.styles)) % CHOICES)
        rows = [
            {
                "doc_id": f"{split}-{i:04d}",
                "image": Image.fromarray(images.pixels[i]),
                "label": style,
                "choices": options_for(rng, style, names, int(places[i])),
                "gold": int(places[i]),
            }
            for i, style in enumerate(images.styles)
        ]
        files[split] = str(folder / f"{split}.parquet")
        data = datasets.Dataset.from_list(rows).cast_column("image", datasets.Image())
        data.to_parquet(files[split])
    task = {**TASK, "dataset_kwargs": {"data_files": files}}
    (folder / "style.yaml").write_text(yaml.safe_dump(task))


def style_lesson(rng: np.random.Generator, styles: Sequence[str], start: int) -> Lesson:
    """Return a lesson about one stylised image; image `start` is the first of them."""
    index = int(rng.integers(len(styles)))
    asked = (Question(body=QUESTION, answer=styles[index]),)
    return Lesson(images=(start + index,), head="<image>\n", questions=asked, chatty=True)


def teach(shipped: Path, recipe_file: Path, images: Drawn, folder: Path) -> None:
    """Give a shipped model lessons on style, in a mix with ones it knows; write it to `folder`.

    Projector and language model are trained, over patch tokens that the encoder gives once.

    Args:
        shipped: Folder of the model.
        recipe_file: Its recipe.
        images: What the lessons are about.
        folder: Where the taught model is written.
    """
    recipe = load_recipe(recipe_file)
    tokenizer = AutoTokenizer.from_pretrained(shipped)
    vlm = LlavaForConditionalGeneration.from_pretrained(
        shipped, dtype=torch.float32, attn_implementation="eager"
    )
    work = folder.parent / "work"
    library = Library(load_images(ORDINARY, work))
    encoder = vlm.model.vision_tower.eval()
    pixels = np.concatenate([library.images.pixels, images.pixels])
    features = stored_features(recipe, encoder, pixels, lambda _: None)
    stage = Stage(
        name="style",
        folder=work,
        seed=0,
        steps=STEPS,
        rate=recipe.vision.rate,
        warmup=20,
        weight_decay=0.01,
        save_every=STEPS,
    )

    def lessons(step: int) -> list[Lesson]:
        rng = stage.rng(step)
        return [
            first_lesson(rng, library, 1, marked=0.7, letters=0.5)
            if rng.random() < FAMILIAR
            else style_lesson(rng, images.styles, len(library.images))
            for _ in range(BATCH)
        ]

    _train(recipe, Speaker(vlm), tokenizer, lessons, features, stage, lambda _: None)
    export(vlm, tokenizer, recipe, folder)


def printed_gap(page: str, alias: str) -> str:
    """Return the gap as the leaderboard's first table shows it, stars of bold type included."""
    table = page[page.index("## Gap") : page.index("## Results")]
    found = re.search(rf"^\| *{alias} *\| *(\S+) *\|$", table, re.MULTILINE)
    assert found, table
    return found.group(1)


@pytest.mark.soak
def test_the_gap_closes_where_the_ability_was_taught(tmp_path):
    folder = tmp_path / "style"
    drawn = {split: draw_styles(split) for split in ROWS}
    write_task(folder, drawn)
    (shipped,) = catalogue().select_models("tiny-clip")
    weights = shipped.folder / str(shipped.spec.checkpoint)
    teach(weights, shipped.folder / "recipes/tiny-clip.yaml", drawn["train"], folder / "taught")
    spec = {**shipped.raw, "model": "taught", "model_alias": "taught", "checkpoint": "./taught"}
    (folder / "taught.yaml").write_text(yaml.safe_dump(spec))

    run, board = tmp_path / "run", tmp_path / "board"
    vlmbench("run", "--models", "tiny-clip,taught", "--tasks", "style", "--study", "gap",
             "--include-path", folder, "--output", run)  # fmt: skip
    vlmbench("leaderboard", run, "--output", board)
    stats = stats_of(run, "model", "condition", "readout", "metric")
    before, after = (stats[m, "own", "encoder-prompted", "gap"] for m in ("tiny-clip", "taught"))
    page = (board / "README.md").read_text()

    assert before["low"] > 0.2, "the shipped model's encoder holds what the model does not say"
    assert printed_gap(page, shipped.spec.model_alias).startswith("**+")

    # It may well say more: it reads every patch token, the probe one vector.
    assert after["low"] <= 0, "the taught model says all of it"
    assert after["high"] < before["low"]
    assert not printed_gap(page, "taught").startswith("**+")

    encoder = [stats[m, "own", "encoder", "accuracy"]["value"] for m in ("tiny-clip", "taught")]
    assert encoder[0] == encoder[1], "the encoder is the same: it was the model that changed"
    blind = stats["taught", "blank", "prompted", "accuracy"]["value"]
    assert abs(blind - 1 / CHOICES) < 0.1, "what was learnt is to see, not to guess"
