"""Data rows as documents."""

from __future__ import annotations

import itertools
import stat
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from vlmbench.spec import (
    BoxColumn,
    DrawnHere,
    Located,
    Regions,
    Role,
    TaskSpec,
    doc_choices,
    doc_target,
    doc_text,
)
from vlmbench.tasks import worlds
from vlmbench.tasks._allowed import confined
from vlmbench.tasks._data import image_folder, open_split, split_name
from vlmbench.tasks._inline import inline_bytes, is_inline
from vlmbench.tasks._regions import document_regions
from vlmbench.tasks._shown_places import draw_places
from vlmbench.tasks.sources import describe_source
from vlmbench.types import Document, EncodedImage, Problem, VlmbenchError, plain

if TYPE_CHECKING:
    from datasets import Dataset

IMAGE_PLACEHOLDER = "<image>"

MOST_BYTES = 256 << 20
"""Size of the largest image file that is read."""

_ROWS_AT_ONCE = 64
_SHOWN = 200  # characters of a path in a message


@dataclass(frozen=True, kw_only=True)
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
        try:
            row = self.dataset[index]
        except IndexError:  # by which Python knows where a sequence ends
            raise
        except Exception as error:
            raise self._unreadable(f"row {index}", error) from error
        return self.made(row, index)

    def __iter__(self) -> Iterator[Document]:
        for index, row in enumerate(self.rows()):
            yield self.made(row, index)

    def rows(self) -> Iterator[Mapping[str, Any]]:
        """Yield the rows, opening many at once, which takes a tenth of the time.

        Raises:
            VlmbenchError: If a value cannot be read, such as a time beyond Python's.
        """
        batches = self.dataset.iter(_ROWS_AT_ONCE)
        for start in itertools.count(0, _ROWS_AT_ONCE):
            try:
                batch = next(batches, None)
            except Exception as error:  # Arrow and `datasets` may raise anything on odd values
                raise self._unreadable(f"a row from {start} on", error) from error
            if batch is None:
                return
            for values in zip(*batch.values(), strict=True):
                yield dict(zip(batch, values, strict=True))

    def _unreadable(self, what: str, error: Exception) -> VlmbenchError:
        message = f"{what} cannot be read: {type(error).__name__}: {error}"
        return VlmbenchError(self.task.problem("dataset_path", message))

    def made(self, row: Mapping[str, Any], index: int) -> Document:
        """Return the document of a row, which stands at `index`."""
        return make_document(self.task, self.role, row, index, self._columns)

    @cached_property
    def _columns(self) -> Dataset:
        """The rows as Arrow tables, of which an image is read without all else in its row."""
        return self.dataset.with_format("arrow")

    @property
    def source(self) -> str:
        """What the rows come from: a world's fingerprint, or the data set's path and version."""
        spec = self.task.spec
        if spec.bench.generator is not None:
            return worlds.fingerprint(spec.bench.generator)
        if spec.bench.reader is not None:
            return describe_source(spec.bench.reader)
        path = ":".join(part for part in (spec.dataset_path, spec.dataset_name) if part)
        revision = spec.dataset_kwargs.revision
        return path if revision is None else f"{path}@{revision}"

    def prompt(self, document: Document) -> str:
        """Return the rendered question with its `<image>` placeholders."""
        return doc_text(self.task.spec, document.row)


def load_documents(
    task: Located[TaskSpec],
    role: Role,
    data_root: Path,
    limit: int | None = None,
    *,
    allow_network: bool = False,
) -> Documents:
    """Open a split (see `open_split`) and cut it to its first `limit` documents."""
    dataset = open_split(task, role, data_root, limit, allow_network=allow_network)
    generator = task.spec.bench.generator
    name = split_name(task.spec, role)
    total = len(dataset) if generator is None else getattr(generator, str(name))
    if limit is not None and limit < total:
        dataset = dataset.select(range(limit))
    return Documents(task=task, role=role, dataset=dataset, total=total)


