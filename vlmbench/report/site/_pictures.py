"""Images of documents as the models and the encoders saw them, drawn again from the task's data."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from vlmbench.registry import CUT_OFF, Catalogue, pixels_of
from vlmbench.report.site._cells import CellRead
from vlmbench.spec import Condition, ImagePolicy
from vlmbench.tasks import apply_conditions, check_documents, load_documents
from vlmbench.types import Document, EncodedImage, Region, VlmbenchError, plain

_THUMB = 96
_SUFFIXES = {b"\x89PN": "png", b"\xff\xd8\xff": "jpg"}

Shown = dict[str, Any]
"""An image of a page: its file (`f`), width and height (`w`, `h`), and labelled places (`r`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Where documents are drawn from again.

    Attributes:
        catalogue: Tasks and models as their YAML describes them today.
        root: Folder of rendered data.
        allow_network: Whether addresses that a task names may be asked.
        opened: Documents that were opened, where they will be asked for again; None to keep none.
    """

    catalogue: Catalogue
    root: Path
    allow_network: bool = False
    opened: dict[tuple[str, str, int | None], dict[str, Document]] | None = None

    def documents(self, task: str, recorded: str, limit: int | None) -> dict[str, Document]:
        """Return the documents of a run, by id.

        Args:
            task: Their task.
            recorded: The digest of what was run.
            limit: The `--limit` it was run with.

        Raises:
            VlmbenchError: If they are not here, or others than those that were run: their digest
                is not the one that the run recorded.
        """
        if self.opened is None:
            return self._open(task, recorded, limit)
        key = (task, recorded, limit)
        if key not in self.opened:
            self.opened[key] = self._open(*key)
        return self.opened[key]

    def _open(self, task: str, recorded: str, limit: int | None) -> dict[str, Document]:
        if task not in self.catalogue.tasks:
            raise VlmbenchError(
                f"no YAML of a task {task!r} is on the search path (see --include-path)"
            )
        located = self.catalogue.tasks[task]
        found = load_documents(
            located, "reported", self.root, limit, allow_network=self.allow_network
        )
        held: list[Document] = []
        digest = check_documents(found, held.append)
        if digest != recorded:
            raise VlmbenchError(
                f"the documents of {task!r} that are here are not those that were run: their "
                f"digest is {digest[:12]}, and the run recorded {recorded[:12]}"
            )
        own = apply_conditions(
            held, Condition(image=located.spec.bench.condition.image), task=located
        )
        return {document.doc_id: document for document in own}

    def policy(self, model: str, digest: str | None) -> tuple[ImagePolicy | None, str]:
        """Return how a model's images are prepared, and in words; None where that is not known."""
        if model not in self.catalogue.models or (self.catalogue.models[model].digest != digest):
            return None, (
                "as the task gives them; how they are prepared for this model is not known, since "
                "no YAML on the search path is the one it was run with"
            )
        located = self.catalogue.models[model]
        return located.spec.image, pixels_of(located).get("model", "")


@dataclass(slots=True)
class Store:
    """Image files of a site, each written once, under the digest of its bytes.

    Attributes:
        folder: Where they go.
        sizes: Bytes of each file, by name.
    """

    folder: Path
    sizes: dict[str, int] = field(default_factory=dict)
    _made: dict[tuple[str, str], str] = field(default_factory=dict)

    def once(self, image: EncodedImage, how: str, make: Callable[[EncodedImage], str]) -> str:
        """Return the file that `make` writes of an image, made once for each image and way."""
        key = (image.digest, how)
        if key not in self._made:
            self._made[key] = make(image)
        return self._made[key]

    def add(self, data: bytes, suffix: str) -> str:
        """Write a file, unless it is there; return its name."""
        name = f"{hashlib.sha256(data).hexdigest()[:24]}.{suffix}"
        if name not in self.sizes:
            (self.folder / name).write_bytes(data)
            self.sizes[name] = len(data)
        return name

    def image(self, image: EncodedImage) -> str:
        """Write an image; as PNG where browsers might show its file otherwise than it was shown."""
        return self.once(image, "", self._image)

    def _image(self, image: EncodedImage) -> str:
        data = image.data
        suffix = _SUFFIXES.get(data[:3])
        if suffix is None or not image.is_plain:
            return self.picture(image.decode())
        return self.add(data, suffix)

    def picture(self, picture: Image.Image) -> str:
        """Write a decoded picture as PNG."""
        return self.add(EncodedImage.from_pil(picture).data, "png")

    def thumb(self, image: EncodedImage) -> str:
        """Write a small picture of an image, or the image itself where that is small."""
        return (
            self.image(image)
            if max(image.size) <= _THUMB
            else self.once(image, "thumb", self._thumb)
        )

    def _thumb(self, image: EncodedImage) -> str:
        small, buffer = image.decode(), io.BytesIO()
        small.thumbnail((_THUMB, _THUMB))
        small.save(buffer, format="WEBP", quality=75)
        return self.add(buffer.getvalue(), "webp")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How some models, or their encoders, are given images.

    Attributes:
        side: `model` or `encoder`.
        models: Their names.
        says: What is done to an image, in words.
        policy: How a model's images are joined and padded; None where they stay as they are.
        square: What an encoder's record says of its squares; None for models.
    """

    side: str
    models: tuple[str, ...]
    says: str
    policy: ImagePolicy | None = None
    square: Mapping[str, Any] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether tokens are known to lie on these very images: nothing is cut off afterwards."""
        return self.policy is not None and CUT_OFF not in self.says

    def of(self, document: Document, store: Store) -> list[Shown]:
        """Return a document's images in this view, with its labelled places, and write them."""
        images = document.images if self.side == "model" else document.encoder_images
        sizes = [image.size for image in document.encoder_images]
        labels = [(text, region) for text, region in labelled(document) if sizes]
        if self.square is not None:
            return self._squares(images, labels, store)
        policy = self.policy or ImagePolicy()
        if policy.letterbox is None and (policy.several == "native" or len(images) < 2):
            return [
                _shown(store.image(image), image.size, _own(labels, place, image.size))
                for place, image in enumerate(images)
            ]
        from vlmbench.models import place, prepare

        moved = place([region for _, region in labels], [image.size for image in images], policy)
        placed = [(text, region) for (text, _), region in zip(labels, moved, strict=True)]
        pictures = prepare([image.decode() for image in images], policy)
        return [
            _shown(store.picture(picture), picture.size, _own(placed, index, picture.size))
            for index, picture in enumerate(pictures)
        ]

    def _squares(
        self, images: Sequence[EncodedImage], labels: Sequence[tuple[str, Region]], store: Store
    ) -> list[Shown]:
        """Return each image as the square that an encoder's record describes."""
        from vlmbench.models import Letterbox, place

        assert self.square is not None, "asked for before"
        box = Letterbox(
            side=self.square["side"],
            fill=tuple(self.square["fill"]),
            padding=self.square["padding"],
            resample=Image.Resampling[self.square["resample"].upper()],
        )
        policy = ImagePolicy(letterbox=box.side, fill=box.fill, padding=box.padding)
        sizes = [image.size for image in images]
        moved = place([region for _, region in labels], sizes, policy) if sizes else []
        placed = [(text, region) for (text, _), region in zip(labels, moved, strict=True)]
        shown = []
        for index, image in enumerate(images):
            same = image.size == (box.side, box.side)
            square = lambda image: store.picture(box.square(image.decode()))
            file = store.image(image) if same else store.once(image, repr(box), square)
            shown.append(_shown(file, (box.side, box.side), _own(placed, index, (box.side,) * 2)))
        return shown


def labelled(document: Document) -> list[tuple[str, Region]]:
    """Return the document's places with their labels."""
    found = [] if document.reference is None else [("REF", document.reference)]
    found += zip(document.choices, document.candidates, strict=False)
    return [(plain(text, longest=24), region) for text, region in found]


def views(cells: Sequence[CellRead], models: Mapping[str, str], data: Data) -> list[View]:
    """Return every way in which the models of some cells, and their encoders, are given images."""
    found: dict[tuple[str, str], View] = {}
    for cell in cells:
        pixels = cell.notes.get("pixels")
        if cell.readout == "prompted" and cell.condition == "own":
            policy, says = data.policy(cell.model, models.get(cell.model))
            view = View(side="model", models=(cell.model,), says=says, policy=policy)
        elif cell.readout == "encoder" and cell.condition == "own" and isinstance(pixels, dict):
            says = (
                f"each a square of {pixels['side']} x {pixels['side']} pixels, padded with "
                f"{pixels['fill']}, {pixels['resample']}"
            )
            view = View(side="encoder", models=(cell.model,), says=says, square=pixels)
        else:
            continue
        key = (view.side, says)
        known = found.get(key)
        together = (*known.models, cell.model) if known is not None else view.models
        found[key] = View(
            side=view.side, models=together, says=says, policy=view.policy, square=view.square
        )
    return sorted(found.values(), key=lambda view: view.side != "model")


def _own(
    labels: Sequence[tuple[str, Region]], image: int, size: tuple[int, int]
) -> list[list[Any]]:
    """Return labels and places on one image of a size, as shares of its width and height."""
    found: list[list[Any]] = []
    for text, region in labels:
        if region.image != image:
            continue
        half = 0.5 if region.kind == "point" else 0.0
        xy = [round((v + half) / size[axis % 2], 4) for axis, v in enumerate(region.xy)]
        found.append([text, *xy])
    return found


def _shown(file: str, size: tuple[int, int], places: list[list[Any]]) -> Shown:
    return {"f": file, "w": size[0], "h": size[1], **({"r": places} if places else {})}
