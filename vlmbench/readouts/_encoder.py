"""The encoder readout: what the VLM's own vision tower knows, asked directly."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import assert_never

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from vlmbench.models import Tower
from vlmbench.readouts._features import FeatureTap
from vlmbench.readouts._reading import Answer, Progress, Reading, ignore, make_reading
from vlmbench.readouts.probes import (
    DepthExample,
    DepthHead,
    FittedDepthHead,
    GramRule,
    ImageFeatures,
    KeypointRule,
    LinearHead,
    OddOneOutRule,
    Rule,
    layers,
    recipe_for,
    region_problems,
    rule_for,
)
from vlmbench.spec import DepthProbe, LinearProbe, Probe
from vlmbench.tasks import Documents, FitSplits
from vlmbench.types import Document, EncodedImage, Problem, VlmbenchError

# Documents whose features are held at once; bounds memory on large data sets.
CHUNK = 64
MILLIMETRE = 1e-3


def read_encoder(
    documents: Sequence[Document],
    probe: Probe,
    tower: Tower,
    fit_on: FitSplits | None,
    *,
    seed: int,
    cache: Path,
    progress: Progress = ignore,
) -> Reading:
    """Answer every document by a rule on the tower's features.

    Rules (protocol: arXiv 2506.08008): cosine of patch tokens at keypoints, a DPT depth head,
    Gram matrices, odd one out by pooled similarity, and a linear probe for naming. Features
    are those of the layer that the VLM consumes (`twin.layer`); the depth head also reads
    three shallower ones. Documents whose coordinates are not known fail, and count as such.
    Fitted heads see `fit_on` only, and are cached under `cache` by weights, layers, data, recipe
    and seed.

    Args:
        documents: Documents, conditions already applied.
        probe: The task's rule.
        tower: The encoder.
        fit_on: Training and validation documents; needed by depth and linear probes.
        seed: Seed of fitted heads.
        cache: Folder of fitted heads.
        progress: Called with the number of documents just done.

    Raises:
        VlmbenchError: If documents lack the regions the rule needs, or nothing is there to fit.
    """
    located = [document for document in documents if _is_located(probe, document)]
    problems = [p for document in located for p in region_problems(probe, document)]
    if problems:
        raise VlmbenchError(problems)
    tap = FeatureTap(tower, layers(probe, n_layers=tower.n_layers, consumed=tower.consumed))
    rule, record = fitted_rule(probe, tap, fit_on, seed=seed, cache=cache)
    answers: list[Answer] = []
    for document, features in _examples(documents, tap):
        if _is_located(probe, document):
            answers.append(Answer(scores=rule.score(document, features)))
        else:
            answers.append(Answer(scores=None, error="its coordinates are not known"))
        progress(1)
    return make_reading(documents, answers, rule.scale, record)


def _is_located(probe: Probe, document: Document) -> bool:
    """Tell whether a rule can be asked: not for lack of coordinates (`regions.missing: skip`)."""
    return isinstance(probe, LinearProbe) or bool(document.candidates)


def fitted_rule(
    probe: Probe, tap: FeatureTap, fit_on: FitSplits | None, *, seed: int, cache: Path
) -> tuple[Rule, dict[str, object]]:
    """Return the probe's rule, fitted if it needs to be, and the record of its fitting."""
    head = rule_for(probe)
    match head:
        case KeypointRule() | GramRule() | OddOneOutRule():
            return head, {}
        case LinearHead() | DepthHead() if fit_on is None:
            raise VlmbenchError(
                Problem(
                    field="metadata.vlmbench.probe",
                    message=f"a {probe.rule} probe must be fitted, but the task has no training "
                    "split",
                    remedy="Name a training_split (and a validation_split to choose on).",
                )
            )
        case LinearHead():
            train, validation = tuple(fit_on.train), tuple(fit_on.validation)
            linear = head.fit(list(_examples(train, tap)), list(_examples(validation, tap)))
            return linear, linear.record()
        case DepthHead():
            assert isinstance(probe, DepthProbe)
            depth = _depth_head(head, probe, tap, fit_on, seed=seed, cache=cache)
            return depth, depth.record()
        case never:
            assert_never(never)


_Example = tuple[Document, Sequence[ImageFeatures]]


def _examples(documents: Sequence[Document], tap: FeatureTap) -> Iterator[_Example]:
    """Yield each document with the features of its images, run in chunks."""
    for start in range(0, len(documents), CHUNK):
        chunk = documents[start : start + CHUNK]
        features = iter(tap.features([i for document in chunk for i in document.encoder_images]))
        for document in chunk:
            yield document, [next(features) for _ in document.encoder_images]


def _depth_head(
    head: DepthHead,
    probe: DepthProbe,
    tap: FeatureTap,
    fit_on: FitSplits,
    *,
    seed: int,
    cache: Path,
) -> FittedDepthHead:
    """Return the fitted head from the cache, or fit and cache it."""
    module = tap.tower.module
    device = next(module.parameters()).device
    recipe = recipe_for(tap.tower.width)
    splits = [_depth_maps(part, probe.depth_column) for part in (fit_on.train, fit_on.validation)]
    about = {
        "weights": tap.tower.weights_digest,
        "layers": tap.layers,
        "side": tap.tower.side,
        "seed": seed,
        # Sums on a CPU are split over its threads, so another number gives other last bits.
        "threads": torch.get_num_threads() if device.type == "cpu" else None,
        "recipe": dataclasses.asdict(recipe),
        "data": [_digest(split) for split in splits],
    }
    key = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()
    folder = cache / "depth" / key[:32]
    if (folder / "head.json").is_file():
        return FittedDepthHead.load(folder, answer=probe.answer, device=device)
    train, validation = (_depth_examples(split, tap) for split in splits)
    fitted = head.fit(train, validation, seed=seed, recipe=recipe, device=device)
    fitted.save(folder)
    return fitted


_DepthMap = tuple[EncodedImage, NDArray[np.float32]]


def _digest(split: Sequence[_DepthMap]) -> str:
    digest = hashlib.sha256()
    for image, depth in split:
        digest.update(image.digest.encode())
        digest.update(depth.tobytes())
    return digest.hexdigest()


def _depth_examples(split: Sequence[_DepthMap], tap: FeatureTap) -> list[DepthExample]:
    examples = []
    for start in range(0, len(split), CHUNK):
        chunk = split[start : start + CHUNK]
        features = tap.features([image for image, _ in chunk])
        examples += [
            DepthExample(features=feature, depth=depth)
            for feature, (_, depth) in zip(features, chunk, strict=True)
        ]
    return examples


def _depth_maps(documents: Documents, column: str) -> list[_DepthMap]:
    """Return each document's first image with its (height, width) depth map in metres."""
    maps = []
    for index in range(len(documents)):
        document = documents[index]
        cell = documents.dataset[index].get(column)
        if cell is None or cell.get("bytes") is None:
            raise VlmbenchError(
                Problem(
                    file=str(documents.task.path),
                    field="metadata.vlmbench.probe.depth_column",
                    message=f"document {document.doc_id!r}: {column!r} holds no depth map",
                    remedy="Give a 16-bit image in millimetres, 0 where depth is unknown.",
                )
            )
        with Image.open(io.BytesIO(cell["bytes"])) as picture:
            depth = np.asarray(picture, dtype=np.float32) * np.float32(MILLIMETRE)
        maps.append((document.encoder_images[0], depth))
    return maps
