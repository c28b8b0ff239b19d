"""Fitting a depth head on a task's training and validation splits, or loading it from disk."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import torch
from numpy.typing import NDArray

from vlmbench.files import WriteError
from vlmbench.readouts.probes._depth import DepthHead, FittedDepthHead
from vlmbench.readouts.probes._head import CHUNK, Fitting
from vlmbench.readouts.probes._linear_depth import DepthSums, LinearDepthHead
from vlmbench.readouts.probes._recipe import recipe_for
from vlmbench.readouts.probes._tap import FeatureTap
from vlmbench.readouts.probes._training import DepthExample
from vlmbench.spec import DepthProbe
from vlmbench.tasks import Documents
from vlmbench.types import Document, EncodedImage, Problem, VlmbenchError, opened

MILLIMETRE = 1e-3


def depth_head(probe: DepthProbe, fitting: Fitting) -> FittedDepthHead | LinearDepthHead:
    """Return the fitted head: a decoder from the cache or fitted now, or a linear map.

    Decoders are cached by all that features depend on, and by data, recipe and seed.
    """
    if fitting.how.head == "linear":
        return _linear(probe, fitting)
    tap = fitting.tap
    device = next(tap.tower.module.parameters()).device
    recipe = recipe_for(tap.tower.width)
    parts = (fitting.split("train"), fitting.split("validation"))
    splits = [depth_maps(part, probe.depth_column) for part in parts]
    about = {
        "features": tap.about,
        "seed": fitting.seed,
        # Sums on a CPU are split over its threads, so another number gives other last bits.
        "threads": torch.get_num_threads() if device.type == "cpu" else None,
        "recipe": dataclasses.asdict(recipe),
        "data": [_digest(split) for split in splits],
    }
    key = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()
    folder = fitting.cache / "depth" / key[:32]
    found = FittedDepthHead.load(folder, answer=probe.answer, device=device)
    if found is not None:
        return found
    train, validation = (_depth_examples(split, tap) for split in splits)
    head = DepthHead(answer=probe.answer)
    fitted = head.fit(train, validation, seed=fitting.seed, recipe=recipe, device=device)
    with suppress(WriteError):  # it is fitted again another time
        fitted.save(folder)
    return fitted


def _linear(probe: DepthProbe, fitting: Fitting) -> LinearDepthHead:
    sums = []
    for role in ("train", "validation"):
        sums.append(DepthSums())
        maps = depth_maps(fitting.split(role), probe.depth_column)
        for example in _depth_examples(maps, fitting.tap):
            sums[-1].add(example.features, example.depth)
    return LinearDepthHead.fit(*sums, answer=probe.answer)


_DepthMap = tuple[EncodedImage, NDArray[np.float32]]


def _digest(split: Sequence[_DepthMap]) -> str:
    digest = hashlib.sha256()
    for image, depth in split:
        digest.update(image.shown_digest.encode())
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


def depth_maps(documents: Documents, column: str) -> list[_DepthMap]:
    """Return each document's first image with its (height, width) float32 depth map in metres.

    Raises:
        VlmbenchError: If a document has none, or it cannot be decoded.
    """
    maps = []
    held = documents.dataset
    cells = held[column] if column in held.column_names else itertools.repeat(None, len(held))
    for document, cell in zip(documents, cells, strict=True):
        if cell is None or cell.get("bytes") is None:
            raise VlmbenchError(_no_map(documents, document, column, "there is no image"))
        try:
            with opened(cell["bytes"]) as picture:
                depth = np.asarray(picture, dtype=np.float32) * np.float32(MILLIMETRE)
        except Exception as error:  # a decoder may raise anything on a damaged file
            raise VlmbenchError(_no_map(documents, document, column, str(error))) from error
        maps.append((document.encoder_images[0], depth))
    return maps


def _no_map(documents: Documents, document: Document, column: str, why: str) -> Problem:
    return Problem(
        file=str(documents.task.path),
        field="metadata.vlmbench.probe.depth_column",
        message=f"document {document.doc_id!r}: {column!r} is not a depth map: {why}",
        remedy="Give a 16-bit image in millimetres, 0 where depth is unknown.",
    )
