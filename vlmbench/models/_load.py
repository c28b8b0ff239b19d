"""Where a model runs, in which number format, and loading the backend that its spec names."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import torch

from vlmbench.models._backend import Backend, Remote
from vlmbench.models._canary import TakesCanaries, try_canaries
from vlmbench.registry import backends, check_hosts
from vlmbench.spec import Located, ModelSpec
from vlmbench.types import Problem, VlmbenchError

# In order of preference, with the half format that each computes fast and safely; the CPU stays
# in full precision.
_AUTO_DTYPE = {
    "cuda": torch.bfloat16,
    "xpu": torch.bfloat16,
    "mps": torch.float16,
    "cpu": torch.float32,
}
_DTYPES = {name: getattr(torch, name) for name in ("float32", "bfloat16", "float16")}


def load_backend(
    model: Located[ModelSpec],
    device: str,
    dtype: str,
    answers: Path | None = None,
    hosts: Collection[str] = (),
) -> Backend | Remote:
    """Return a model's backend, ready to be asked; one that takes canaries has passed them.

    Args:
        model: The model, with the folder at which a relative `checkpoint` starts.
        device: As `resolve_device` takes it.
        dtype: As `resolve_device` takes it; `auto` is what the model's spec says.
        answers: File that keeps a server's answers; None to keep none.
        hosts: Hosts that may be asked besides this machine and those that ship.

    Raises:
        VlmbenchError: If there is no such device or number format, the model cannot be loaded,
            being recorded numbers or a cheap rule for instance, its server is a host that may not
            be asked, or a canary fails.
    """
    spec = model.spec
    if not spec.has_weights:
        what = "holds recorded numbers" if spec.recorded else "is a cheap rule"
        message = f"model {spec.model!r} {what} and cannot be asked"
        raise VlmbenchError(model.problem("backend", message))
    check_hosts([model], hosts)
    chosen = resolve_device(device, spec.dtype if dtype == "auto" else dtype)
    loaded: Backend | Remote = backends()[spec.backend].load().load(spec, model.folder, *chosen)
    if isinstance(loaded, Remote) and answers is not None:
        loaded.keep(answers)
    if isinstance(loaded, TakesCanaries):
        loaded.canary = try_canaries(loaded, model)
    return loaded


def devices() -> list[str]:
    """Return what models can run on here, the one that `auto` takes first, in words."""
    named = [
        f"cuda:{index}, {at.name}, {at.total_memory / 2**30:.0f} GiB"
        for index in range(torch.cuda.device_count())
        for at in [torch.cuda.get_device_properties(index)]
    ]
    named += [f"xpu:{index}" for index in range(torch.xpu.device_count())]
    named += ["mps"] if torch.backends.mps.is_available() else []
    return [*named, f"cpu, {torch.get_num_threads()} threads"]


def resolve_device(device: str, dtype: str) -> tuple[torch.device, torch.dtype]:
    """Return the torch device and dtype that `device` and `dtype` mean.

    Args:
        device: `auto` (the first of cuda, xpu, mps, cpu that is there), one of those, or one
            with an index such as `cuda:1`.
        dtype: `auto` (bfloat16 on cuda and xpu, float16 on mps, float32 on cpu), `float32`,
            `bfloat16` or `float16`.

    Raises:
        VlmbenchError: If the device is not available or a name is unknown.
    """
    there = {"cuda": torch.cuda, "xpu": torch.xpu, "mps": torch.backends.mps}
    available = [kind for kind in _AUTO_DTYPE if kind == "cpu" or there[kind].is_available()]
    kind = available[0] if device == "auto" else device.partition(":")[0]
    if kind not in available:
        message = f"device {device!r} is not available here"
        remedy = f"Choose auto or one of: {', '.join(available)}."
        raise VlmbenchError(Problem(field="--device", message=message, remedy=remedy))
    if dtype != "auto" and dtype not in _DTYPES:
        remedy = f"Choose auto or one of: {', '.join(_DTYPES)}."
        raise VlmbenchError(
            Problem(field="--dtype", message=f"unknown dtype {dtype!r}", remedy=remedy)
        )
    chosen = _AUTO_DTYPE[kind] if dtype == "auto" else _DTYPES[dtype]
    return torch.device(kind if device == "auto" else device), chosen
