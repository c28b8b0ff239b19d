"""`vlmbench lm-eval`."""

from __future__ import annotations

from rich.console import Console
from rich.progress import Progress

from vlmbench.cli._run import RichReporter
from vlmbench.harness import Evaluation, evaluate, tables


def lm_eval(asked: Evaluation) -> None:
    """Run lm-eval's tasks on our models and print its own tables."""
    with Progress(console=Console(stderr=True)) as progress:
        results = evaluate(asked, RichReporter(progress))
    for name, result in results.items():
        print(f"vlmbench ({name}), limit: {asked.limit}, num_fewshot: {asked.num_fewshot}")  # noqa: T201
        print(tables(result))  # noqa: T201
    if asked.output is not None:
        print(f"lm-eval's files are in {asked.output}")  # noqa: T201
