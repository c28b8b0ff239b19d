"""How near the engine is to the hardware, and to lm-eval: documents a second, side by side.

    python benchmarks/speed.py [--shape tiny|mid] [--documents 256] [--rounds 3] [--batches 1,8,32]

A LLaVA of random weights is made (no checkpoint is read) and asked about two noise images a
document. Every round runs each contestant once over all documents, in turn, in one process; the
table has the median of each and its spread. Contestants:

- `ceiling`: the model's own forward passes over batches that were encoded before, and nothing else.
- `choices`: `read_prompted`, from encoded image files to scores.
- `generate`: `read_prompted` of a task that generates 16 tokens, from image files to votes.
- `lm-eval`: its `hf-multimodal` model as shipped, from the same image files.
- `lm-eval, no gc`: the same without the garbage collection that it does after every batch.
"""

from __future__ import annotations

import argparse
import gc
import io
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

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

from vlmbench.models import HfBackend
from vlmbench.readouts import read_prompted
from vlmbench.readouts._prompts import build_prompt
from vlmbench.spec import ModelSpec, TaskSpec
from vlmbench.types import Asked, Document, EncodedImage

TOKENIZER = Path(__file__).parents[1] / "models" / "tiny-clip"
# Hidden size, intermediate size, layers and heads of both towers; side of an image; its patch.
SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {"side": 56, "patch": 14, "vision": (64, 128, 2, 4), "text": (96, 256, 2, 4)},
    "mid": {"side": 224, "patch": 16, "vision": (768, 3072, 12, 12), "text": (1024, 2816, 16, 16)},
    "7b": {"side": 336, "patch": 14, "vision": (1024, 4096, 24, 16), "text": (4096, 11008, 32, 32)},
}
VOCABULARY = {"tiny": 1024, "mid": 32064, "7b": 32064}
NEW_TOKENS = 16
CHOICES = ("A", "B", "C")
QUESTION = "<image><image>Which point is nearer?\n(A) red\n(B) blue\n(C) green\nAnswer:"


def make(shape: str, device: torch.device, dtype: torch.dtype, folder: Path) -> HfBackend:
    """Return a random model of a shape; it is also saved to a folder."""
    sizes = SHAPES[shape]
    side, patch = sizes["side"], sizes["patch"]
    processor = AutoProcessor.from_pretrained(TOKENIZER)
    image = processor.image_processor
    image.size, image.crop_size = ({"height": side, "width": side} for _ in range(2))
    processor.patch_size = patch
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            image_size=side, patch_size=patch, **dict(zip(names, sizes["vision"], strict=True))
        ),
        text_config=LlamaConfig(
            vocab_size=VOCABULARY[shape], max_position_embeddings=4096, pad_token_id=0,
            eos_token_id=1, tie_word_embeddings=True,
            **dict(zip(names, sizes["text"], strict=True)),
        ),
        image_token_index=processor.tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=(side // patch) ** 2, vision_feature_layer=-2,
    )  # fmt: skip
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    with device:
        model = LlavaForConditionalGeneration(config).eval()
    torch.set_default_dtype(torch.float32)
    model.generation_config.eos_token_id = 1
    if shape != "7b":
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
    spec = ModelSpec.model_validate(
        {
            "model": f"random-{shape}", "backend": "hf", "checkpoint": str(folder),
            "twin": {"layer": -2, "pooled": "cls", "relation": "identical"},
        }
    )  # fmt: skip
    return HfBackend(model, processor, spec)


def documents(n: int, side: int) -> list[Asked]:
    """Return questions about two noise images each, as JPEG files in memory."""
    rng = np.random.default_rng(0)

    def picture() -> EncodedImage:
        small = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        small.resize((side + 10, side + 20)).save(buffer, format="JPEG")
        return EncodedImage(buffer.getvalue())

    asked = []
    for index in range(n):
        pair = (picture(), picture())
        document = Document(
            doc_id=str(index), images=pair, encoder_images=pair, marked=False,
            choices=CHOICES, gold=index % len(CHOICES),
        )  # fmt: skip
        asked.append(Asked(document=document, text=QUESTION + " so" * (index % 7)))
    return asked


def task(generates: bool) -> TaskSpec:
    """Return a task of choices or of generated text."""
    written = {"until": ["\n\n"], "max_gen_toks": NEW_TOKENS}
    spec: dict[str, Any] = {
        "task": "speed",
        "dataset_path": "parquet",
        "test_split": "test",
        "doc_to_text": "{{question}}",
        "doc_to_image": ["image"],
        "doc_to_choice": list(CHOICES),
        "doc_to_target": "answer",
        "output_type": "generate_until" if generates else "multiple_choice",
    }
    return TaskSpec.model_validate(spec | ({"generation_kwargs": written} if generates else {}))


