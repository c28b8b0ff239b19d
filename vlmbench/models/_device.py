"""Which device and number format a model runs in."""

from __future__ import annotations

from typing import Literal

import torch

from vlmbench.types import Problem, VlmbenchError

DeviceName = Literal["cuda", "mps", "xpu", "cpu"]

# Half formats that each device computes fast and safely; the CPU stays in full precision.
_AUTO_DTYPE: dict[DeviceName, torch.dtype] = {
    "cuda": torch.bfloat16,
    "xpu": torch.bfloat16,
    "mps": torch.float16,
    "cpu": torch.float32,
}
_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def _available() -> list[DeviceName]:
    found: list[DeviceName] = []
    if torch.cuda.is_available():
        found.append("cuda")
    if torch.xpu.is_available():
        found.append("xpu")
    if torch.backends.mps.is_available():
        found.append("mps")
    return [*found, "cpu"]


def resolve_device(device: str, dtype: str) -> tuple[torch.device, torch.dtype]:
    """Return the torch device and dtype that `device` and `dtype` stand for.

    Args:
        device: `auto` (the first of cuda, xpu, mps, cpu that is there), one of those, or one
            with an index such as `cuda:1`.
        dtype: `auto` (bfloat16 on cuda and xpu, float16 on mps, float32 on cpu), `float32`,
            `bfloat16` or `float16`.

    Raises:
        VlmbenchError: If the device is not there or a name is unknown.
    """
    available = _available()
    kind = available[0] if device == "auto" else device.partition(":")[0]
    if kind not in available:
        raise VlmbenchError(
            Problem(
                field="--device",
                message=f"device {device!r} is not available here",
                remedy=f"Choose auto or one of: {', '.join(available)}.",
            )
        )
    if dtype != "auto" and dtype not in _DTYPES:
        raise VlmbenchError(
            Problem(
                field="--dtype",
                message=f"unknown dtype {dtype!r}",
                remedy=f"Choose auto or one of: {', '.join(_DTYPES)}.",
            )
        )
    chosen = _AUTO_DTYPE[kind] if dtype == "auto" else _DTYPES[dtype]
    return torch.device(kind if device == "auto" else device), chosen
