"""Probes at the stages of a model: what is fitted is fitted at each stage by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from vlmbench.readouts.probes._features import ImageFeatures, OnGrid, pooled
from vlmbench.readouts.probes._fit_depth import depth_maps
from vlmbench.readouts.probes._head import Example, Head
from vlmbench.readouts.probes._linear import LinearHead
from vlmbench.readouts.probes._linear_depth import DepthSums, LinearDepthHead
from vlmbench.readouts.probes._similarity import GramHead, KeypointHead, OddOneOutHead
from vlmbench.spec import DepthProbe, LinearProbe, ProbeSpec, Role
from vlmbench.tasks import Documents
from vlmbench.types import Document


@runtime_checkable
class StageProbe(Protocol):
    """A task's probe at every stage of a model."""

    def begin(self, documents: Documents) -> None:
        """Begin to learn from the documents of a split."""

    def start(self) -> None:
        """Begin a batch: what was taken and not kept is forgotten."""

    def take(self, stage: str, document: Document, features: Sequence[ImageFeatures]) -> None:
        """Take what is learnt from one document of the batch at one stage."""

    def keep(self, role: Role) -> None:
        """Keep what the batch gave."""

    def fit(self) -> None:
        """Fit every stage on what was taken."""

    def head(self, stage: str) -> Head:
        """Return what scores documents at a stage."""

    def record(self) -> dict[str, Any]:
        """Return how each stage was fitted, as JSON values; empty if none was."""


def stage_probe(probe: ProbeSpec) -> StageProbe:
    """Return a probe for all stages, not yet fitted."""
    module, _, name = probe.staged.partition(":")
    made: StageProbe = getattr(import_module(module), name)(probe)
    return made


class Unfitted:
    """A probe that learns nothing: one head reads all stages."""

    _HEADS: Mapping[str, Head] = {
        "keypoint": KeypointHead(), "gram": GramHead(), "odd_one_out": OddOneOutHead()
    }  # fmt: skip

    def __init__(self, probe: ProbeSpec) -> None:
        self._head = self._HEADS[probe.kind]

    def begin(self, documents: Documents) -> None:
        """Learn nothing."""

    def start(self) -> None:
        """Learn nothing."""

    def take(self, stage: str, document: Document, features: Sequence[ImageFeatures]) -> None:
        """Learn nothing."""

    def keep(self, role: Role) -> None:
        """Learn nothing."""

    def fit(self) -> None:
        """Learn nothing."""

    def head(self, stage: str) -> Head:
        """Return the head, whatever the stage."""
        del stage
        return self._head

    def record(self) -> dict[str, Any]:
        """Return nothing: it is not fitted."""
        return {}


class Linear:
    """`LinearProbe` at every stage, from one pooled vector an image: 4 dim bytes each."""

    def __init__(self, probe: LinearProbe) -> None:
        self._make = LinearHead(
            label_column=probe.label_column,
            choices_column=probe.choices_column,
            group_column=probe.group_column,
        )
        self._batch: list[tuple[str, Example]] = []
        self._taken: dict[tuple[str, Role], list[Example]] = {}
        self._fitted: dict[str, Head] = {}

    def begin(self, documents: Documents) -> None:
        """Take documents as they come."""

    def start(self) -> None:
        """Forget what was not kept."""
        self._batch.clear()

    def take(self, stage: str, document: Document, features: Sequence[ImageFeatures]) -> None:
        """Take a document's pooled vectors."""
        vectors = [_alone(pooled(one).float().cpu(), one) for one in features]
        self._batch.append((stage, (document, vectors)))

    def keep(self, role: Role) -> None:
        """Keep the vectors of a batch."""
        for stage, example in self._batch:
            self._taken.setdefault((stage, role), []).append(example)
        self._batch.clear()

    def fit(self) -> None:
        """Fit a classifier a group and stage, its penalty chosen on validation."""
        for stage in dict.fromkeys(stage for stage, _ in self._taken):
            train, validation = self._taken[stage, "train"], self._taken[stage, "validation"]
            self._fitted[stage] = self._make.fit(train, validation)
        self._taken.clear()

    def head(self, stage: str) -> Head:
        """Return the stage's classifiers."""
        return self._fitted[stage]

    def record(self) -> dict[str, Any]:
        """Return how each stage's classifiers came about."""
        return {stage: head.record() for stage, head in self._fitted.items()}


class Depth:
    """Depth by a linear map of each token at every stage, from sums: 8 (dim + 2)^2 bytes each."""

    def __init__(self, probe: DepthProbe) -> None:
        self._probe = probe
        self._maps: dict[str, NDArray[np.float32]] = {}
        self._batch: dict[str, DepthSums] = {}
        self._sums: dict[tuple[str, Role], DepthSums] = {}
        self._fitted: dict[str, LinearDepthHead] = {}

    def begin(self, documents: Documents) -> None:
        """Open the depth maps of the split's images."""
        maps = depth_maps(documents, self._probe.depth_column)
        ids = (documents[index].doc_id for index in range(len(documents)))
        self._maps = {doc_id: depth for doc_id, (_, depth) in zip(ids, maps, strict=True)}

    def start(self) -> None:
        """Forget what was not kept."""
        self._batch.clear()

    def take(self, stage: str, document: Document, features: Sequence[ImageFeatures]) -> None:
        """Take the tokens of a document's first image."""
        sums = self._batch.setdefault(stage, DepthSums())
        sums.add(features[0], self._maps[document.doc_id])

    def keep(self, role: Role) -> None:
        """Keep the sums of a batch."""
        for stage, sums in self._batch.items():
            self._sums.setdefault((stage, role), DepthSums()).join(sums)
        self._batch.clear()

    def fit(self) -> None:
        """Fit a map a stage, its penalty chosen on validation."""
        for stage in dict.fromkeys(stage for stage, _ in self._sums):
            train, validation = self._sums[stage, "train"], self._sums[stage, "validation"]
            self._fitted[stage] = LinearDepthHead.fit(train, validation, answer=self._probe.answer)
        self._sums.clear()

    def head(self, stage: str) -> Head:
        """Return the stage's map."""
        return self._fitted[stage]

    def record(self) -> dict[str, Any]:
        """Return how each stage's map came about."""
        return {stage: head.record() for stage, head in self._fitted.items()}


@torch.no_grad()
def centred(features: Sequence[ImageFeatures]) -> list[ImageFeatures]:
    """Return a document's features with the mean of its own image tokens taken off.

    Tokens beside the images do not count; class tokens are centred among themselves.
    """
    tokens = [one.patch_tokens[-1][_inside(one)].double() for one in features]
    mean = torch.cat(tokens).mean(dim=0)
    classes = [one.cls_token.double() for one in features if one.cls_token is not None]
    middle = torch.stack(classes).mean(dim=0) if classes else None
    return [
        ImageFeatures(
            patch_tokens=one.patch_tokens.double() - mean,
            cls_token=None
            if one.cls_token is None or middle is None
            else one.cls_token.double() - middle,
            frame=one.frame,
        )
        for one in features
    ]


def _inside(features: ImageFeatures) -> Tensor:
    return torch.from_numpy(features.frame.inside()).to(features.patch_tokens.device)


def _alone(vector: Float[Tensor, " dim"], of: ImageFeatures) -> ImageFeatures:
    """Return features that hold one vector and nothing else."""
    frame = OnGrid(image_size=of.frame.image_size, grid=(1, 1), box=(0.0, 0.0, 1.0, 1.0))
    return ImageFeatures(patch_tokens=vector[None, None, None], cls_token=None, frame=frame)
