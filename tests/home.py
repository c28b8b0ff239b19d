"""What tests of every room share: a user's folder of YAML and data, and ways to run a command.

A test module says `from home import Home, vlmbench`: pytest puts this folder on the path
(`pythonpath` in pyproject.toml). What needs torch stands in `conftest.py`, as fixtures.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from PIL import Image

    from vlmbench.spec import TaskSpec
    from vlmbench.types import Asked, Document

ROOT = Path(__file__).parents[1]
HEAVY = frozenset({"torch", "transformers", "lm_eval", "embreex"})
"""Packages that take seconds to import, which the light commands do without."""


# -- commands ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a command printed, and the status with which it ended."""

    status: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """Everything that was printed, on one line: where lines break depends on the width."""
        return " ".join(f"{self.out} {self.err}".split())


def vlmbench(*arguments: object, status: int = 0) -> Said:
    """Run a command in this process; any other status than the expected one fails the test."""
    from vlmbench.cli import main

    out, err, before, folder = io.StringIO(), io.StringIO(), sys.argv, Path.cwd()
    sys.argv = ["vlmbench", *map(str, arguments)]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
        code: object = 0
    except SystemExit as stopped:
        code = stopped.code or 0
    finally:
        sys.argv = before
        os.chdir(folder)  # `retry` works where the run was started
    assert code == status, f"{code}\n{out.getvalue()}\n{err.getvalue()}"
    return Said(status=status, out=out.getvalue(), err=err.getvalue())


