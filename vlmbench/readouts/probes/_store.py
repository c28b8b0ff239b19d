"""Features of images, kept: in memory for the cells of a model, on disk for all runs to come."""

from __future__ import annotations

import hashlib
import os
import uuid
import zlib
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from vlmbench.readouts.probes._features import ImageFeatures

_GIB = 1 << 30
# Bytes of a file's checksum, which stands before its tensors.
_SUM = 4


class FeatureStore:
    """Features by the digest of all that they depend on: the least recently used go first.

    Files are written whole under a name of their own and then renamed, so several processes can
    use one folder. A file that is damaged counts as one that is not there.

    Args:
        folder: Where files go; None for memory only.
        memory: Bytes of features held in memory.
        disk: Bytes of features held on disk, about: it is looked after now and then.
    """

    def __init__(
        self, folder: Path | None = None, *, memory: int = _GIB, disk: int = 20 * _GIB
    ) -> None:
        self.folder, self.memory, self.disk = folder, memory, disk
        self._held: OrderedDict[str, ImageFeatures] = OrderedDict()
        self._bytes = 0
        self._written = disk // 8  # what was there before is counted first

    def get(self, key: str) -> ImageFeatures | None:
        """Return features from memory: the very object that was put there."""
        found = self._held.get(key)
        if found is not None:
            self._held.move_to_end(key)
        return found

    def put(self, key: str, features: ImageFeatures) -> None:
        """Hold features in memory, in the place of those not used for longest."""
        self._held[key] = features
        self._bytes += _size(features)
        while self._bytes > self.memory and len(self._held) > 1:
            self._bytes -= _size(self._held.popitem(last=False)[1])

    def load(self, key: str) -> dict[str, Tensor] | None:
        """Return tensors from disk; None if they are not there whole."""
        if self.folder is None:
            return None
        path = self._path(key)
        try:
            data = path.read_bytes()
            if int.from_bytes(data[:_SUM]) != zlib.crc32(data[_SUM:]):
                return None
            tensors: dict[str, Tensor] = load(data[_SUM:])
        except (OSError, SafetensorError):
            return None
        with suppress(OSError):  # used just now
            os.utime(path)
        return tensors

    def save(self, key: str, tensors: dict[str, Tensor]) -> None:
        """Write tensors to disk; where that fails, they are computed again another time."""
        if self.folder is None:
            return
        path = self._path(key)
        partial = path.with_name(f"{uuid.uuid4().hex}.partial")
        data = save({name: tensor.contiguous().cpu() for name, tensor in tensors.items()})
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(zlib.crc32(data).to_bytes(_SUM) + data)
            partial.replace(path)
        except OSError:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            return
        self._written += len(data)
        if self._written > self.disk // 8:
            self._written = 0
            self._make_room()

    def _path(self, key: str) -> Path:
        assert self.folder is not None, "asked before"
        return self.folder / key[:2] / key

    def _make_room(self) -> None:
        """Delete the files that were not used for longest, until the others fit."""
        assert self.folder is not None, "asked before"
        files = []
        for path in self.folder.glob("*/*"):
            with suppress(OSError):  # another process was quicker
                about = path.stat()
                files.append((about.st_mtime, about.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self.disk:
                break
            with suppress(OSError):
                path.unlink()
            total -= size


def key_of(*about: object) -> str:
    """Return the hex SHA-256 of what features depend on."""
    return hashlib.sha256(repr(about).encode()).hexdigest()


def _size(features: ImageFeatures) -> int:
    summary = 0 if features.cls_token is None else features.cls_token.nbytes
    return int(features.patch_tokens.nbytes + summary)