def ceiling(backend: HfBackend, asked: list[Asked], batch: int) -> Callable[[], object]:
    """Return what runs the model over batches that are ready on its device."""
    spec = task(generates=False)
    prompts = [build_prompt(one, spec, backend.spec) for one in asked]
    prompts.sort(key=lambda prompt: -len(prompt.user))
    ready = []
    for start in range(0, len(prompts), batch):
        part = prompts[start : start + batch]
        texts = [backend.render(prompt) for prompt in part]
        encoded = backend.inputs.encode(texts, part, side="right")
        ready.append((encoded, encoded["attention_mask"].sum(dim=1) - 1))

    @torch.inference_mode()
    def run() -> None:
        for encoded, ends in ready:
            kept = torch.unique(ends)
            logits = backend.model(**encoded, use_cache=False, logits_to_keep=kept).logits
            logits.float().log_softmax(dim=-1)[:, :, 0].cpu()

    return run


def lm_eval(folder: Path, backend: HfBackend, asked: list[Asked], batch: int) -> Callable[[], Any]:
    """Return what has lm-eval's own model generate."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.hf_vlms import HFMultimodalLM

    device, dtype = str(backend.model.device), str(backend.model.dtype).removeprefix("torch.")
    theirs = HFMultimodalLM(
        pretrained=str(folder), dtype=dtype, device=device, batch_size=batch, max_length=4096
    )
    kwargs = {"until": ["\n\n"], "max_gen_toks": NEW_TOKENS, "do_sample": False}

    def run() -> list[str]:
        theirs.chat_applied = False
        requests = []
        for one in asked:
            visual = [Image.open(io.BytesIO(image.data)) for image in one.document.images]
            arguments = (one.text, dict(kwargs), {"visual": visual})
            requests.append(
                Instance(request_type="generate_until", doc={}, arguments=arguments, idx=0)
            )
        found: list[str] = theirs.generate_until(requests, disable_tqdm=True)
        return found

    return run


@contextmanager
def no_gc() -> Iterator[None]:
    """Do without the garbage collection that lm-eval asks for."""
    with mock.patch.object(gc, "collect", return_value=0):
        yield


def measured(
    contestants: dict[str, Callable[[], object]], n: int, rounds: int
) -> dict[str, list[float]]:
    """Return documents a second of each contestant in every round, run in turn."""
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            if number:  # the first round warms up
                rates[name].append(n / (time.perf_counter() - start))
    return rates


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--documents", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", default="1,8,32")
    parser.add_argument("--without", default="", help="contestants to leave out, by commas")
    parser.add_argument("--threads", type=int, default=0)
    asked = parser.parse_args()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.float32 if asked.shape == "tiny" else torch.bfloat16
    rows = []
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        backend = make(asked.shape, device, dtype, folder)
        parameters = sum(p.numel() for p in backend.model.parameters())
        held = documents(asked.documents, SHAPES[asked.shape]["side"])
        for batch in map(int, asked.batches.split(",")):

            def read(generates: bool, size: int = batch) -> Callable[[], object]:
                spec = task(generates)
                return lambda: read_prompted(held, spec, backend, batch_size=size)

            theirs = None if "lm-eval" in asked.without else lm_eval(folder, backend, held, batch)

            def honest(run: Any = theirs) -> object:
                with no_gc():
                    return run()

            contestants: dict[str, Callable[[], object]] = {
                "ceiling": ceiling(backend, held, batch),
                "choices": read(generates=False),
                "generate": read(generates=True),
            }
            if theirs is not None:
                contestants |= {"lm-eval": theirs, "lm-eval, no gc": honest}
            for name, rates in measured(contestants, len(held), asked.rounds).items():
                spread = (max(rates) - min(rates)) / statistics.median(rates)
                rows.append([batch, name, f"{statistics.median(rates):.1f}", f"{spread:.0%}"])
                print(*rows[-1], sep="  ", flush=True)
    where = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    print(f"\n{asked.shape}: {parameters / 1e6:.2f}M parameters, {dtype}, {where}, "
          f"{torch.get_num_threads()} threads, {asked.documents} documents\n")  # fmt: skip
    print(tabulate(rows, ["batch", "what", "documents/s", "spread"], tablefmt="pipe"))


if __name__ == "__main__":
    main()
