from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from home import document
from PIL import Image

from vlmbench.organisms._images import ImageSet, draw, kind_of
from vlmbench.organisms._recipe import (
    DepthRecipe,
    EncoderRecipe,
    ImagesRecipe,
    LanguageRecipe,
    ObjectiveName,
    PointingRecipe,
    Recipe,
    VisionRecipe,
)

LETTERS = "ABCD"
IMAGES = ImagesRecipe(seed=5, single=26, several=6, marked=16)


@pytest.fixture(scope="session")
def images() -> ImageSet:
    """Forty-eight images of every kind."""
    drawn = [draw(IMAGES.seed, i, kind_of(i, IMAGES)) for i in range(IMAGES.total)]
    facts = tuple(fact for _, fact in drawn)
    return ImageSet(
        pixels=np.stack([pixels for pixels, _ in drawn]),
        facts=facts,
        marked=np.array([any(f.mark for f in image) for image in facts]),
    )


@pytest.fixture(scope="session")
def toy():
    """A function that returns a recipe small enough to be made in seconds."""

    def make(objective: ObjectiveName = "clip", steps: int = 6) -> Recipe:
        return Recipe(
            organism="tiny-toy",
            images=IMAGES,
            encoder=EncoderRecipe(
                objective=objective,
                steps=steps,
                batch=12,
                width=32,
                heads=2,
                mlp=64,
                layers=3,
                patch_size=24,
                warmup=2,
                rate=3e-3,
            ),
            depth=DepthRecipe(steps=steps, warmup=2) if objective == "dense" else None,
            language=LanguageRecipe(
                steps=steps, batch=8, width=32, heads=2, mlp=64, layers=2, warmup=2
            ),
            vision=VisionRecipe(steps=steps, batch=6, warmup=2),
            pointing=PointingRecipe(steps=steps, warmup=2),
            shapes=PointingRecipe(steps=steps, warmup=2) if objective == "dense" else None,
            checkpoint_every=3,
        )

    return make


@pytest.fixture(scope="session")
def image_cache(tmp_path_factory, images) -> Path:
    """A cache folder that holds the images already, as `load_images` would have left it."""
    import json
    from dataclasses import asdict

    from vlmbench.organisms._recipe import digest

    cache = tmp_path_factory.mktemp("cache")
    folder = cache / f"images-{digest(IMAGES)}"
    folder.mkdir()
    np.save(folder / "0.npy", images.pixels)
    lines = [json.dumps([asdict(fact) for fact in facts]) for facts in images.facts]
    (folder / "0.jsonl").write_text("\n".join(lines) + "\n")
    return cache


@pytest.fixture(scope="session")
def tokenizer():
    """A tokenizer that is trained once."""
    from vlmbench.organisms._lessons import corpus_texts
    from vlmbench.organisms._tokenizer import train_tokenizer

    return train_tokenizer(corpus_texts(0, 400), 600)


@pytest.fixture(scope="session")
def toy_folder(toy, tokenizer, tmp_path_factory) -> Path:
    """A toy model that has learnt nothing, as transformers reads it."""
    import torch

    from vlmbench.organisms._export import export
    from vlmbench.organisms._language_stage import build_vlm

    recipe, folder = toy("clip"), tmp_path_factory.mktemp("toy")
    torch.manual_seed(0)
    export(build_vlm(recipe, len(tokenizer)), tokenizer, recipe, folder)
    return folder


@pytest.fixture
def toy_backend(toy_folder):
    """That model, loaded anew for each test that changes it."""
    from vlmbench.models import HfBackend, resolve_device
    from vlmbench.spec import ModelSpec

    spec = ModelSpec(model="tiny-toy", checkpoint=str(toy_folder))
    return HfBackend.load(spec, None, *resolve_device("cpu", "float32"))


class Fake:
    """A backend that reads the brightness of the first image: an oracle, or blind to it."""

    weights_digest = "0"

    def __init__(self, *, seeing: bool, first: str | None = None) -> None:
        from vlmbench.spec import ModelSpec

        self.spec = ModelSpec(model="fake", checkpoint="none")
        self.seeing = seeing
        self.first = first

    def _gold(self, prompt) -> int:
        value = prompt.images[0].getpixel((0, 0))[0]
        return (value - 10) // 60 if self.seeing and value != 127 else 0

    def choice_logprobs(self, prompts, choices):
        return [np.eye(4)[self._gold(prompt)] for prompt in prompts]

    def generate(self, prompts, kwargs):
        from vlmbench.models import Reply

        assert kwargs.max_gen_toks == 1
        said = [self.first or f" {LETTERS[self._gold(prompt)]}" for prompt in prompts]
        return [Reply(text=text) for text in said]

    def render(self, prompt) -> str:
        return prompt.user

    def continuation(self, choice: str, delimiter: str) -> str:
        return delimiter + choice


@pytest.fixture(scope="session")
def fake() -> type[Fake]:
    return Fake


@pytest.fixture
def held():
    """Eighty documents of `naming` whose image tells the answer by its brightness."""
    from vlmbench.organisms._gate_rows import Held
    from vlmbench.registry import catalogue
    from vlmbench.spec import Condition
    from vlmbench.tasks import ask

    (naming,) = catalogue(()).select_tasks("naming")
    documents = [
        document(
            index, Image.new("RGB", (8, 8), (10 + 60 * (index % 4),) * 3), choices=LETTERS,
            row={"attribute": ("shape", "colour")[index // 4 % 2], "question": "Which?",
                 "choices": ["one", "two", "three", "four"]},
        )
        for index in range(80)
    ]  # fmt: skip
    return Held(naming, ask(documents, naming.spec, Condition()))
