"""`vlmbench lm-eval`."""

from __future__ import annotations

from vlmbench.cli._printing import say
from vlmbench.cli._progress import reporting
from vlmbench.harness import Evaluation, evaluate, tables


def lm_eval(asked: Evaluation) -> None:
    """Run lm-eval's tasks on our models and print its own tables."""
    with reporting() as reporter:
        results = evaluate(asked, reporter)
    for name, result in results.items():
        say(f"vlmbench ({name}), limit: {asked.limit}, num_fewshot: {asked.num_fewshot}")
        say(tables(result))
    if asked.output is not None:
        say(f"lm-eval's files are in {asked.output}")
