"""A hub id without network: the cache's own layout, and the files of older checkpoints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_checkpoints import FAMILIES

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CODE = """
import torch
from vlmbench.models import HfBackend, Prompt
from vlmbench.registry import catalogue
from PIL import Image
(model,) = catalogue().select_models("Qwen/tiny-VL")
assert model.spec.revision == "%s"
assert model.spec.prompt.chat_template == "auto"
backend = HfBackend.load(model.spec, model.folder, torch.device("cpu"), torch.float32)
prompt = Prompt(user="<image>red?", images=(Image.new("RGB", (40, 40)),))
assert backend.render(prompt).startswith("USER: <|vision_start|>")
print(backend.choice_logprobs([prompt], [[" A", " B"]])[0].tolist())
"""


@pytest.mark.parametrize("older", [False, True], ids=["today's files", "older files"])
def test_a_cached_hub_id_loads(tmp_path, older):
    repository = tmp_path / "models--Qwen--tiny-VL"
    folder = repository / "snapshots" / COMMIT
    next(tiny for tiny in FAMILIES if tiny.name == "qwen2_5_vl").write(folder)
    if older:
        rearrange(folder)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    done = subprocess.run(
        [sys.executable, "-c", CODE % COMMIT],
        check=False,
        env={**os.environ, "HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(json.loads(done.stdout.strip().splitlines()[-1])) == 2


def rearrange(folder: Path) -> None:
    """Put a processor's settings where checkpoints had them before `processor_config.json`."""
    settings = json.loads((folder / "processor_config.json").read_text())
    pixels = {**settings["image_processor"], "processor_class": settings["processor_class"]}
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
    (folder / "processor_config.json").unlink()
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    (folder / "chat_template.jinja").unlink()