def program(*command: object, folder: Path | None = None, **variables: str) -> str:
    """Run a program of this environment in a process of its own and return what it printed.

    Args:
        command: The program and its arguments; `python` is this interpreter.
        folder: Where it runs; here where None.
        variables: Of its environment; unless `PYTHONPATH` is among them, it finds this checkout.
    """
    name, *arguments = map(str, command)
    packages = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    done = subprocess.run(
        [sys.executable if name == "python" else Path(sys.executable).parent / name, *arguments],
        cwd=folder,
        env=os.environ | packages | variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def loaded_by(code: str, packages: Sequence[str] | frozenset[str] = HEAVY) -> set[str]:
    """Return which of some packages are imported by the time that code has run, afresh."""
    last = f"\nimport sys\nprint(*({set(packages)!r} & set(sys.modules)))"
    return set(program("python", "-c", code + last).splitlines()[-1].split())


# -- documents and questions ------------------------------------------------------------------


def document(index: int, *images: Image.Image, choices: Sequence[str] = "AB", **more: Any) -> Any:
    """Return document number `index`, whose choices are right in turn; `more` replaces fields."""
    from vlmbench.types import Document, EncodedImage

    encoded = tuple(map(EncodedImage.from_pil, images))
    values: dict[str, Any] = {
        "doc_id": f"d{index}", "images": encoded, "encoder_images": encoded, "marked": False,
        "choices": tuple(choices), "gold": index % len(choices), "row": {},
    }  # fmt: skip
    return Document(**values | more)


def asked(documents: Sequence[Document], questions: Sequence[str]) -> list[Asked]:
    """Return documents with their questions."""
    from vlmbench.types import Asked

    pairs = zip(documents, questions, strict=True)
    return [Asked(document=document, text=text) for document, text in pairs]


def texts_read(
    spec: TaskSpec, documents: Sequence[Document], texts: Sequence[str], question: str = ""
) -> list[Any]:
    """Return what a task's own rule reads from texts: scores, or None where it abstains."""
    from vlmbench.models import Reply
    from vlmbench.readouts import read_texts

    questions = asked(documents, [question] * len(documents))
    return list(read_texts(spec, questions, [Reply(text=text) for text in texts]))


# -- cells ------------------------------------------------------------------------------------


def keyed(cells: Any) -> Any:
    """Return cells by condition and readout, or only their keys, from pairs of labels."""
    from vlmbench.spec import Condition, Encoder, Prompted, Rule

    known = (Prompted(), Encoder(), Rule(name="first_choice"))
    readouts = {readout.label: readout for readout in known}
    keys = {pair: (Condition.parse(pair[0]), readouts[pair[1]]) for pair in cells}
    return {keys[pair]: cells[pair] for pair in cells} if isinstance(cells, dict) else keys.values()


# -- a user's folder --------------------------------------------------------------------------


def task_keys(name: str = "t", *, bench: Mapping[str, Any] | None = None, **keys: Any) -> Any:
    """Return a task file's keys: which of A and B a question about one image is answered by.

    Args:
        name: Of the task.
        bench: Keys below `metadata.vlmbench`, where the ability is `naming` if nothing is said.
        keys: Keys that are added or replaced; None takes one away.
    """
    found: dict[str, Any] = {
        "task": name, "dataset_path": "json", "test_split": "test",
        "output_type": "multiple_choice", "doc_to_text": "<image>{{ question }}",
        "doc_to_image": ["image"], "doc_to_choice": ["A", "B"], "doc_to_target": "answer",
        "metadata": {"vlmbench": {"ability": "naming", **(bench or {})}}, **keys,
    }  # fmt: skip
    return {key: value for key, value in found.items() if value is not None}


def task_spec(name: str = "t", **keys: Any) -> TaskSpec:
    """Return the task that a file with these keys stands for; see `task_keys`."""
    from vlmbench.spec import TaskSpec

    return TaskSpec.model_validate(task_keys(name, **keys))


def noise(seed: int, size: tuple[int, int] = (32, 32)) -> Image.Image:
    """Return an image of (width, height) in which every pixel has a colour of its own."""
    import numpy as np
    from PIL import Image

    width, height = size
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@dataclass(frozen=True, slots=True)
class Home:
    """A folder as a user makes it: tasks with their rows and images, models, studies."""

    folder: Path

    def write(self, name: str, content: str | Mapping[str, Any]) -> Path:
        """Write a file, a mapping as YAML, and return its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False)
        path.write_text(text, "utf-8")
        return path

    def image(self, name: str, image: Image.Image) -> str:
        """Write an image beside the rows of tasks and return the name by which they know it."""
        path = self.folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
        return name

    def rows(self, name: str, rows: Sequence[Mapping[str, Any]]) -> Path:
        """Write documents, a line each."""
        return self.write(f"data/{name}.jsonl", "\n".join(map(json.dumps, rows)) + "\n")

    def task(self, name: str, rows: Sequence[Mapping[str, Any]], **keys: Any) -> Path:
        """Write a task (see `task_keys`) and its documents."""
        self.rows(name, rows)
        files = {"data_files": {"test": f"data/{name}.jsonl"}}
        return self.write(f"{name}.yaml", task_keys(name, **{"dataset_kwargs": files, **keys}))

    def pairs(self, name: str, count: int, size: tuple[int, int] = (32, 32), **keys: Any) -> Path:
        """Write a task on pairs of images that are one: which point is the reference's place?

        The encoder's answer is exact, whatever its weights. The answer is A and B in turn.
        """
        points = [[size[0] // 8, size[1] // 4], [size[0] * 7 // 8, size[1] * 7 // 8]]
        rows = []
        for index in range(count):
            for side in ("l", "r"):
                self.image(f"{name}/{index}{side}.png", noise(index, size))
            rows.append(
                {
                    "id": f"doc{index}", "answer": index % 2, "points": points,
                    "left": f"{name}/{index}l.png", "right": f"{name}/{index}r.png",
                    "reference": points[index % 2],
                }
            )  # fmt: skip
        regions = {
            "reference": {"kind": "point", "image": 0, "column": "reference"},
            "choices": {"kind": "point", "image": 1, "column": "points"},
        }
        bench = {"ability": "low_level_matching", "id_column": "id", "regions": regions,
                 "markers": "drawn", "probe": {"kind": "keypoint"}}  # fmt: skip
        shown = {"doc_to_text": "<image><image>\nWhich point matches, A or B?",
                 "doc_to_image": ["left", "right"]}  # fmt: skip
        return self.task(name, rows, bench=bench, **shown | keys)

    def model(self, name: str, checkpoint: object, **keys: Any) -> Path:
        """Write a model."""
        return self.write(f"{name}.yaml", {"model": name, "checkpoint": str(checkpoint), **keys})

    def study(self, name: str, *cells: Mapping[str, Any]) -> Path:
        """Write a study."""
        return self.write(f"{name}.yaml", {"study": name, "cells": list(cells)})

    def run(self, models: str, tasks: str, *more: object, output: str = "run") -> Path:
        """Run models on tasks as `vlmbench run` does, and return the folder of the run."""
        place = self.folder / output
        vlmbench(
            "run", "--models", models, "--tasks", tasks, "--include-path", self.folder,
            "--output", place, "--device", "cpu", *more,
        )  # fmt: skip
        return place


def stats_of(run: Path, *names: str) -> dict[tuple[str, ...], dict[str, Any]]:
    """Return the rows of a run's statistics by some of their keys, as `task`, `metric`."""
    rows = json.loads((run / "stats.json").read_text())
    found = {tuple(row[name] for name in names): row for row in rows}
    assert len(found) == len(rows), f"several rows have the same {names}"
    return found


def record_of(run: Path, model: str, task: str, cell: str) -> Path:
    """Return where a run keeps the record of a cell, as `prompted-own`."""
    return run / "records" / model / task / f"{cell}.parquet"