@dataclass(frozen=True, slots=True)
class Where:
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
    task: Located[TaskSpec],
    role: Role,
    row: Mapping[str, Any],
    index: int,
    table: Dataset | None = None,
) -> Document:
    """Return the document of one data row.

    Args:
        task: Its task.
        role: Its split.
        row: The row, images undecoded.
        index: Where it stands in the split.
        table: The split as Arrow tables, from which images can be read again.

    Raises:
        VlmbenchError: If an image is missing, gold is not a choice, or regions do not fit.
    """
    spec = task.spec
    bench, markers = spec.bench, spec.bench.markers
    doc_id = str(row[bench.id_column]) if bench.id_column else f"{split_name(spec, role)}-{index}"
    where = Where(task, doc_id)
    if bench.id_column and row[bench.id_column] is None:
        message = f"row {index} has no {bench.id_column!r}"
        raise VlmbenchError(task.problem("metadata.vlmbench.id_column", message, "Fill it in."))
    folder = partial(image_folder, task, role)
    again = None if table is None else partial(_Cell, table, index)
    images = _images(row, spec.doc_to_image, folder, where, again)
    columns = bench.encoder_images
    unmarked = images if columns is None else _images(row, columns, folder, where, again)
    if len(unmarked) != len(images):
        raise VlmbenchError(
            where.problem(
                f"{len(unmarked)} encoder images for {len(images)} images",
                field="metadata.vlmbench.encoder_images",
                remedy="Name one unmarked column for every column of doc_to_image.",
            )
        )
    values = _without_images(row, {*spec.image_columns, *(columns or ())})
    try:
        choices = doc_choices(spec, values)
        gold = doc_target(spec, values)
        sizes = [image.size for image in unmarked] if _clips(bench.regions) else []
        reference, candidates = document_regions(spec, values, len(choices), len(images), sizes)
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
            row=values,
            cluster=_cluster(values, bench.cluster_by),
        )
    except VlmbenchError as error:
        raise where.placed(error) from error
    except ValueError as error:
        raise VlmbenchError(where.problem(str(error), field="metadata.vlmbench")) from error


def _without_images(row: Mapping[str, Any], columns: Collection[str]) -> dict[str, Any]:
    """Return a row without images, those too that stand as text in `columns`."""
    return {
        key: value
        for key, value in row.items()
        if not _is_image(value) and not (key in columns and _holds_inline(value))
    }


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


def _holds_inline(value: Any) -> bool:
    return is_inline(value[0] if isinstance(value, list) and value else value)


@dataclass(frozen=True, slots=True)
class _Cell:
    """Reads an image of a data set again: its row, its column, and its place in a list of them."""

    table: Dataset
    row: int
    column: str
    place: int

    def __call__(self) -> bytes:
        cell = self.table[self.row][self.column][0]
        image = cell if isinstance(cell, pa.StructScalar) else cell[self.place]
        data: bytes = image["bytes"].as_py()
        return data


def _images(
    row: Mapping[str, Any],
    columns: str | Sequence[str],
    folder: Callable[[], Path],
    where: Where,
    again: Callable[[str, int], _Cell] | None,
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
        for place, value in enumerate(cell if isinstance(cell, list) else [cell]):
            if value is not None:
                read = None if again is None else again(column, place)
                found.append(_image(value, column, folder, where, read))
    if not found:
        raise VlmbenchError(where.problem("it has no image", field="doc_to_image"))
    return tuple(found)


def _image(
    value: Any, column: str, folder: Callable[[], Path], where: Where, read: _Cell | None
) -> EncodedImage:
    if isinstance(value, Mapping) and isinstance(value.get("bytes"), bytes):
        name = f"{column}: {value['path']}" if value.get("path") else column
        return EncodedImage(value["bytes"], name, read=read)
    by_name = isinstance(value, Mapping) and value.get("bytes") is None
    path = value.get("path") if by_name else value
    if not isinstance(path, str):
        raise VlmbenchError(
            where.problem(
                f"column {column!r} holds {type(value).__name__}, not an image or its path",
                field="doc_to_image",
            )
        )
    if is_inline(path):
        return EncodedImage(_inline(path, column, where), column)
    file = folder() / path
    size = _size(file)
    if size is None:
        raise VlmbenchError(
            where.problem(
                f"column {column!r}: image {plain(path, longest=_SHOWN)!r} does not exist "
                f"(looked for {plain(str(file), longest=_SHOWN)})",
                field="doc_to_image",
                remedy="Paths in the data start at the folder of the data file.",
            )
        )
    try:
        confined(where.task, file, "doc_to_image")
    except VlmbenchError as error:
        raise where.placed(error) from error
    if size > MOST_BYTES:
        message = f"image {path!r} has {size:,} bytes; at most {MOST_BYTES:,} are read"
        raise VlmbenchError(where.problem(message, field="doc_to_image"))
    return EncodedImage(file.read_bytes(), f"{column}: {path}", read=file.read_bytes)


def _inline(text: str, column: str, where: Where) -> bytes:
    try:
        return inline_bytes(text)
    except ValueError as error:
        said = plain(text, longest=_SHOWN)
        message = f"column {column!r}: {said!r} is no picture in base64: {error}"
        raise VlmbenchError(where.problem(message, field="doc_to_image")) from error


def _size(file: Path) -> int | None:
    """Return the size of a regular file in bytes; None if there is none of that name."""
    try:
        found = file.stat()
    except (OSError, ValueError):  # also where the name is too long, or no name
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
