"""Loading the backend that a model's spec names."""

from __future__ import annotations

from vlmbench.models._backend import Backend, Remote
from vlmbench.models._device import resolve_device
from vlmbench.registry import backends
from vlmbench.spec import Located, ModelSpec
from vlmbench.types import VlmbenchError


def load_backend(model: Located[ModelSpec], device: str, dtype: str) -> Backend | Remote:
    """Return a model's backend, ready to be asked.

    Args:
        model: The model, with the folder at which a relative `checkpoint` starts.
        device: As `resolve_device` takes it.
        dtype: As `resolve_device` takes it; `auto` is what the model's spec says.

    Raises:
        VlmbenchError: If there is no such device or number format, or the model cannot be loaded,
            being recorded numbers or a cheap rule for instance.
    """
    spec = model.spec
    if not spec.has_weights:
        what = "holds recorded numbers" if spec.recorded else "is a cheap rule"
        message = f"model {spec.model!r} {what} and cannot be asked"
        raise VlmbenchError(model.problem("backend", message))
    chosen = resolve_device(device, spec.dtype if dtype == "auto" else dtype)
    loaded: Backend | Remote = backends()[spec.backend].load().load(spec, model.folder, *chosen)
    return loaded
