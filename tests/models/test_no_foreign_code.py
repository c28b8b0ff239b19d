"""A checkpoint that brings code of its own never gets it run, whoever waits with a "y"."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys

import pytest
from home import ROOT

CODE = """
from pathlib import Path
Path({place!r}).write_text("ran")
from transformers import PreTrainedConfig, PreTrainedModel, ProcessorMixin, BaseImageProcessor

class Config(PreTrainedConfig):
    model_type = "stranger"

class Model(PreTrainedModel):
    config_class = Config

Processor, Tokenizer, Pixels = ProcessorMixin, object, BaseImageProcessor
"""
AUTO = {
    "AutoConfig": "brought.Config", "AutoModel": "brought.Model",
    "AutoModelForImageTextToText": "brought.Model", "AutoProcessor": "brought.Processor",
    "AutoTokenizer": ["brought.Tokenizer", None], "AutoImageProcessor": "brought.Pixels",
}  # fmt: skip
LOAD = {
    "model": "HfBackend.load(ModelSpec(model='m', checkpoint={0!r}), None, cpu, torch.float32)",
    "encoder": "Tower.load(Twin(checkpoint={0!r}, layer=-1, relation='lineage'), None, cpu)",
    "tokenizer": "load_tokenizer({0!r}, 2048)",
}
PROGRAM = """
import torch
from vlmbench.models import HfBackend, Tower
from vlmbench.models.prismatic._text import load_tokenizer
from vlmbench.spec import ModelSpec, Twin
from vlmbench.types import VlmbenchError
cpu = torch.device("cpu")
try:
    {0}
except VlmbenchError as error:
    print("refused:", error)
"""


@pytest.mark.parametrize("what", LOAD)
@pytest.mark.parametrize("known", [False, True], ids=["strange", "known"])
def test_code_in_a_checkpoint_is_not_run(llava_folder, tmp_path, what, known):
    folder, place = tmp_path / "model", tmp_path / "it ran"
    shutil.copytree(llava_folder, folder)
    (folder / "brought.py").write_text(CODE.format(place=str(place)))
    for name in ("config.json", "processor_config.json", "tokenizer_config.json"):
        content = json.loads((folder / name).read_text())
        if not known:
            content |= {"model_type": "stranger", "tokenizer_class": "Stranger"}
            content.pop("processor_class", None)
        (folder / name).write_text(json.dumps(content | {"auto_map": AUTO}))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(LOAD[what].format(str(folder)))],
        input="y\n" * 10,
        env=os.environ | {"PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path / "hub")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "[y/N]" not in done.stdout + done.stderr
    assert not place.exists()
    if not known:
        assert "refused:" in done.stdout


def test_every_call_that_could_run_code_says_no():
    """`from_pretrained` and `from_config` of transformers ask on standard input where nothing is
    said; peft's reads tensors, and lm-eval's group is no model."""
    silent = []
    for path in (ROOT / "vlmbench").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if ast.unparse(node.func.value) in ("PeftModel", "Group"):
                continue
            told = {word.arg for word in node.keywords}
            makes = node.func.attr in ("from_pretrained", "from_config")
            if makes and not told & {"trust_remote_code", None}:
                silent.append(f"{path.name}:{node.lineno}")
    assert silent == []
