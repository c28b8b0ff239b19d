"""What it takes to explain a run, by phase: the tests and analyses of each task, and the card.

    vlmbench run -m tiny-clip -t object_3d,depth --study diagnose --limit 150 -o RUN
    python benchmarks/explain.py RUN tiny-clip [--profile]

Imports are left out. CPU seconds are those of the process, so that other work on the machine
matters less than for wall time. With `--profile` the functions that took longest follow.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from vlmbench.report import cards
from vlmbench.store import RunFolder

T = TypeVar("T")


def timed(name: str, call: Callable[[], T]) -> T:
    """Call, print the wall and CPU seconds it took, and return what it returns."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{name:24} {wall:7.2f} s  {cpu:7.2f} s of CPU")
    return result


def main() -> None:
    """Explain a model of a run, and say how long each phase took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("model")
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    run, profile = RunFolder(given.run).read(), cProfile.Profile()
    if given.profile:
        profile.enable()
    explanation = timed("tests and analyses", lambda: cards.explain(run, given.model))
    with tempfile.TemporaryDirectory() as folder:
        timed("card and plots", lambda: cards.write_card(explanation, Path(folder)))
    if given.profile:
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(10)


if __name__ == "__main__":
    main()
