"""How long the command line takes to answer, beside lm-eval's, measured in one run.

Runs the four commands in turn, several rounds, and reports each one's fastest round (the
machine's noise only ever adds) and the ratios. Exits with 1 if a target is missed.

    python benchmarks/startup.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = {
    "vlmbench --help": ["vlmbench", "--help"],
    "lm_eval --help": ["lm_eval", "--help"],
    "vlmbench ls tasks": ["vlmbench", "ls", "tasks"],
    "lm_eval ls tasks": ["lm_eval", "ls", "tasks"],
}
TARGETS = [
    ("vlmbench --help", "lm_eval --help", 1.0),
    ("vlmbench ls tasks", "lm_eval ls tasks", 0.1),
]


def seconds(command: list[str]) -> float:
    """Return the wall time of one call, in seconds."""
    program = Path(sys.executable).parent / command[0]
    start = time.perf_counter()
    subprocess.run([program, *command[1:]], check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> int:
    """Measure, print a table, and say whether the targets are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, command in COMMANDS.items():
            times[name].append(seconds(command))
    best = {name: min(values) for name, values in times.items()}
    for name, value in best.items():
        print(f"{name:20} {value:7.2f} s")
    missed = 0
    for ours, theirs, target in TARGETS:
        ratio = best[ours] / best[theirs]
        met = ratio <= target
        missed += not met
        print(f"{ours} / {theirs}: {ratio:.2f} (at most {target}) {'met' if met else 'MISSED'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
