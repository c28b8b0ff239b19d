"""A run never mixes answers of different weights that go by the same name."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from home import Home, vlmbench
from safetensors.torch import load_file, save_file

from vlmbench.models import HfBackend
from vlmbench.readouts import _prompted


class KilledError(BaseException):
    """The process ends here."""


@pytest.fixture
def home(tmp_path, llava_folder: Path) -> Home:
    home = Home(tmp_path)
    home.pairs("pairs", 8)
    home.model("tiny", shutil.copytree(llava_folder, home.folder / "weights"))
    home.study("two", {"readout": "prompted"}, {"readout": "prompted", "condition": "blank"})
    return home


def replace_weights(folder: Path) -> None:
    """Put other weights in the place of these, as a moved branch of a hub does: unseen."""
    path = folder / "model.safetensors"
    before = path.stat()
    weights = {name: torch.flip(one, [0]) for name, one in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


def cut_short(home: Home, monkeypatch, after: int) -> tuple[object, ...]:
    """Kill a run after so many batches of 4; return its command."""
    command = (
        "run", "--models", "tiny", "--tasks", "pairs", "--study", "two", "--include-path",
        home.folder, "--output", home.folder / "run", "--device", "cpu", "--batch-size", 4,
    )  # fmt: skip
    ran: list[int] = []
    real = HfBackend.choice_logprobs

    def counted(self, prompts, choices):
        if len(ran) == after:
            raise KilledError
        ran.append(len(prompts))
        return real(self, prompts, choices)

    with monkeypatch.context() as patch:
        patch.setattr(HfBackend, "choice_logprobs", counted)
        with pytest.raises(KilledError):
            vlmbench(*command)
    return command


def test_batches_of_other_weights_are_refused_before_anything_is_run(home, monkeypatch):
    command = cut_short(home, monkeypatch, after=1)
    (journal,) = (home.folder / "run").rglob("*.journal")
    replace_weights(home.folder / "weights")
    with monkeypatch.context() as patch:
        patch.setattr(_prompted, "in_batches", None)
        said = vlmbench(*command, status=1)
    assert "the answers in it are of other weights than those that are loaded now" in said.words
    journal.unlink()
    vlmbench(*command)


def test_cells_of_other_weights_are_no_run(home, monkeypatch):
    command = cut_short(home, monkeypatch, after=2)
    (record,) = (home.folder / "run").rglob("*.parquet")
    replace_weights(home.folder / "weights")
    for _ in range(2):
        said = vlmbench(*command, status=1)
        assert "is of other weights than other cells of the run" in said.words
    assert not (home.folder / "run" / "manifest.json").exists()
    record.unlink()
    vlmbench(*command)
