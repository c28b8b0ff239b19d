"""Which corner is brightest: a data set with closed forms, and backends that read its pixels.

Four corners of a 32 x 32 image hold a square on a fainter surround. Red and green are brightest in
one corner (`red`), which is the answer; blue is brightest in another one in three documents of ten
(`blue`). A corner's contrast is the mean of its pixels, 1 where it is brightest and -1/3 elsewhere.

Models answer by log p(c) = sight * length_0 / length * contrast of the corner that choice c names
+ trust * strength of a hint for c + lean on (A). What every test reads follows from that.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
from PIL import Image

from vlmbench.models import Inside

CORNERS = ("top left", "top right", "bottom left", "bottom right")
PLACES = ((0, 0), (0, 16), (16, 0), (16, 16))
SQUARE, SURROUND = (96, -32), (15, -5)
"""Grey levels over 127 in the brightest corner and in the others."""
FULL = (64 * SQUARE[0] + 192 * SURROUND[0]) / 256
BOXES = [[left + 4, top + 4, left + 12, top + 12] for top, left in PLACES]
IMAGE_TOKENS, LENGTH = 16, 36
"""Tokens of the image, and of the whole prompt as the task asks it: a word is a token."""
LAYERS, WIDTH, LATENTS, CORRELATION = 2, 8, 3, 0.8
STRENGTHS = {"might": 1.0, "confident": 2.0, "certain": 4.0}
TASK = """\
task: {name}
dataset_path: json
dataset_kwargs:
  data_files: {{train: data/train.jsonl, validation: data/val.jsonl, test: data/test.jsonl}}
training_split: train
validation_split: validation
test_split: test
output_type: multiple_choice
doc_to_text: |-
  <image>
  Which corner is brightest?
  (A) {{{{ words[0] }}}}
  (B) {{{{ words[1] }}}}
  (C) {{{{ words[2] }}}}
  (D) {{{{ words[3] }}}}
  Answer with the letter:
doc_to_image: [image]
doc_to_choice: [A, B, C, D]
doc_to_target: answer
metadata:
  vlmbench:
    ability: corners
    id_column: id
    probe: {{kind: linear, label_column: corner, choices_column: words}}
    {regions}
"""
REGIONS = "regions: {choices: {kind: box, column: boxes}}\n    markers: drawn"


def draw(red: int, blue: int, rng: np.random.Generator) -> Image.Image:
    """Return an image unlike any other, whose contrasts are exact all the same."""
    pixels = np.full((32, 32, 3), 127)
    for corner, (top, left) in enumerate(PLACES):
        others = np.array([corner != red, corner != red, corner != blue], dtype=int)
        pixels[top : top + 16, left : left + 16] += np.take(SURROUND, others)
        pixels[top + 4 : top + 12, left + 4 : left + 12] = 127 + np.take(SQUARE, others)
        grain = rng.integers(-8, 9, (16, 3))
        pixels[top, left : left + 16] += grain
        pixels[top + 1, left : left + 16] -= grain
    return Image.fromarray(pixels.astype(np.uint8))


def write_split(folder: Path, name: str, n: int, *, seed: int) -> None:
    """Write documents: answers in turn, and blue elsewhere in exactly 3 of any 10."""
    rng = np.random.default_rng(seed)
    rows = []
    for index in range(n):
        words = [CORNERS[place] for place in rng.permutation(4)]
        gold = index % 4
        shown = (gold + 1 + index // 10 % 3) % 4 if index % 10 in (2, 5, 9) else gold
        red, blue = (CORNERS.index(words[choice]) for choice in (gold, shown))
        draw(red, blue, rng).save(folder / f"{name}-{index}.png")
        row = {"id": f"{name}{index}", "image": f"{name}-{index}.png", "answer": gold}
        rows.append(row | {"words": words, "corner": words[gold], "boxes": BOXES})
    (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))


def write_tasks(folder: Path, *, n: int) -> None:
    """Write `corners`, and `bare`, which is the same without regions."""
    (folder / "data").mkdir(parents=True)
    for seed, (name, count) in enumerate({"train": 60, "val": 20, "test": n}.items()):
        write_split(folder / "data", name, count, seed=seed)
    (folder / "corners.yaml").write_text(TASK.format(name="corners", regions=REGIONS))
    (folder / "bare.yaml").write_text(TASK.format(name="bare", regions=""))


def write_model(folder: Path, name: str, weights: dict, *, backend: str, twin: str = "") -> None:
    """Write a model whose checkpoint is the closed form's parameters and its context."""
    (folder / name).mkdir()
    (folder / name / "config.json").write_text(
        json.dumps({"image_seq_length": IMAGE_TOKENS, "max_position_embeddings": 2048, **weights})
    )
    (folder / f"{name}.yaml").write_text(
        f"model: {name}\nbackend: {backend}\ncheckpoint: {name}\n{twin}"
    )


