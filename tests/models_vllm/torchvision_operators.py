"""Declares two operators in the environment of `make vllm`, without which torchvision fails there.

Wheels of torchvision on PyPI are built for CUDA. Beside a CPU build of torch their compiled half
does not load, and importing the rest fails because `nms` and `qnms` are not declared. vLLM imports
it in processes of its own as well, so the declarations are written into the installed package. Run
it again and it changes nothing.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

MARK = "# Declared for a CPU build of torch:"
CODE = f"""{MARK}
import torch

if not torch.version.cuda:
    _LIBRARY = torch.library.Library("torchvision", "DEF")
    for _name in ("nms", "qnms"):
        _LIBRARY.define(f"{{_name}}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""

if __name__ == "__main__":
    found = find_spec("torchvision")
    assert found is not None, "torchvision is not installed"
    assert found.origin is not None, "torchvision has no __init__.py"
    package = Path(found.origin)
    written = package.read_text("utf-8")
    if not written.startswith(MARK):
        package.write_text(CODE + written, "utf-8")
