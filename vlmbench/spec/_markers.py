"""How a question shows the model its points and boxes. Each variant says all there is to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BeforeValidator, Field

from vlmbench.spec._variants import Variant, spelled_out

Level = Annotated[int, Field(ge=0, le=255)]


class Markers(Variant):
    """How the model can tell where the points and boxes of a question are."""

    in_images: ClassVar[bool]
    """Whether the images that the model sees carry markers."""
    in_data: ClassVar[bool]
    """Whether the data's own images do: then the encoder sees them too, unless the data has images
    without them, and a document can be asked although its coordinates are not known."""
    says: ClassVar[str]
    """The same in words, for tables."""


class DrawnHere(Markers):
    """vlmbench draws markers on `doc_to_image`; the encoder sees the images without them.

    Labels are the choices, without brackets, and REF for the reference. Boxes are outlined.
    Lengths are pixels of the image; absent, they follow its size.
    """

    in_images, in_data = True, False
    says = "drawn by vlmbench"
    kind: Literal["draw"] = "draw"
    shape: Literal["ring", "disc", "square"] = "ring"
    """What is drawn about a point."""
    colour: tuple[Level, Level, Level] = (255, 0, 0)
    """Red, green and blue of the shape."""
    radius: float | None = Field(default=None, ge=2)
    """Of the shape, to the middle of its line. Absent: a fortieth of the shorter side or a
    hundredth of the longer one, whichever is more, and at least 4."""
    side: Literal["above", "below", "left", "right"] = "above"
    """Where the label stands; elsewhere if it would cover another marker or leave the image."""
    label_size: float | None = Field(default=None, ge=8)
    """Of the letters. Absent: 1.4 radii, and at least 10."""


class DrawnAlready(Markers):
    """The images in the data carry markers."""

    in_images, in_data = True, True
    says = "drawn in the data"
    kind: Literal["drawn"] = "drawn"


class InText(Markers):
    """The prompt gives the coordinates of all places, and the sizes of the images they lie in.

    Both are pixels of the image file, x and width first. Models scale an image before they look
    at it, so that a number of pixels means nothing without the size that it is counted in.
    """

    in_images, in_data = False, False
    says = "coordinates in the prompt"
    kind: Literal["text"] = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkerLook:
    """In what redrawn markers differ from a task's own.

    Attributes:
        colour: Red, green and blue of the shape; None leaves it.
        scale: Size and line of the shape about a point, relative to the task's own.
        shape: What is drawn about a point; None leaves it.
        side: Where the label stands; None leaves it.
        jpeg: Quality at which the model's images are compressed afterwards; None does not.
    """

    colour: tuple[int, int, int] | None = None
    scale: float = 1.0
    shape: Literal["ring", "disc", "square"] | None = None
    side: Literal["above", "below", "left", "right"] | None = None
    jpeg: int | None = None


MARKER_LOOKS: Mapping[str, MarkerLook] = MappingProxyType(
    {
        "own": MarkerLook(),
        "blue": MarkerLook(colour=(20, 60, 235)),
        "small": MarkerLook(scale=2 / 3),
        "large": MarkerLook(scale=1.5),
        "square": MarkerLook(shape="square"),
        "below": MarkerLook(side="below"),
        "jpeg30": MarkerLook(jpeg=30),
    }
)
"""Looks by the name that conditions use (`markers-blue`)."""


_Any = DrawnHere | DrawnAlready | InText
MARKERS: tuple[type[Markers], ...] = get_args(_Any)
"""Every variant."""


def _keys(value: Any) -> Any:
    """Return the keys that a value stands for: a word, or how markers are drawn."""
    if isinstance(value, dict) and "kind" not in value:
        return {"kind": DrawnHere.kind_of(), **value}
    return spelled_out(value, MARKERS)


AnyMarkers = Annotated[
    Annotated[_Any, Field(discriminator="kind")],
    BeforeValidator(_keys, json_schema_input_type=DrawnHere | Literal["draw", "drawn", "text"]),
]
