"""A hub id without network: the cache's own layout, and the files of older checkpoints."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from home import program
from tiny_checkpoints import folder_of

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CODE = """
import torch
from vlmbench.models import HfBackend, Prompt
from vlmbench.registry import catalogue
from PIL import Image
for model in catalogue().select_models("Qwen/today-VL,Qwen/older-VL"):
    assert model.spec.revision == "%s"
    assert model.spec.prompt.chat_template == "auto"
    backend = HfBackend.load(model.spec, model.folder, torch.device("cpu"), torch.float32)
    prompt = Prompt(user="<image>red?", images=(Image.new("RGB", (40, 40)),))
    assert backend.render(prompt).startswith("USER: <|vision_start|>")
    print(backend.choice_logprobs([prompt], [[" A", " B"]])[0].tolist())
"""


def test_cached_hub_ids_load_with_files_of_today_and_older_ones(tmp_path):
    for name in ("today", "older"):
        repository = tmp_path / f"models--Qwen--{name}-VL"
        shutil.copytree(folder_of("qwen2_5_vl"), repository / "snapshots" / COMMIT)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(COMMIT)
    rearrange(repository / "snapshots" / COMMIT)
    said = program("python", "-c", CODE % COMMIT, HF_HUB_CACHE=str(tmp_path), HF_HUB_OFFLINE="1")
    today, older = (json.loads(line) for line in said.strip().splitlines()[-2:])
    assert len(today) == 2
    assert today == older


def rearrange(folder: Path) -> None:
    """Put a processor's settings where checkpoints had them before `processor_config.json`."""
    settings = json.loads((folder / "processor_config.json").read_text())
    pixels = {**settings["image_processor"], "processor_class": settings["processor_class"]}
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
    (folder / "processor_config.json").unlink()
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    (folder / "chat_template.jinja").unlink()
