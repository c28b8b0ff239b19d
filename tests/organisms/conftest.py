from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vlmbench.organisms._images import ImageSet, draw, kind_of
from vlmbench.organisms._recipe import (
    EncoderRecipe,
    ImagesRecipe,
    LanguageRecipe,
    ObjectiveName,
    PointingRecipe,
    Recipe,
    VisionRecipe,
)

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
                prototypes=16,
                warmup=2,
                rate=3e-3,
            ),
            language=LanguageRecipe(
                steps=steps, batch=8, width=32, heads=2, mlp=64, layers=2, warmup=2
            ),
            vision=VisionRecipe(steps=steps, batch=6, warmup=2),
            pointing=PointingRecipe(steps=steps, warmup=2),
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
