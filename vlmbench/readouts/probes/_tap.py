"""Tapping a tower: image features, each distinct image once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from vlmbench.models import Tower
from vlmbench.readouts.probes._features import Frame, ImageFeatures
from vlmbench.types import EncodedImage

# Images kept at hand: enough that a reference or a blank that returns is not run again.
KEEP = 512


class FeatureTap:
    """Features of images as one tower sees them.

    Images are padded and scaled onto the tower's square as the model's own are. Identical files
    give the identical features object, so that identical images tie exactly.

    Args:
        tower: The encoder.
        layers: Hidden states to return, in order; the last is the one the VLM consumes.
        batch_size: Images per forward pass.
    """

    def __init__(self, tower: Tower, layers: Sequence[int], *, batch_size: int = 32) -> None:
        self.tower = tower
        self.layers = tuple(layers)
        self.batch_size = batch_size
        self._kept: OrderedDict[str, ImageFeatures] = OrderedDict()

    def features(self, images: Sequence[EncodedImage]) -> list[ImageFeatures]:
        """Return the features of `images` in order, running each distinct image once."""
        digests = [image.digest for image in images]
        fresh = {
            digest: image
            for digest, image in zip(digests, images, strict=True)
            if digest not in self._kept
        }
        found = {digest: self._kept[digest] for digest in digests if digest in self._kept}
        pending = list(fresh.items())
        for start in range(0, len(pending), self.batch_size):
            batch = pending[start : start + self.batch_size]
            computed = self._run([image for _, image in batch])
            found.update(zip((digest for digest, _ in batch), computed, strict=True))
        for digest in digests:
            self._kept[digest] = found[digest]
            self._kept.move_to_end(digest)
        while len(self._kept) > KEEP:
            self._kept.popitem(last=False)
        return [found[digest] for digest in digests]

    def _run(self, images: Sequence[EncodedImage]) -> list[ImageFeatures]:
        letterbox, patch = self.tower.letterbox, self.tower.patch
        pictures = [image.decode() for image in images]
        frames = [Frame.inside_of(letterbox, p.size, patch=patch) for p in pictures]
        squares = [letterbox.square(picture) for picture in pictures]
        states = self.tower.states(squares, self.layers)
        return [
            ImageFeatures(
                patch_tokens=states.patch_tokens[index],
                cls_token=None if states.cls_token is None else states.cls_token[index],
                frame=frame,
            )
            for index, frame in enumerate(frames)
        ]
