"""Data rows as Documents, all of which are checked before any model loads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmbench.spec import (
    BoxColumn,
    DrawnHere,
    InText,
    Located,
    Regions,
    Role,
    TaskSpec,
    check_columns,
    doc_answers,
    doc_choices,
    doc_target,
    doc_text,
)
from vlmbench.tasks import worlds
from vlmbench.tasks._data import image_folder, open_split, split_name
from vlmbench.tasks._regions import document_regions
from vlmbench.tasks._shown_places import draw_places, unwritten
from vlmbench.tasks._wordings import wording_faults
from vlmbench.tasks.sources import describe_source, points_remedy
from vlmbench.types import Document, EncodedImage, Problem, VlmbenchError

if TYPE_CHECKING:
    from datasets import Dataset

IMAGE_PLACEHOLDER = "<image>"
# A broken data set repeats its mistake; this many examples tell as much as all of them.
MOST_PROBLEMS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """The documents of one split, made from their rows when asked for.

    Attributes:
        task: The task they belong to.
        role: Which split they are.
        dataset: The rows, images undecoded.
        total: Documents in the whole split, before any limit.
    """

    task: Located[TaskSpec]
    role: Role
    dataset: Dataset
    total: int

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Document:
        return make_document(self.task, self.role, self.dataset[index], index)

    def __iter__(self) -> Iterator[Document]:
        for index in range(len(self)):
            yield self[index]

    @property
    def source(self) -> str:
        """What the rows come from: a world's fingerprint, or the data set's path and version."""
        spec = self.task.spec
        if spec.bench.generator is not None:
            return worlds.fingerprint(spec.bench.generator)
        if spec.bench.reader is not None:
            return describe_source(spec.bench.reader)
        path = ":".join(part for part in (spec.dataset_path, spec.dataset_name) if part)
        revision = spec.dataset_kwargs.get("revision")
        return path if revision is None else f"{path}@{revision}"

    def prompt(self, document: Document) -> str:
        """Return the rendered question with its `<image>` placeholders."""
        return doc_text(self.task.spec, document.row)


def load_documents(
    task: Located[TaskSpec], role: Role, data_root: Path, limit: int | None = None
) -> Documents:
    """Open a split and cut it to its first `limit` documents."""
    dataset = open_split(task, role, data_root, limit)
    generator = task.spec.bench.generator
    name = split_name(task.spec, role)
    total = len(dataset) if generator is None else getattr(generator, str(name))
    if limit is not None and limit < total:
        dataset = dataset.select(range(limit))
    return Documents(task=task, role=role, dataset=dataset, total=total)


def check_documents(documents: Documents) -> str:
    """Check every document and return the digest of what they hold.

    Checked are: placeholders known, images present and decodable, as many `<image>` as images,
    gold among the choices, ids unique, regions inside their images, markers drawn or coordinates
    in the prompt.

    Returns:
        Hex SHA-256 over ids, prompts, choices, gold, image bytes and regions, in order: equal
        for two runs exactly if they asked the same questions about the same pixels. Of a file
        whose pixels the decoding rule changes, the version of the rule counts too.

    Raises:
        VlmbenchError: With all problems (of the first 20 documents that have any).
    """
    problems = check_columns(documents.task, documents.dataset.column_names)
    if problems:
        raise VlmbenchError(problems)
    digest, seen, left_out = hashlib.sha256(), dict[str, int](), 0
    for index in range(len(documents)):
        try:
            document = documents[index]
            _check_one(documents, document, index, seen)
        except VlmbenchError as error:
            if len(problems) < MOST_PROBLEMS:
                problems.extend(error.problems)
            else:
                left_out += 1
            continue
        digest.update(_content(documents, document))
    if left_out:
        problems.append(
            Problem(
                file=str(documents.task.path), message=f"and {left_out} more documents like these"
            )
        )
    if problems:
        raise VlmbenchError(problems)
    return digest.hexdigest()


def require_regions(documents: Documents, held: Sequence[Document]) -> None:
    """Raise VlmbenchError, with how to get them, if not one document's regions are known.

    If only some are missing, that is not an error if the task says `missing: skip`.
    """
    regions = documents.task.spec.bench.regions
    if regions is None or any(document.candidates for document in held):
        return
    raise VlmbenchError(
        documents.task.problem(
            "metadata.vlmbench.regions",
            f"no document of {documents.task.spec.task!r} has coordinates, so the encoder cannot "
            "be asked",
            points_remedy(documents.task),
        )
    )


def _content(documents: Documents, document: Document) -> bytes:
    spec = documents.task.spec
    credited = spec.is_free_text and spec.bench.lm_eval is None
    answers = [doc_answers(spec, document.row)] if credited else []
    content = (
        document.doc_id,
        documents.prompt(document),
        document.choices,
        document.gold,
        [image.shown_digest for image in (*document.images, *document.encoder_images)],
        [
            (region.image, region.kind, region.xy)
            for region in (document.reference, *document.candidates)
            if region is not None
        ],
        *answers,
    )
    return json.dumps(content).encode()


def _check_one(documents: Documents, document: Document, index: int, seen: dict[str, int]) -> None:
    where = _Where(documents.task, document.doc_id)
    problems = []
    first = seen.setdefault(document.doc_id, index)
    if first != index:
        problems.append(
            where.problem(
                f"rows {first} and {index} have the same id",
                field="metadata.vlmbench.id_column",
                remedy="Ids must be unique within a split.",
            )
        )
    try:
        asked = documents.prompt(document).count(IMAGE_PLACEHOLDER)
    except VlmbenchError as error:
        raise where.placed(error) from error
    if asked != len(document.images):
        problems.append(
            where.problem(
                f"the prompt has {asked} {IMAGE_PLACEHOLDER} for {len(document.images)} images",
                field="doc_to_text",
                remedy=f"Write {IMAGE_PLACEHOLDER} once for every image, where it belongs.",
            )
        )
    problems += _image_problems(document, where) or _region_problems(document, where)
    if not problems and isinstance(documents.task.spec.bench.markers, InText):
        problems += _text_problems(document, documents.prompt(document), where)
    if not problems:
        faults = wording_faults(document, documents.task.spec)
        problems += [where.problem(message, field=field) for field, message in faults]
    if problems:
        raise VlmbenchError(problems)


def _image_problems(document: Document, where: _Where) -> list[Problem]:
    problems = []
    for image in dict.fromkeys((*document.images, *document.encoder_images)):
        try:
            image.decode()
        except (OSError, ValueError) as error:
            problems.append(
                where.problem(
                    f"cannot decode image {image.name!r}: {error}",
                    field="doc_to_image",
                    remedy="Replace the file with a valid PNG or JPEG.",
                )
            )
    return problems


def _region_problems(document: Document, where: _Where) -> list[Problem]:
    problems = []
    for region in (document.reference, *document.candidates):
        if region is None or region.kind == "image":
            continue
        size = document.encoder_images[region.image].size
        # A box may end at the far edge; a point names a pixel.
        reach = 0 if region.kind == "box" else 1
        ends = [length - reach for length in size] * (len(region.xy) // 2)
        if not all(0 <= value <= end for value, end in zip(region.xy, ends, strict=True)):
            problems.append(
                where.problem(
                    f"{region.kind} {list(region.xy)} lies outside image {region.image} of "
                    f"{size[0]} x {size[1]} pixels",
                    field="metadata.vlmbench.regions",
                    remedy="Regions are pixels of the image as it is shown (upright, if its file "
                    "has an orientation), x first, from the top-left corner.",
                )
            )
    return problems


def _text_problems(document: Document, prompt: str, where: _Where) -> list[Problem]:
    lacking = unwritten(document, prompt)
    if not lacking:
        return []
    return [
        where.problem(
            f"the prompt does not give {'; '.join(lacking)}",
            field="doc_to_text",
            remedy="Write all coordinates, and the width and height of their images, in pixels of "
            "the image: `REF at (12, 40) of 96 x 64 pixels`.",
        )
    ]


@dataclass(frozen=True, slots=True)
class _Where:
    """Names a document in a message."""

    task: Located[TaskSpec]
    doc_id: str

    def problem(self, message: str, *, field: str, remedy: str = "") -> Problem:
        return self.task.problem(field, f"document {self.doc_id!r}: {message}", remedy)

    def placed(self, error: VlmbenchError) -> VlmbenchError:
        """Return an error that names the document in each of its problems."""
        return VlmbenchError(
            self.problem(problem.message, field=problem.field or "task", remedy=problem.remedy)
            for problem in error.problems
        )


def make_document(
    task: Located[TaskSpec], role: Role, row: Mapping[str, Any], index: int
) -> Document:
    """Return the document of one data row.

    Raises:
        VlmbenchError: If an image is missing, gold is not a choice, or regions do not fit.
    """
    spec = task.spec
    bench, markers = spec.bench, spec.bench.markers
    doc_id = str(row[bench.id_column]) if bench.id_column else f"{split_name(spec, role)}-{index}"
    where = _Where(task, doc_id)
    if bench.id_column and row[bench.id_column] is None:
        message = f"row {index} has no {bench.id_column!r}"
        raise VlmbenchError(task.problem("metadata.vlmbench.id_column", message, "Fill it in."))
    folder = image_folder(task, role)
    images = _images(row, spec.doc_to_image, folder, where)
    columns = bench.encoder_images
    unmarked = images if columns is None else _images(row, columns, folder, where)
    if len(unmarked) != len(images):
        raise VlmbenchError(
            where.problem(
                f"{len(unmarked)} encoder images for {len(images)} images",
                field="metadata.vlmbench.encoder_images",
                remedy="Name one unmarked column for every column of doc_to_image.",
            )
        )
    plain = {key: value for key, value in row.items() if not _is_image(value)}
    try:
        choices = doc_choices(spec, plain)
        gold = doc_target(spec, plain)
        sizes = [image.size for image in unmarked] if _clips(bench.regions) else []
        reference, candidates = document_regions(spec, plain, len(choices), len(images), sizes)
        if isinstance(markers, DrawnHere):
            images = draw_places(images, reference, candidates, choices, markers)
        return Document(
            doc_id=doc_id,
            images=images,
            encoder_images=unmarked,
            marked=columns is None and markers is not None and markers.in_data,
            choices=choices,
            gold=gold,
            reference=reference,
            candidates=candidates,
            row=plain,
            cluster=_cluster(plain, bench.cluster_by),
        )
    except VlmbenchError as error:
        raise where.placed(error) from error
    except ValueError as error:
        raise VlmbenchError(where.problem(str(error), field="metadata.vlmbench")) from error


def _cluster(row: Mapping[str, Any], column: str | None) -> str | None:
    """Return what a row shares with others, by the task's column; None where it is null."""
    value = None if column is None else row.get(column)
    return None if value is None else str(value)


