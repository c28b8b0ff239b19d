"""What a probe must find in a document: regions of a kind, and choices to tell apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vlmbench.types import Document, Problem, Region

RegionKind = Literal["point", "box", "image"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionNeeds:
    """The regions that a probe reads.

    Attributes:
        reference: Kinds the reference may have; empty where none is needed.
        candidates: Kinds the choices' regions may have; empty where none are needed.
        min_candidates: Fewest choices the probe can tell apart.
    """

    reference: tuple[RegionKind, ...] = ()
    candidates: tuple[RegionKind, ...] = ()
    min_candidates: int = 1

    def are_known(self, document: Document) -> bool:
        """Tell whether a document's coordinates are known, as far as they are needed."""
        return not self.candidates or bool(document.candidates)

    def problems(self, document: Document) -> list[Problem]:
        """Return everything the document lacks or has of a wrong kind."""
        return [
            Problem(field=place, message=f"document {document.doc_id}: {message}", remedy=remedy)
            for place, message, remedy in (*self._reference(document), *self._choices(document))
        ]

    def _reference(self, document: Document) -> list[tuple[str, str, str]]:
        place, remedy = "regions.reference", f"give a {' or '.join(self.reference)}"
        if not self.reference:
            return []
        if document.reference is None:
            return [(place, "no reference region", remedy)]
        return _wrong(document.reference, self.reference, place, document)

    def _choices(self, document: Document) -> list[tuple[str, str, str]]:
        place = "regions.choices"
        if not self.candidates:
            return []
        if len(document.candidates) < self.min_candidates:
            found = f"{len(document.candidates)} regions of choices"
            return [(place, found, f"give at least {self.min_candidates}, one per choice")]
        wrong = [_wrong(region, self.candidates, place, document) for region in document.candidates]
        return [problem for problems in wrong for problem in problems]


def _wrong(
    region: Region, kinds: tuple[RegionKind, ...], place: str, document: Document
) -> list[tuple[str, str, str]]:
    found = []
    if region.kind not in kinds:
        found.append((place, f"a {region.kind} region", f"give a {' or '.join(kinds)}"))
    if not 0 <= region.image < len(document.encoder_images):
        message = f"a region in image {region.image} of {len(document.encoder_images)}"
        found.append((place, message, "images are counted from 0"))
    return found
