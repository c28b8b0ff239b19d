"""Loading the backend that a model's spec names."""

from __future__ import annotations

from vlmbench.models._backend import Backend, Remote
from vlmbench.models._device import resolve_device
from vlmbench.registry import backends
from vlmbench.spec import Located, ModelSpec


def load_backend(model: Located[ModelSpec], device: str, dtype: str) -> Backend | Remote:
    """Return a model's backend, ready to be asked.

    Args:
        model: The model, with the folder at which a relative `checkpoint` starts.
        device: As `resolve_device` takes it.
        dtype: As `resolve_device` takes it; `auto` is what the model's spec says.

    Raises:
        VlmbenchError: If there is no such device or number format, or the model cannot be loaded.
    """
    spec = model.spec
    chosen = resolve_device(device, spec.dtype if dtype == "auto" else dtype)
    loaded: Backend | Remote = backends()[spec.backend].load().load(spec, model.folder, *chosen)
    return loaded
