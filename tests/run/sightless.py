"""A model that cannot see: the shipped one, its projected images made alike.

Its projector puts out one vector at every image position, the mean over documents and positions,
so it is given as many image tokens as ever and none of them says anything.
"""

from __future__ import annotations

from pathlib import Path

import torch

from vlmbench.models.hf import HfBackend
from vlmbench.readouts import read_prompted
from vlmbench.registry import catalogue
from vlmbench.spec import Condition
from vlmbench.tasks import ask, load_documents


class Sightless(HfBackend):
    """A LLaVA whose projected images are `mean` throughout."""

    mean: torch.Tensor

    @classmethod
    def load(cls, spec, folder, device, dtype):
        backend = super().load(spec, folder, device, dtype)
        projector = backend.model.model.multi_modal_projector
        projector.register_forward_hook(lambda module, given, put_out: cls.mean.expand_as(put_out))
        return backend


def mean_projected(model: HfBackend, name: str, data_root: Path, limit: int) -> torch.Tensor:
    """Return the mean of what the projector puts out, over a task's documents and positions."""
    (task,) = catalogue().select_tasks(name)
    documents = load_documents(task, "reported", data_root, limit)
    seen: list[torch.Tensor] = []
    projector = model.model.model.multi_modal_projector
    hook = projector.register_forward_hook(lambda module, given, put_out: seen.append(put_out))
    read_prompted(ask(list(documents), task.spec, Condition()), task.spec, model)
    hook.remove()
    return torch.cat([one.reshape(-1, one.shape[-1]) for one in seen]).mean(dim=0)
