r"""What scoring choices costs in vLLM's engine, by document or by choice, and in transformers.

Asks `tiny-clip` about the first documents of `naming`, one image each, in three ways: the token
sets of `backend: vllm`; every choice behind its prompt with `prompt_logprobs`, as harnesses do it;
and transformers. The ways take turns, caches are emptied before each, and the CPU time is that of
this one process. Run it in the environment of `make vllm`:

    VLLM_CPU_OMP_THREADS_BIND=nobind VLLM_CPU_KVCACHE_SPACE=1 OMP_NUM_THREADS=1 \
        .vllm/bin/python benchmarks/engine.py [--documents 200] [--rounds 3]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np
import torch
from tabulate import tabulate

from vlmbench.cli._folders import data_folder
from vlmbench.models import HfBackend, Prompt
from vlmbench.models._vllm import VllmBackend, _request
from vlmbench.readouts._prompts import build_prompt
from vlmbench.registry import catalogue
from vlmbench.tasks import ask, load_documents

CPU = torch.device("cpu")
Way = Callable[..., list[Any]]
CHOICES = {
    "A": list("ABCD"),
    "(A)": [f"({letter})" for letter in "ABCD"],
    "words": ["mug", "a red cube", "a blue ball", "a green chair"],
}


def one_a_choice(
    engine: VllmBackend, prompts: Sequence[Prompt], rows: Sequence[Sequence[str]]
) -> list[Any]:
    """Score every choice behind its prompt, the whole prompt's likelihoods with it."""
    from vllm import SamplingParams

    requests, answers = [], []
    for prompt, row in zip(prompts, rows, strict=True):
        text, found = engine._text.answers(engine.render(prompt), row)
        requests += [_request([*engine._text.prompt_tokens(text), *ids], prompt) for ids in found]
        answers += found
    parameters = SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=0)
    outputs = engine._engine.generate(requests, parameters, use_tqdm=False)
    sums = iter(
        sum(
            place[token].logprob
            for place, token in zip(output.prompt_logprobs[-len(ids) :], ids, strict=True)
        )
        for output, ids in zip(outputs, answers, strict=True)
    )
    return [np.array([next(sums) for _ in row]) for row in rows]


def in_parts(run: Way, size: int) -> Way:
    """Return what runs prompts in batches of a size."""
    return lambda prompts, rows: [
        one
        for start in range(0, len(prompts), size)
        for one in run(prompts[start : start + size], rows[start : start + size])
    ]


def measured(
    ways: dict[str, Way], engine: VllmBackend, *both: Any, rounds: int
) -> dict[str, tuple[int, list[float], Any]]:
    """Return, by way, requests to the engine, CPU seconds of every round, and scores."""
    requests, real = [0], engine._engine.generate
    spent: dict[str, list[float]] = {way: [] for way in ways}
    found: dict[str, tuple[int, list[float], Any]] = {}

    def counted(given: Sequence[Any], *more: Any, **others: Any) -> Any:
        requests[0] += len(given)
        return real(given, *more, **others)

    engine._engine.generate = counted
    for _ in range(rounds):
        for way, run in ways.items():
            engine._engine.reset_prefix_cache()
            engine._engine.reset_mm_cache()
            requests[0], before = 0, time.process_time()
            scores = np.stack(run(*both))
            spent[way].append(time.process_time() - before)
            found[way] = requests[0], spent[way], scores
    engine._engine.generate = real
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    (model,) = catalogue().select_models("tiny-clip")
    (task,) = catalogue().select_tasks("naming")
    documents = list(load_documents(task, "reported", data_folder(None), chosen.documents))
    asked = ask(documents, task.spec, task.spec.bench.condition)
    prompts = [build_prompt(one, task.spec, model.spec) for one in asked]
    engine = VllmBackend.load(model.spec, model.folder, CPU, torch.float32)
    plain = HfBackend.load(model.spec, model.folder, CPU, torch.float32)
    ways: dict[str, Way] = {
        "vllm, token sets": in_parts(engine.choice_logprobs, engine.batch),
        "vllm, a request a choice": lambda *both: one_a_choice(engine, *both),
        "hf, batches of 32": in_parts(plain.choice_logprobs, 32),
        "hf, one at a time": in_parts(plain.choice_logprobs, 1),
    }
    lines = []
    for name, choices in CHOICES.items():
        rows = [[engine.continuation(choice, " ") for choice in choices]] * len(prompts)
        found = measured(ways, engine, prompts, rows, rounds=chosen.rounds)
        own = found["hf, batches of 32"][2]
        for way, (requests, spent, scores) in found.items():
            seconds = f"{median(spent):.2f} ({min(spent):.2f} to {max(spent):.2f})"
            worst = f"{np.abs(scores - own).max():.1e}"
            same = int((scores.argmax(1) == own.argmax(1)).sum())
            lines.append([name, way, requests or "", seconds, worst, same])
    head = ["choices", "way", "requests", "CPU seconds (range)", "difference", "same picks"]
    print(tabulate(lines, head, tablefmt="github"))


if __name__ == "__main__":
    main()
