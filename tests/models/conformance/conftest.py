"""Each family's tiny checkpoint, written and loaded once; torchvision beside a CPU torch."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image

if find_spec("timm") is None:
    collect_ignore = ["test_pretrained.py"]  # `test_with_torchvision.py` runs it
if find_spec("torchvision") and not torch.version.cuda:
    # Wheels of torchvision on PyPI are built for CUDA. Beside a CPU build of torch their
    # compiled half does not load; the rest, all that image processors use, needs no more than
    # these two operators to be declared.
    _LIBRARY = torch.library.Library("torchvision", "DEF")
    for _name in ("nms", "qnms"):
        _LIBRARY.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


@pytest.fixture(scope="session")
def shots() -> list[Image.Image]:
    """Noise of several sizes: wide, tall, small, one square of the towers' own size."""
    rng = np.random.default_rng(7)
    sizes = [(48, 32), (32, 64), (20, 20), (64, 64), (32, 32)]
    return [
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        for width, height in sizes
    ]
