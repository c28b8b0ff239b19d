"""The same suite in a process that has torchvision, timm and num2words.

Pixtral, Llama 4, Phi-4-multimodal, Perception LM, FastVLM, SmolVLM and Cohere2 Vision run only
there. The packages live in a folder of their own inside the environment, because torchvision
from PyPI cannot be imported beside a CPU build of torch without what `conftest.py` declares.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGES = Path(sys.prefix, "vision")


def test_all_families_pass_with_torchvision():
    assert (PACKAGES / "torchvision").is_dir(), (
        f"pip install --no-deps --target {PACKAGES} torchvision==0.28.0 timm num2words docopt"
    )
    path = os.pathsep.join([str(PACKAGES), str(ROOT), os.environ.get("PYTHONPATH", "")])
    suite = Path(__file__).with_name("test_families.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(suite)]
    done = subprocess.run(
        command,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout
    assert int(done.stdout.rsplit(" passed", maxsplit=1)[0].split()[-1]) >= 8 * 23