def _clips(regions: Regions | None) -> bool:
    """Tell whether a region is cut at the edges of its image, which must be opened for that."""
    places = () if regions is None else (regions.reference, regions.choices)
    return any(isinstance(place, BoxColumn) and place.clip for place in places)


def _is_image(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and _is_image(value[0])
    return isinstance(value, Mapping) and set(value) == {"bytes", "path"}


def _images(
    row: Mapping[str, Any], columns: str | Sequence[str], folder: Path, where: _Where
) -> tuple[EncodedImage, ...]:
    """Return the images of `columns` in order, null ones left out as lm-eval does."""
    found: list[EncodedImage] = []
    for column in (columns,) if isinstance(columns, str) else columns:
        if column not in row:
            raise VlmbenchError(
                where.problem(
                    f"the data has no column {column!r}",
                    field="doc_to_image",
                    remedy=f"Columns are: {', '.join(row)}.",
                )
            )
        cell = row[column]
        for value in cell if isinstance(cell, list) else [cell]:
            if value is not None:
                found.append(_image(value, column, folder, where))
    if not found:
        raise VlmbenchError(where.problem("it has no image", field="doc_to_image"))
    return tuple(found)


def _image(value: Any, column: str, folder: Path, where: _Where) -> EncodedImage:
    if isinstance(value, Mapping) and value.get("bytes") is not None:
        return EncodedImage(value["bytes"], value.get("path") or column)
    path = value.get("path") if isinstance(value, Mapping) else value
    if not isinstance(path, str):
        raise VlmbenchError(
            where.problem(
                f"column {column!r} holds {type(value).__name__}, not an image or its path",
                field="doc_to_image",
            )
        )
    file = folder / path
    if not file.is_file():
        raise VlmbenchError(
            where.problem(
                f"image {path!r} does not exist (looked for {file})",
                field="doc_to_image",
                remedy="Paths in the data start at the folder of the data file.",
            )
        )
    return EncodedImage(file.read_bytes(), path)
