"""What a task of many documents takes: seconds and peak memory of plan, check, run and leaderboard.

    python benchmarks/many_documents.py [--documents 100000] [--model-documents 2000] [--side 32]

Writes a data set of its own (Parquet; one PNG a document, two points, one of which is nearer to the
middle), plans, checks it, runs a cheap rule over all of it and `tiny-clip` over its first
documents, and publishes both runs. Every step is a process of its own; what is printed of it is
its wall and processor time and the most memory it held at once, imports included. Exits with 1 if a
step takes more than 1.5 GB, or a second of processor time checks less than 5,000 documents.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import yaml
from PIL import Image
from pyarrow import parquet

GB = 1.5
CHECKED_A_SECOND = 5000
ROWS_AT_ONCE = 1000
TASK = {
    "task": "many", "dataset_path": "parquet", "test_split": "test",
    "dataset_kwargs": {"data_files": {"test": "many.parquet"}},
    "output_type": "multiple_choice", "doc_to_image": "image", "doc_to_choice": ["A", "B"],
    "doc_to_text": "<image>\n{{ question }}\n(A) the red one\n(B) the blue one\n"
        "Answer with the letter:",
    "doc_to_target": "gold",
    "metadata": {
        "vlmbench": {
            "ability": "pointing", "id_column": "id", "markers": "drawn",
            "regions": {"choices": {"kind": "point", "image": 0, "column": "points"}},
        }
    },
}  # fmt: skip
SCHEMA = pa.schema(
    {
        "id": pa.string(), "question": pa.string(), "gold": pa.int64(),
        "points": pa.list_(pa.list_(pa.int64())),
        "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
    },
    # How `datasets` knows a column of images.
    metadata={"huggingface": '{"info": {"features": {"id": {"dtype": "string", "_type": "Value"}, '
        '"question": {"dtype": "string", "_type": "Value"}, '
        '"gold": {"dtype": "int64", "_type": "Value"}, '
        '"points": {"feature": {"feature": {"dtype": "int64", "_type": "Value"}, '
        '"_type": "List"}, "_type": "List"}, "image": {"_type": "Image"}}}}'},
)  # fmt: skip
CHECK = """
import sys, time
from pathlib import Path
from vlmbench.spec import load_file
from vlmbench.tasks import check_documents, clustered, load_documents
path, kept = Path(sys.argv[1]), []
documents = load_documents(load_file(path), "reported", path.parent)
start = time.process_time()
check_documents(documents, kept.append)
clustered(kept, None)
print(len(kept) / (time.process_time() - start))
"""


def rows(start: int, count: int, side: int) -> Iterator[dict[str, object]]:
    """Yield rows from number `start` on, with images of `side` pixels of 8 x 8 random colours."""
    for index in range(start, start + count):
        rng = np.random.default_rng(index)
        colours = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        picture = colours.resize((side, side), Image.Resampling.NEAREST)
        points = rng.integers(0, side, (2, 2))
        for (x, y), colour in zip(points.tolist(), ("red", "blue"), strict=True):
            picture.paste(colour, (x - 1, y - 1, x + 2, y + 2))
        file = io.BytesIO()
        picture.save(file, format="PNG")
        far = np.hypot(*(points - side / 2).T)
        yield {
            "id": f"d{index}",
            "question": "Which point is nearer to the middle?",
            "gold": int(far.argmin()), "points": points.tolist(),
            "image": {"bytes": file.getvalue(), "path": None},
        }  # fmt: skip


def write(folder: Path, count: int, side: int) -> Path:
    """Write the data set and its task; return the task's file."""
    with parquet.ParquetWriter(folder / "many.parquet", SCHEMA) as writer:
        for start in range(0, count, ROWS_AT_ONCE):
            some = list(rows(start, min(ROWS_AT_ONCE, count - start), side))
            writer.write_table(pa.Table.from_pylist(some, schema=SCHEMA))
    path = folder / "many.yaml"
    path.write_text(yaml.safe_dump(TASK))
    return path


def measured(*command: object, folder: Path) -> tuple[float, float, float, str]:
    """Return a command's wall and processor seconds, its peak memory in GB, and its output."""
    words = [sys.executable, *map(str, command)]
    start = time.perf_counter()
    child = subprocess.Popen(
        words, stdout=subprocess.PIPE, text=True, env=os.environ | {"HF_HOME": str(folder)}
    )
    assert child.stdout is not None
    said = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words)} failed")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, peak / 1e9, said


def main() -> int:
    """Measure, print a table, and say whether the targets are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--model-documents", type=int, default=2000)
    parser.add_argument("--side", type=int, default=32)
    given = parser.parse_args()
    met = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        task = write(folder, given.documents, given.side)
        rule, model = folder / "rule", folder / "model"
        run = ("-m", "vlmbench", "run", "--tasks", task, "--device", "cpu")
        ours = ("--models", "tiny-clip", "--study", "gap", "--conditions", "own")
        steps: dict[str, tuple[object, ...]] = {
            "plan": ("-m", "vlmbench", "plan", "--tasks", task, "--models", "rule-central-point"),
            "check": ("-c", CHECK, task),
            "run: a rule": (*run, "--models", "rule-central-point", "--output", rule),
            "the same run again": (*run, "--models", "rule-central-point", "--output", rule),
            f"run: tiny-clip, {given.model_documents} documents": (
                *run, *ours, "--limit", given.model_documents, "--output", model,
            ),
            "leaderboard": ("-m", "vlmbench", "leaderboard", rule, "--output", folder / "board"),
        }  # fmt: skip
        print("| step | seconds | processor seconds | peak GB |\n|---|---|---|---|")
        for step, command in steps.items():
            wall, busy, peak, said = measured(*command, folder=folder)
            print(f"| {step} | {wall:.1f} | {busy:.1f} | {peak:.2f} |", flush=True)
            met &= peak < GB
            if step == "check":
                speed = float(said)
                met &= speed >= CHECKED_A_SECOND
    print(f"checked {speed:.0f} documents a second of processor time")
    print("targets met" if met else "a target was MISSED")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
