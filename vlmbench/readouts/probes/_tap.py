"""Tapping a tower: image features, each distinct image once."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata

from vlmbench.models import Tower
from vlmbench.readouts.probes._features import Frame, ImageFeatures
from vlmbench.readouts.probes._store import FeatureStore, key_of
from vlmbench.types import EncodedImage

# Parameters from which a tower takes longer than reading what it said from disk.
_SLOW = 20_000_000


class FeatureTap:
    """Features of images as one tower sees them.

    Images are padded and scaled onto the tower's square as the model's own are. Identical files
    give the identical features object as long as it is held, so that identical images tie exactly.

    Args:
        tower: The encoder.
        layers: Hidden states to return, in order; the last is the one the VLM consumes.
        store: Keeps features; one for this tap alone by default.
        batch_size: Images per forward pass.
    """

    def __init__(
        self,
        tower: Tower,
        layers: Sequence[int],
        *,
        store: FeatureStore | None = None,
        batch_size: int = 32,
    ) -> None:
        self.tower = tower
        self.layers = tuple(layers)
        self.batch_size = batch_size
        self.store = store or FeatureStore()
        self._slow = sum(part.numel() for part in tower.module.parameters()) >= _SLOW
        # All that features depend on besides the image.
        self.about = (
            tower.weights_digest, tower.module.config.to_json_string(), tower.transform,
            tower.twin.layer, tower.twin.pooled, self.layers, tower.dtype, tower.device.type,
            *map(metadata.version, ("torch", "transformers")),
        )  # fmt: skip

    def features(self, images: Sequence[EncodedImage]) -> list[ImageFeatures]:
        """Return the features of `images` in order, running each distinct image once."""
        keys = [key_of(image.shown_digest, *self.about) for image in images]
        found: dict[str, ImageFeatures] = {}
        pending: dict[str, EncodedImage] = {}
        for key, image in zip(keys, images, strict=True):
            held = self.store.get(key) or (self._stored(key, image) if self._slow else None)
            if held is None:
                pending[key] = image
            else:
                found[key] = held
        fresh = list(pending.items())
        for start in range(0, len(fresh), self.batch_size):
            batch = fresh[start : start + self.batch_size]
            computed = self._run([image for _, image in batch])
            found.update(zip((key for key, _ in batch), computed, strict=True))
        for key in pending:
            self.store.put(key, found[key])
            if self._slow:
                self._save(key, found[key])
        return [found[key] for key in keys]

    def _stored(self, key: str, image: EncodedImage) -> ImageFeatures | None:
        """Return features from disk, if they are there."""
        tensors = self.store.load(key)
        if tensors is None:
            return None
        tensors = {name: tensor.to(self.tower.device).float() for name, tensor in tensors.items()}
        features = ImageFeatures(
            patch_tokens=tensors["patch_tokens"],
            cls_token=tensors.get("cls_token"),
            frame=self._frame(image.size),
        )
        self.store.put(key, features)
        return features

    def _save(self, key: str, features: ImageFeatures) -> None:
        """Write features to disk in the tower's own number format, which loses nothing."""
        tensors = {"patch_tokens": features.patch_tokens}
        if features.cls_token is not None:
            tensors["cls_token"] = features.cls_token
        dtype = self.tower.dtype
        self.store.save(key, {name: tensor.to(dtype) for name, tensor in tensors.items()})

    def _frame(self, size: tuple[int, int]) -> Frame:
        return Frame.inside_of(self.tower.letterbox, size, patch=self.tower.patch)

    def _run(self, images: Sequence[EncodedImage]) -> list[ImageFeatures]:
        pictures = [image.decode() for image in images]
        squares = [self.tower.letterbox.square(picture) for picture in pictures]
        states = self.tower.states(squares, self.layers)
        return [
            ImageFeatures(
                patch_tokens=states.patch_tokens[index],
                cls_token=None if states.cls_token is None else states.cls_token[index],
                frame=self._frame(picture.size),
            )
            for index, picture in enumerate(pictures)
        ]
