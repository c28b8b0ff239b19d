"""Documents a second by torch's threads and the model's size, on a machine idle and busy otherwise.

    python benchmarks/threads.py [--seconds 0.5] [--rounds 5]

`tiny-clip` and LLaVAs of random weights are asked about two images a document, in turn with one
thread and with all, while nothing else runs and while a loop keeps every core busy. Prints a
markdown table with the best round of each (in brackets per second of processor time, which other
programs do not take away), and the threads that vlmbench chooses.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial

import stages
import torch

from vlmbench.models import HfBackend
from vlmbench.models._threads import fit_threads, share_threads
from vlmbench.registry import catalogue

SHAPES = {
    "15M": (56, (128, 512, 4, 4), (192, 512, 4, 4)),
    "28M": (112, (256, 1024, 6, 4), (256, 768, 8, 4)),
}
BATCH = 8


def random(name: str) -> tuple[HfBackend, int]:
    """Return a LLaVA of random weights, and the side of its images."""
    side, vision, text = SHAPES[name]
    stages.SHAPES[name] = {"side": side, "vision": vision, "text": text}
    return stages.make(name, torch.device("cpu"), torch.float32).backend, side


def shipped() -> tuple[HfBackend, int]:
    """Return `tiny-clip`, and the side of its images."""
    model = catalogue([]).models["tiny-clip"]
    return HfBackend.load(model.spec, model.folder, torch.device("cpu"), torch.float32), 96


@contextmanager
def busy() -> Iterator[None]:
    """Keep every core busy with a loop."""
    loops = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(os.cpu_count() or 1)
    ]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def speed(backend: HfBackend, side: int, threads: int, seconds: float) -> tuple[float, float]:
    """Return the documents a second, and a second of processor time, with so many threads."""
    prompts, _ = stages.questions(side, BATCH)
    torch.set_num_threads(threads)
    done, start, used = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - start < seconds:
        backend.choice_logprobs(prompts, [stages.CHOICES] * BATCH)
        done += BATCH
    return done / (time.perf_counter() - start), done / (time.process_time() - used)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    every = torch.get_num_threads()
    head = ["parameters", "idle, 1", f"idle, {every}", "busy, 1", f"busy, {every}", "chosen"]
    print("| " + " | ".join([*head, "idle / busy"]) + " |\n|" + "---|" * 7)
    for make in (shipped, *(partial(random, name) for name in SHAPES)):
        share_threads(every)
        backend, side = make()
        found: dict[tuple[str, int], tuple[float, float]] = {}
        for _ in range(given.rounds):
            for how, meanwhile in (("idle", nullcontext), ("busy", busy)):
                with meanwhile():
                    for threads in (1, every):
                        now = speed(backend, side, threads, given.seconds)
                        found[how, threads] = max(found.get((how, threads), now), now)
        share_threads(every)
        fit_threads(backend.model)
        chosen = torch.get_num_threads()
        size = sum(parameter.numel() for parameter in backend.model.parameters())
        order = [found[how, threads] for how in ("idle", "busy") for threads in (1, every)]
        row = [f"{wall:.1f} ({used:.1f})" for wall, used in order]
        ratio = found["idle", chosen][0] / found["busy", chosen][0]
        print(f"| {size / 1e6:.1f}M | {' | '.join(row)} | {chosen} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
