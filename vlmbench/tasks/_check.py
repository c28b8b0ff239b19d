"""Checking every document of a split, before any model loads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Any

from vlmbench.spec import InText, Keys, TaskSpec, check_columns, doc_answers, wordings
from vlmbench.tasks._data import cores
from vlmbench.tasks._documents import IMAGE_PLACEHOLDER, Documents, Where
from vlmbench.tasks._shown_places import unwritten
from vlmbench.tasks._wordings import wording_faults
from vlmbench.tasks.sources import points_remedy
from vlmbench.types import ChangedImage, Document, Problem, VlmbenchError

# A broken data set repeats its mistake; this many examples tell as much as all of them.
MOST_PROBLEMS = 20
_AT_ONCE = 64

Row = Mapping[str, Any]


def check_documents(
    documents: Documents, keep: Callable[[Document], object] = lambda _: None
) -> str:
    """Check every document and return the digest of what they hold.

    Checked are: placeholders known, images present and decodable, as many `<image>` as images,
    gold among the choices, ids unique, regions inside their images, markers drawn or coordinates
    in the prompt.

    Args:
        documents: The documents.
        keep: Takes each document that is right, without the bytes of its images, which are read
            again when they are asked for.

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
    others = tuple(wordings(documents.task.spec))
    for index, document in enumerate(_looked_at(documents)):
        try:
            if isinstance(document, VlmbenchError):
                raise document
            prompt = _check_one(documents, document, index, seen, others)
        except VlmbenchError as error:
            if len(problems) < MOST_PROBLEMS:
                problems.extend(error.problems)
            else:
                left_out += 1
            continue
        digest.update(_content(documents, document, prompt))
        keep(_let_go(document))
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


def _looked_at(documents: Documents) -> Iterator[Document | VlmbenchError]:
    """Yield each document, or why its row makes none, with its images looked at on all cores.

    Decoding needs no interpreter, so threads do it side by side; what is wrong with an image is
    found again where the document is checked.
    """
    threads = cores()
    with ThreadPoolExecutor(threads) as pool:
        rows = enumerate(documents.rows())
        while some := [_made(documents, row, index) for index, row in islice(rows, _AT_ONCE)]:
            list(pool.map(_look, (some[first::threads] for first in range(threads))))
            yield from some


def _made(documents: Documents, row: Row, index: int) -> Document | VlmbenchError:
    try:
        return documents.made(row, index)
    except VlmbenchError as error:
        return error


def _look(some: Sequence[Document | VlmbenchError]) -> None:
    for document in some:
        if isinstance(document, Document):
            with suppress(VlmbenchError, OSError, ValueError):
                for image in (*document.encoder_images, *document.images):
                    image.look()


def _let_go(document: Document) -> Document:
    """Return a document whose images are read again when they are asked for."""
    images = tuple(image.let_go() for image in document.images)
    plain = images
    if document.encoder_images is not document.images:
        plain = tuple(image.let_go() for image in document.encoder_images)
    return replace(document, images=images, encoder_images=plain)


def _content(documents: Documents, document: Document, prompt: str) -> bytes:
    spec = documents.task.spec
    credited = spec.is_free_text and spec.bench.lm_eval is None
    answers = [doc_answers(spec, document.row)] if credited else []
    content = (
        document.doc_id,
        prompt,
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


def _check_one(
    documents: Documents,
    document: Document,
    index: int,
    seen: dict[str, int],
    others: Sequence[tuple[Keys, TaskSpec]],
) -> str:
    """Return a document's prompt; raises VlmbenchError with all that is wrong."""
    where = Where(documents.task, document.doc_id)
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
        prompt = documents.prompt(document)
    except VlmbenchError as error:
        raise where.placed(error) from error
    asked = prompt.count(IMAGE_PLACEHOLDER)
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
        problems += _text_problems(document, prompt, where)
    if not problems:
        faults = wording_faults(document, others)
        problems += [where.problem(message, field=field) for field, message in faults]
    if problems:
        raise VlmbenchError(problems)
    return prompt


def _image_problems(document: Document, where: Where) -> list[Problem]:
    """Look at every image, those with markers last: they are drawn on the others."""
    problems: dict[Problem, None] = {}
    for image in (*document.encoder_images, *document.images):
        if problems and isinstance(image, ChangedImage):
            continue
        try:
            image.look()
        except VlmbenchError as error:
            raise where.placed(error) from error
        except (OSError, ValueError) as error:
            problem = where.problem(
                f"cannot decode image {image.name!r}: {error}",
                field="doc_to_image",
                remedy="Replace the file with a valid PNG or JPEG.",
            )
            problems[problem] = None
    return [*problems]


def _region_problems(document: Document, where: Where) -> list[Problem]:
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


def _text_problems(document: Document, prompt: str, where: Where) -> list[Problem]:
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
