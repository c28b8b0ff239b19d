"""Projected features of images: what the tower and the projector say, once for every image.

transformers lets a model be given what its tower would say (`mm_encoder_outputs`). So an image that
returns under another hint, order or filler, or in another document, does not pass the tower again.
"""

from __future__ import annotations

import hashlib
import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any

import torch
from torch import Tensor

# Of a batch: what belongs to its texts. All else belongs to its images.
_TEXT = frozenset({"input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids"})
# Most that a logit may move where features are handed over, as a share of what it moves where they
# are the wrong ones.
_ROUNDING = 0.05
_GIB = 1 << 30


class Projected:
    """Keeps projected features of images in main memory, the least recently used go first.

    Features are known by the very pixels that the tower is given, so another transform, crop or
    image is another entry.

    Args:
        model: An image-text-to-text model.
        project: Its method that gives images' features.
        most: Bytes to keep.
    """

    def __init__(self, model: Any, project: Callable[..., Any], *, most: int = 2 * _GIB) -> None:
        self._model, self._project_all, self._most = model, project, most
        self._kept: OrderedDict[str, Tensor] = OrderedDict()
        self._bytes = 0
        self._stacked = False  # whether the model wants one tensor for all images
        self._lock = Lock()

    @classmethod
    def proven(cls, model: Any, batch: Any) -> Projected | None:
        """Return a store for a model; None where features handed over are not the plain path.

        Args:
            model: The model.
            batch: A prompt with an image, encoded, on which the two are compared.
        """
        accepts = "mm_encoder_outputs" in inspect.signature(model.forward).parameters
        inner = model if hasattr(model, "get_image_features") else getattr(model, "model", None)
        project = getattr(inner, "get_image_features", None)
        if not accepts or project is None:
            return None
        found = cls(model, project)
        try:
            with torch.inference_mode():
                keys = image_keys(batch, 1)
                handed = None if keys is None else found.handed(batch, keys)
                if handed is None:
                    return None
                plain, again = (model(**each).logits.float() for each in (batch, handed))
                wrong = model(**_negated(handed)).logits.float()
        except Exception:  # whatever a family may raise: the plain path is there
            return None
        moved, most = ((plain - other).abs().max() for other in (again, wrong))
        return found if moved < _ROUNDING * most else None

    def handed(self, batch: Any, keys: Sequence[str]) -> dict[str, Any] | None:
        """Return a batch with features in the place of pixels; None where they cannot be handed on.

        Args:
            batch: Prompts, encoded, on the model's device.
            keys: `image_keys` of the batch.
        """
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        with self._lock:
            found = {key: self._kept[key] for key in keys if key in self._kept}
        missing = [at for at, key in enumerate(keys) if key not in found]
        first = list({keys[at]: at for at in reversed(missing)}.values())
        if first:
            fresh = self._project(batch, first, len(keys))
            if fresh is None:
                return None
            found.update(zip((keys[at] for at in first), fresh, strict=True))
        self._keep(found)
        device, dtype = self._model.device, self._model.dtype
        rows = [found[key].to(device, dtype, non_blocking=True) for key in keys]
        if self._stacked and len({row.shape for row in rows}) > 1:
            return None
        seen = BaseModelOutputWithPooling(
            pooler_output=torch.stack(rows) if self._stacked else rows
        )
        given = {name: value for name, value in batch.items() if not name.startswith("pixel")}
        return given | {"mm_encoder_outputs": {"image": seen}}

    def _project(self, batch: Any, places: Sequence[int], n: int) -> list[Tensor] | None:
        """Return features of some of a batch's n images; None if they come in another form."""
        parts = split(batch, n)
        if parts is None:
            return None
        given = {name: torch.cat([parts[at][name] for at in places]) for name in parts[places[0]]}
        known = inspect.signature(self._project_all).parameters
        features = self._project_all(
            **{name: value for name, value in given.items() if name in known}, return_dict=True
        )
        rows = getattr(features, "pooler_output", None)
        more = getattr(features, "deepstack_features", None)  # for deeper layers, not handed on
        if rows is None or more is not None or len(rows) != len(places):
            return None
        self._stacked = isinstance(rows, Tensor)
        return list(rows)

    def _keep(self, found: Mapping[str, Tensor]) -> None:
        fresh = {key: value for key, value in found.items() if key not in self._kept}
        rows = list(fresh.values())
        if len({row.shape for row in rows}) == 1:  # one copy, for which the device is waited for
            rows = list(torch.stack(rows).cpu())
        kept = dict(zip(fresh, (row.cpu() for row in rows), strict=True))
        with self._lock:
            for key in found:
                if key in self._kept:
                    self._kept.move_to_end(key)
                else:
                    self._kept[key] = kept[key]
                    self._bytes += kept[key].nbytes
            while self._bytes > self._most and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes


def _negated(handed: dict[str, Any]) -> dict[str, Any]:
    """Return a batch that is handed the opposite of its features."""
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    rows = handed["mm_encoder_outputs"]["image"].pooler_output
    wrong = -rows if isinstance(rows, Tensor) else [-row for row in rows]
    seen = BaseModelOutputWithPooling(pooler_output=wrong)
    return handed | {"mm_encoder_outputs": {"image": seen}}


def split(batch: Any, n: int) -> list[dict[str, Tensor]] | None:
    """Return what a batch holds of each of its n images; None where it is not known what."""
    given = {name: value for name, value in batch.items() if name not in _TEXT}
    if not n or not all(isinstance(value, Tensor) for value in given.values()):
        return None
    sizes = {name: [1] * n for name in given}
    if "image_grid_thw" in given:  # patches of all images in one sequence
        sizes["pixel_values"] = given["image_grid_thw"].prod(dim=1).tolist()
    if any(len(value) != sum(sizes[name]) for name, value in given.items()):
        return None
    cut = {name: torch.split(value, sizes[name]) for name, value in given.items()}
    return [{name: cut[name][at] for name in cut} for at in range(n)]


def image_keys(batch: Any, n: int) -> list[str] | None:
    """Return what is equal for equal pixels of a batch's n images, and for no others.

    Args:
        batch: Prompts, encoded, in main memory or not.
        n: How many images it has.
    """
    parts = split(batch, n)
    if parts is None:
        return None
    keys = []
    for part in parts:
        digest = hashlib.sha256()
        for name, value in sorted(part.items()):
            digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
            digest.update(value.contiguous().cpu().flatten().view(torch.uint8).numpy().tobytes())
        keys.append(digest.hexdigest())
    return keys