def write_tower(folder: Path) -> str:
    """Write a random CLIP tower that tells places apart; return the `twin` key that names it."""
    import torch
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        image_size=32, patch_size=8, initializer_factor=8.0,
    )  # fmt: skip
    CLIPVisionModel(config).save_pretrained(folder / "tower")
    square = {"height": 32, "width": 32}
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=square).save_pretrained(
        folder / "tower"
    )
    return "twin: {checkpoint: tower, layer: -1, pooled: mean, relation: identical}\n"


class Mute:
    """A model that scores choices and shows nothing of its inside."""

    def __init__(self, spec, weights) -> None:
        self.spec, self.weights = spec, weights
        self.weights_digest = hashlib.sha256(json.dumps(weights).encode()).hexdigest()

    @classmethod
    def load(cls, spec, folder, device, dtype):
        return cls(spec, json.loads((folder / spec.checkpoint / "config.json").read_text()))

    def render(self, prompt):
        return prompt.user

    def continuation(self, choice, delimiter):
        return delimiter + choice

    def generate(self, prompts, kwargs):
        raise AssertionError("the study scores choices, and never lets a model write")

    def choice_logprobs(self, prompts, choices):
        return [self._scores(*asked) for asked in zip(prompts, choices, strict=True)]

    def _scores(self, prompt, choices):
        listed = dict(re.findall(r"^\((\w)\) (.+)$", prompt.user, re.MULTILINE))
        seen = dict(zip(CORNERS, self._contrasts(prompt), strict=True))
        hint = re.search(r"answer (?:is|might be) \((\w)\)", prompt.user)
        strength = next((s for word, s in STRENGTHS.items() if word in prompt.user), 0.0)
        letters = [choice.strip() for choice in choices]
        sight = self.weights["sight"]
        if self.weights.get("starved"):
            sight *= LENGTH / sum(count_tokens(prompt))
        return np.array(
            [
                sight * seen[listed[letter]]
                + self.weights.get("trust", 0) * strength * (hint is not None and hint[1] == letter)
                + self.weights.get("lean", 0) * (letter == "A")
                - 20.0
                for letter in letters
            ]
        )

    def _contrasts(self, prompt):
        if not prompt.images:
            return np.zeros(4)
        channels = [2] if self.weights.get("channel") == "blue" else [0, 1]
        bright = np.asarray(prompt.images[0], dtype=float)[..., channels].mean(axis=2) - 127
        return [bright[top : top + 16, left : left + 16].mean() / FULL for top, left in PLACES]


class Open(Mute):
    """A model that shows its inside too.

    Image states hold Gaussian latents of the image; text states are as much correlated with them
    as `fused` says, from layer 1 on. The last state holds what the model says of the corners.
    """

    def inspect(self, prompts, choices, regions):
        return [self._inside(*asked) for asked in zip(prompts, choices, regions, strict=True)]

    def _inside(self, prompt, choices, regions):
        pixels = prompt.images[0].tobytes()
        scores = self._scores(prompt, choices)
        states = np.zeros((3, LAYERS + 1, WIDTH), dtype=np.float32)
        latent = gaussian(pixels)
        states[0, :, :LATENTS] = latent
        for layer in range(LAYERS + 1):
            r = CORRELATION if self.weights.get("fused") and layer else 0.0
            own = gaussian(pixels, prompt.user.encode(), bytes([layer]))
            states[1, layer, :LATENTS] = r * latent + np.sqrt(1 - r**2) * own
        states[2, :, :4] = scores - scores.mean()
        states[2, :, 4 : 4 + LATENTS] = 0.1 * gaussian(pixels, b"last")
        image, text = count_tokens(prompt)
        listed = 3 * len(choices)
        named = round(
            sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (r.xy for r in regions if r)) / 64
        )
        tokens = np.array([image, named, listed, text - listed])
        mass = tokens / (image + text)
        if (share := self.weights.get("attention")) is not None:
            others = mass[2:] / mass[2:].sum()
            mass = np.array([share, share * named / image, *(1 - share) * others])
        if not regions:
            mass[1] = np.nan
        return Inside(
            scores=scores, h_image=states[0], h_text=states[1], h_last=states[2],
            mass=np.tile(mass, (LAYERS, 1)), tokens=tokens,
        )  # fmt: skip


def count_tokens(prompt) -> tuple[int, int]:
    """Return tokens of the images and of all the words."""
    return IMAGE_TOKENS * len(prompt.images), len(prompt.user.replace("<image>", "").split())


def gaussian(*parts: bytes) -> np.ndarray:
    """Return latents that only these bytes decide."""
    digest = hashlib.sha256(b"|".join(parts)).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big")).standard_normal(LATENTS)
