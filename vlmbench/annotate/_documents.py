"""Markers of a task's documents: each document whole and certain, or refused with the reason."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vlmbench.annotate._markers import Marker, find_markers
from vlmbench.files import write_atomically
from vlmbench.spec import Located, MarkerPoints, PointColumn, TaskSpec
from vlmbench.tasks import Documents, check_documents, load_documents
from vlmbench.tasks.sources import below_home, markers_file, read_markers
from vlmbench.types import Document, Problem, VlmbenchError

THRESHOLD = 0.5
"""Least confidence of a marker that is written; also the default `min_confidence` of tasks."""

LETTERS = "ABCD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """What was found in one document.

    Attributes:
        document: The document.
        found: (image, marker), every marker that may be one.
        expected: Labels that each image must show, by image.
        refusal: Why the document is left out; empty if it is not.
    """

    document: Document
    found: tuple[tuple[int, Marker], ...]
    expected: Mapping[int, tuple[str, ...]]
    refusal: str

    @property
    def kept(self) -> tuple[tuple[int, Marker], ...]:
        """The expected markers, each the most certain of its label and image."""
        best: dict[tuple[int, str], Marker] = {}
        for image, marker in sorted(self.found, key=lambda pair: -pair[1].confidence):
            if marker.label in self.expected.get(image, ()):
                best.setdefault((image, marker.label), marker)
        return tuple((image, marker) for (image, _), marker in sorted(best.items()))

    @property
    def confidence(self) -> float:
        """Of its weakest expected marker; 0 if one is missing."""
        kept = self.kept
        if len(kept) < sum(len(labels) for labels in self.expected.values()):
            return 0.0
        return min(marker.confidence for _, marker in kept)


def annotations_file(task: Located[TaskSpec]) -> Path:
    """Return where a task's markers are looked for, and therefore written.

    Raises:
        VlmbenchError: If that is neither in the folder of annotations nor in the task's own.
    """
    points = task.spec.bench.points
    usual = MarkerPoints(kind="markers", file=f"{task.spec.task}.jsonl")
    path = markers_file(points if isinstance(points, MarkerPoints) else usual)
    folders = (below_home("annotations"), task.folder)
    if any(path.resolve().is_relative_to(folder.resolve()) for folder in folders):
        return path
    raise VlmbenchError(
        task.problem(
            "metadata.vlmbench.points.file",
            f"{path} lies neither in {folders[0]} nor in the task's folder",
            "Name the file with --output if that is where the markers should go.",
        )
    )


def check_replaceable(path: Path) -> None:
    """Raise VlmbenchError if there is something at a path that is no file of markers."""
    if not path.exists():
        return
    try:
        sound = path.is_file() and read_markers(path, 0) is not None
    except (VlmbenchError, OSError, UnicodeError):
        sound = False
    if not sound:
        message = "this is there already, and is not a file of markers"
        raise VlmbenchError(
            Problem(file=str(path), message=message, remedy="Name another file with --output.")
        )


def marked_documents(
    task: Located[TaskSpec],
    data_root: Path,
    limit: int | None = None,
    *,
    allow_network: bool = False,
) -> Documents:
    """Open and check a task's reported documents for annotation, coordinates left out.

    What an earlier annotation or VPBench knows about them is not read, so that a file that no
    longer fits the data can be replaced.

    Raises:
        VlmbenchError: If the task does not ask about points, or its data is missing or unsound.
    """
    _point_regions(task)
    bench = task.spec.bench.model_copy(
        update={"points": None, "regions": None, "probe": None, "encoder_images": None}
    )
    metadata = task.spec.metadata.model_copy(update={"vlmbench": bench})
    plain = replace(task, spec=task.spec.model_copy(update={"metadata": metadata}))
    documents = load_documents(plain, "reported", data_root, limit, allow_network=allow_network)
    check_documents(documents)
    return documents


def expected_labels(task: Located[TaskSpec], document: Document) -> dict[int, tuple[str, ...]]:
    """Return the labels that each image of a document must show, by image from 0.

    Raises:
        VlmbenchError: If the task does not ask about points, has more than four choices, or names
            an image that the document does not have.
    """
    reference, choices = _point_regions(task)
    count = len(document.choices)
    if count > len(LETTERS):
        raise VlmbenchError(
            task.problem(
                "doc_to_choice",
                f"document {document.doc_id!r} has {count} choices; only the markers "
                f"{', '.join(LETTERS)} and REF can be read",
            )
        )
    labels = {choices.image: tuple(LETTERS[:count])}
    if reference is not None:
        labels[reference.image] = (*labels.get(reference.image, ()), "REF")
    if max(labels) >= len(document.images):
        message = f"document {document.doc_id!r} has no image {max(labels)} (from 0)"
        raise VlmbenchError(task.problem("metadata.vlmbench.regions", message))
    return labels


def _point_regions(task: Located[TaskSpec]) -> tuple[PointColumn | None, PointColumn]:
    regions = task.spec.bench.regions
    if (
        regions is None
        or not isinstance(regions.choices, PointColumn)
        or not isinstance(regions.reference, PointColumn | None)
    ):
        raise VlmbenchError(
            task.problem(
                "metadata.vlmbench.regions",
                f"{task.spec.task!r} does not ask about points, so it has no markers to recover",
                "Annotate a task whose regions are points.",
            )
        )
    markers = task.spec.bench.markers
    if markers is not None and not markers.in_data:
        message = "the images in the data carry no markers, and the data has the coordinates"
        raise VlmbenchError(task.problem("metadata.vlmbench.markers", message))
    return regions.reference, regions.choices


def annotate(
    task: Located[TaskSpec], documents: Iterable[Document], threshold: float = THRESHOLD
) -> Iterator[Annotation]:
    """Yield the markers of every document.

    Args:
        task: Which labels its images must show follows from its regions.
        documents: With the drawn images.
        threshold: Least confidence of every marker of a document that is not refused.
    """
    for document in documents:
        yield annotate_document(document, expected_labels(task, document), threshold)


def annotate_document(
    document: Document, expected: Mapping[int, tuple[str, ...]], threshold: float = THRESHOLD
) -> Annotation:
    """Return the markers of one document, refused unless exactly the expected ones are certain."""
    found = tuple(
        (image, marker)
        for image in sorted(expected)
        for marker in find_markers(np.asarray(document.images[image].decode()))
    )
    return Annotation(
        document=document,
        found=found,
        expected=expected,
        refusal="; ".join(_objections(found, expected, threshold)),
    )


def _objections(
    found: Sequence[tuple[int, Marker]],
    expected: Mapping[int, tuple[str, ...]],
    threshold: float,
) -> Iterator[str]:
    """Yield everything that keeps a document from being certain."""
    for image, labels in expected.items():
        where = f"image {image}"
        certain = [m for i, m in found if i == image and m.confidence >= threshold]
        for label in labels:
            count = sum(marker.label == label for marker in certain)
            if count > 1:
                yield f"{where} has {count} markers labelled {label}"
            if count == 0:
                best = [m.confidence for i, m in found if i == image and m.label == label]
                yield (
                    f"{where}: marker {label} has confidence {max(best):.2f}"
                    if best
                    else f"{where} has no marker {label}"
                )
        strange = sorted({marker.label for marker in certain} - set(labels))
        if strange:
            yield f"{where} shows markers that the task does not have: {', '.join(strange)}"


def write_annotations(annotations: Iterable[Annotation], path: Path) -> int:
    """Write one JSON row per marker of every document that is not refused; return how many rows.

    The file is replaced whole, and only once it is complete; where there are no rows, it stays.

    Raises:
        WriteError: If it cannot be written.
    """
    rows = [
        {
            "doc_id": annotation.document.doc_id,
            "image": image,
            "label": marker.label,
            "x": round(marker.x, 3),
            "y": round(marker.y, 3),
            "confidence": marker.confidence,
            "radius": round(marker.radius, 3),
        }
        for annotation in annotations
        if not annotation.refusal
        for image, marker in annotation.kept
    ]
    if rows:
        write_atomically(path, "".join(f"{json.dumps(row)}\n" for row in rows))
    return len(rows)
