"""What reading every stage costs beside asking: memory and documents a second, at any size.

    python benchmarks/stages.py [--shape tiny|7b] [--documents 32] [--batch 4]

A LLaVA-1.5 of random weights is made on the device (no checkpoint is read), asked about two noise
images a document, first plainly and then with every stage read by the probes that need no fit and
by the sums that a depth map is fitted from. Prints a markdown table with the peak memory of each.
`7b` has LLaVA-1.5-7B's shape, in bfloat16: it needs a GPU with 24 GB.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tabulate import tabulate
from transformers import (
    AutoProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
)

from vlmbench.models import HfBackend, Prompt, Seen, StageTap, Tower
from vlmbench.readouts.probes import (
    DepthSums,
    GramHead,
    ImageFeatures,
    KeypointHead,
    OddOneOutHead,
    OnGrid,
)
from vlmbench.spec import ModelSpec
from vlmbench.types import Document, EncodedImage, Region

TOKENIZER = Path(__file__).parents[1] / "models" / "tiny-clip"
SHAPES = {
    "tiny": {"side": 56, "vision": (64, 128, 4, 4), "text": (128, 256, 4, 4)},
    "7b": {"side": 336, "vision": (1024, 4096, 24, 16), "text": (4096, 11008, 32, 32)},
}
PATCH, CHOICES = 14, ("A", "B")


def make(shape: str, device: torch.device, dtype: torch.dtype) -> StageTap:
    """Return a random model of a shape on a device, ready to be listened to."""
    sizes = SHAPES[shape]
    side = sizes["side"]
    processor = AutoProcessor.from_pretrained(TOKENIZER)
    image = processor.image_processor
    image.size, image.crop_size = ({"height": side, "width": side} for _ in range(2))
    processor.patch_size = PATCH
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            image_size=side, patch_size=PATCH, **dict(zip(names, sizes["vision"], strict=True))
        ),
        text_config=LlamaConfig(
            vocab_size=32064, max_position_embeddings=4096, pad_token_id=0, eos_token_id=1,
            **dict(zip(names, sizes["text"], strict=True)),
        ),
        image_token_index=processor.tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=(side // PATCH) ** 2,
        vision_feature_layer=-2,
    )  # fmt: skip
    torch.set_default_dtype(dtype)
    with device:
        model = LlavaForConditionalGeneration(config).eval()
    torch.set_default_dtype(torch.float32)
    spec = ModelSpec.model_validate(
        {
            "model": f"random-{shape}", "backend": "hf", "checkpoint": "none",
            "twin": {"layer": -2, "pooled": "cls", "relation": "identical"},
        }
    )  # fmt: skip
    backend = HfBackend(model, processor, spec)
    assert spec.twin is not None
    return StageTap(backend, Tower.inside(backend, spec.twin))


def questions(side: int, n: int) -> tuple[list[Prompt], Document]:
    """Return prompts with two noise images each, and a document with points and images in them."""
    rng = np.random.default_rng(0)

    def noise() -> Image.Image:
        return Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))

    prompts = [
        Prompt(user="<image><image>Which is nearer? (A) red (B) blue", images=(noise(), noise()))
        for _ in range(n)
    ]
    blank = EncodedImage.from_pil(noise())
    places = rng.uniform(0, side - 1, (3, 2))
    document = Document(
        doc_id="d", images=(blank, blank), encoder_images=(blank, blank), marked=False,
        choices=CHOICES, gold=0,
        reference=Region(image=0, kind="point", xy=tuple(places[0])),
        candidates=tuple(Region(image=1, kind="point", xy=tuple(xy)) for xy in places[1:]),
    )  # fmt: skip
    return prompts, document


def features_of(seen: Sequence[Seen], side: int) -> list[ImageFeatures]:
    """Return the features that probes read."""
    return [
        ImageFeatures(
            patch_tokens=one.tokens[None],
            cls_token=one.cls_token,
            frame=OnGrid(image_size=(side, side), grid=tuple(one.tokens.shape[:2]), box=one.box),
        )
        for one in seen
    ]


Reads = Callable[[str, Sequence[ImageFeatures]], None]


def readers(document: Document, side: int) -> dict[str, Reads]:
    """Return what is done with the features of a document's images at one stage, by name."""
    images = tuple(Region(image=i, kind="image", xy=()) for i in range(2))
    pair = Document(
        doc_id="p", images=document.images, encoder_images=document.images, marked=False,
        choices=CHOICES, gold=0, reference=images[0], candidates=(images[1], images[1]),
    )  # fmt: skip
    three = Document(
        doc_id="o", images=document.images, encoder_images=document.images, marked=False,
        choices=("A", "B", "C"), gold=0, candidates=(images[0], images[1], images[1]),
    )  # fmt: skip
    sums: dict[str, DepthSums] = {}
    depth = np.random.default_rng(1).uniform(1, 9, (side, side))
    keypoint, gram, odd = KeypointHead(), GramHead(), OddOneOutHead()

    def add(stage: str, features: Sequence[ImageFeatures]) -> None:
        sums.setdefault(stage, DepthSums()).add(features[0], depth)

    return {
        "keypoint": lambda _, features: np.asarray(keypoint.score(document, features)).sum(),
        "odd one out": lambda _, features: np.asarray(odd.score(three, features)).sum(),
        "gram": lambda _, features: np.asarray(gram.score(pair, features)).sum(),
        "depth sums": add,
    }


def peak(device: torch.device) -> float:
    """Return the most memory used so far, in GiB: the device's, or this process's."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated() / 2**30)
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--documents", type=int, default=32)
    parser.add_argument("--batch", type=int, default=4)
    asked = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    side = SHAPES[asked.shape]["side"]
    tap = make(asked.shape, device, dtype)
    prompts, document = questions(side, asked.documents)
    rows = [["weights alone", "", "", f"{peak(device):.1f}"]]
    stages: set[str] = set()

    def run(name: str, once: Callable[[list[Prompt]], object]) -> None:
        once(prompts[: asked.batch])  # warm
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        for first in range(0, len(prompts), asked.batch):
            once(prompts[first : first + asked.batch])
        rate = len(prompts) / (time.perf_counter() - start)
        base = float(rows[1][1]) if len(rows) > 1 else rate
        rows.append([name, f"{rate:.2f}", f"{rate / base:.2f}", f"{peak(device):.1f}"])
        print(*rows[-1], sep="  ", flush=True)

    run("asked", lambda part: tap.backend.choice_logprobs(part, [CHOICES] * len(part)))
    for name, reads in readers(document, side).items():

        def keep(_: int, stage: str, seen: Sequence[Seen], reads: Reads = reads) -> None:
            stages.add(stage)
            reads(stage, features_of(seen, side))

        run(
            f"every stage, {name}",
            lambda part, keep=keep: tap.read(part, [CHOICES] * len(part), keep),
        )
    where = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    print(f"{asked.shape}, {len(stages)} stages, batch {asked.batch}, {dtype}, {where}\n")
    head = ["", "documents/s", "of asking", "peak GiB"]
    print(tabulate(rows, head, tablefmt="pipe", disable_numparse=True))


if __name__ == "__main__":
    main()
