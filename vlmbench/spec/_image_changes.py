"""What a condition can do to a document's images. Each variant states its own facts.

A new way of altering pixels is a class here, and its name in `IMAGE_CHANGES`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, assert_never, get_args

from pydantic import BeforeValidator, Field

from vlmbench.spec._markers import MARKER_LOOKS, MarkerLook
from vlmbench.spec._variants import Variant, spelled_out

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

GREY = 127
CELLS = 8
"""Cells per side of the grid that `mask` works on."""
BLUR = 0.1
"""Standard deviation of the strongest blur, as a share of the shorter side."""
NOISE = 128.0
"""Standard deviation of the strongest noise, in grey levels."""


class ImageChange(Variant):
    """What is done to the images of a document."""

    keeps_images: ClassVar[bool]
    """Whether the document still shows images."""
    moves_places: ClassVar[bool]
    """Whether points and boxes would name other pixels afterwards; they are dropped then."""
    needs_places: ClassVar[bool]
    """Whether a document needs points or boxes; those without are left out."""
    needs_others: ClassVar[bool]
    """Whether it takes the other documents of the task as well."""
    replaces: ClassVar[bool]
    """Whether nothing is left of the document's own images."""
    redraws_markers: ClassVar[bool]
    """Whether the markers that vlmbench drew are drawn anew, on the images without them."""
    redraws: ClassVar[bool]
    """Whether its images are drawn anew, by the world that drew the task's."""
    samples: ClassVar[tuple[str, ...]]
    """Labels that show what it does: in messages, tests and on the contact sheet."""


class OwnImages(ImageChange):
    """The document's own images."""

    keeps_images, moves_places, needs_places, needs_others = True, False, False, False
    replaces, redraws_markers, redraws = False, False, False
    samples = ("own",)
    kind: Literal["own"] = "own"


class NoImages(ImageChange):
    """No images, and no place for them in the prompt."""

    keeps_images, moves_places, needs_places, needs_others = False, False, False, False
    replaces, redraws_markers, redraws = True, False, False
    samples = ("none",)
    kind: Literal["none"] = "none"


class SwappedImages(ImageChange):
    """The images of another document of the task."""

    keeps_images, moves_places, needs_places, needs_others = True, True, False, True
    replaces, redraws_markers, redraws = True, False, False
    samples = ("swapped",)
    kind: Literal["swapped"] = "swapped"


class EvidenceMask(ImageChange):
    """The places that the question is about are greyed out, or just as much somewhere else."""

    keeps_images, moves_places, needs_places, needs_others = True, False, True, False
    replaces, redraws_markers, redraws = False, False, False
    samples = ("evidence", "evidence-random")
    options, unsaid = ("where",), ("regions",)
    kind: Literal["evidence"] = "evidence"
    where: Literal["regions", "random"] = "regions"
    """`regions`: the document's points and boxes. `random`: the same shapes at other places."""


class RedrawnMarkers(ImageChange):
    """Markers that look otherwise, at the same places."""

    keeps_images, moves_places, needs_places, needs_others = True, False, False, False
    replaces, redraws_markers, redraws = False, True, False
    samples = (
        "markers-own", "markers-blue", "markers-small", "markers-large", "markers-square",
        "markers-below", "markers-jpeg30",
    )  # fmt: skip
    options = ("style",)
    kind: Literal["markers"] = "markers"
    style: Literal["own", "blue", "small", "large", "square", "below", "jpeg30"]
    """`own`: as the task draws them, to see what redrawing alone does. The others change one thing
    each: colour, size of the shape to two thirds or by half, shape, the label's side, or how the
    image that carries them is compressed."""

    @property
    def look(self) -> MarkerLook:
        """In what they differ from the task's own."""
        return MARKER_LOOKS[self.style]


class CounterfactualImage(ImageChange):
    """The images are drawn anew with the one fact changed that decides the answer.

    Another choice is right then, the document's `image_target`. Documents of which more would
    change are left out.
    """

    keeps_images, moves_places, needs_places, needs_others = True, False, False, False
    replaces, redraws_markers, redraws = False, False, True
    samples = ("counterfactual",)
    kind: Literal["counterfactual"] = "counterfactual"


class PixelChange(ImageChange, ABC):
    """A change of each image by itself, whatever the question is."""

    keeps_images, moves_places, needs_places, needs_others = True, False, False, False
    replaces, redraws_markers, redraws = False, False, False

    @property
    def is_idle(self) -> bool:
        """Whether it changes nothing."""
        return False

    @abstractmethod
    def alter(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        """Return the changed image.

        Args:
            pixels: (height, width, 3) uint8, RGB.
            rng: Where everything that is random comes from.

        Returns:
            (height, width, 3) uint8, of the same size.
        """


class BlankImage(PixelChange):
    """Every image becomes one of the same size that shows nothing."""

    replaces = True
    samples = ("blank", "blank-mean", "blank-noise")
    options, unsaid = ("fill",), ("grey",)
    kind: Literal["blank"] = "blank"
    fill: Literal["grey", "mean", "noise"] = "grey"
    """`grey`: 127 everywhere. `mean`: the image's own mean colour. `noise`: every pixel drawn
    from all colours."""

    def alter(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        """Return an image of the same size that shows nothing."""
        import numpy as np

        match self.fill:
            case "grey":
                return np.full_like(pixels, GREY)
            case "mean":
                mean = pixels.reshape(-1, 3).mean(axis=0)
                return np.broadcast_to(np.rint(mean).astype(np.uint8), pixels.shape).copy()
            case "noise":
                return rng.integers(0, 256, pixels.shape, dtype=np.uint8)
            case never:
                assert_never(never)


class ScrambledImage(PixelChange):
    """The cells of a grid change places; none stays where it was."""

    replaces = True
    samples = ("scrambled-8",)
    options = ("grid",)
    kind: Literal["scrambled"] = "scrambled"
    grid: int = Field(default=8, ge=2, le=64)
    """Cells per side."""

    def alter(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        """Return the image with the cells of a grid in other places.

        The new order is one cycle through all cells, so none stays. What is left at the right and
        the bottom because the side is not a multiple of the grid stays where it is.
        """
        import numpy as np

        height, width = pixels.shape[:2]
        rows, columns = min(self.grid, height), min(self.grid, width)
        h, w = height // rows, width // columns
        cells = [
            (slice(row * h, (row + 1) * h), slice(column * w, (column + 1) * w))
            for row in range(rows)
            for column in range(columns)
        ]
        order = rng.permutation(len(cells))
        scrambled = pixels.copy()
        for source, target in zip(order, np.roll(order, 1), strict=True):
            scrambled[cells[target]] = pixels[cells[source]]
        return scrambled


class Perturbation(PixelChange):
    """The image is damaged gradually.

    The same generator gives the same draws at every strength, so a stronger mask covers the weaker
    one, and a stronger noise is the same pattern.
    """

    options = ("strength",)
    strength: float = Field(ge=0, le=1)
    """0 changes nothing, 1 is the strongest."""

    @property
    def is_idle(self) -> bool:
        """Whether the strength is 0."""
        return self.strength == 0


class MaskedCells(Perturbation):
    """A share of the cells of an 8 x 8 grid is greyed; all of them at strength 1."""

    samples = ("mask-0.5",)
    kind: Literal["mask"] = "mask"

    def alter(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        """Return the image with cells of mid-grey."""
        import numpy as np

        height, width = pixels.shape[:2]
        rows = np.arange(height) * CELLS // height
        columns = np.arange(width) * CELLS // width
        cell = rows[:, None] * CELLS + columns[None, :]
        chosen = rng.permutation(CELLS**2)[: round(self.strength * CELLS**2)]
        return np.where(np.isin(cell, chosen)[..., None], np.uint8(GREY), pixels)


class Crop(Perturbation):
    """An inner part is enlarged; at strength 1 it is a single pixel."""

    moves_places = True
    samples = ("crop-0.5",)
    kind: Literal["crop"] = "crop"

    def alter(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        """Return `1 - strength` of each side, from near the middle, at the old size."""
        import numpy as np
        from PIL import Image

        height, width = pixels.shape[:2]
        sides = (width, height)
        kept = [max(1.0, side * (1 - self.strength)) for side in sides]
        # The middle half of all places: an object in the middle is not always cut the same way.
        share = rng.uniform(0.25, 0.75, 2)
        x, y = ((side - keep) * u for side, keep, u in zip(sides, kept, share, strict=True))
        box = (x, y, x + kept[0], y + kept[1])
        return np.asarray(Image.fromarray(pixels).resize(sides, Image.Resampling.BICUBIC, box=box))


class ColourShift(Perturbation):
    """Hues are turned by up to half a turn and lose up to half of their saturation."""

    samples = ("colour-0.5",)
    kind: Literal["colour"] = "colour"

    def alter(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:  # noqa: ARG002
        """Return the image in other, paler colours."""
        import numpy as np
        from skimage.color import hsv2rgb, rgb2hsv

        hsv = rgb2hsv(pixels)
        hsv[..., 0] = (hsv[..., 0] + self.strength / 2) % 1
        hsv[..., 1] *= 1 - self.strength / 2
        turned: Pixels = np.rint(hsv2rgb(hsv) * 255).astype(np.uint8)
        return turned


class Blur(Perturbation):
    """Gaussian blur, with a standard deviation of up to a tenth of the shorter side."""

    samples = ("blur-0.5",)
    kind: Literal["blur"] = "blur"

    def alter(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:  # noqa: ARG002
        """Return the blurred image."""
        import numpy as np
        from PIL import Image, ImageFilter

        radius = self.strength * BLUR * min(pixels.shape[:2])
        return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


class Noise(Perturbation):
    """Gaussian noise, with a standard deviation of up to 128 grey levels."""

    samples = ("noise-0.5",)
    kind: Literal["noise"] = "noise"

    def alter(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        """Return the noisy image, cut to 0..255."""
        import numpy as np

        noise = rng.standard_normal(pixels.shape) * (self.strength * NOISE)
        return np.rint(np.clip(pixels + noise, 0, 255)).astype(np.uint8)


_Any = (
    OwnImages | BlankImage | NoImages | SwappedImages | ScrambledImage | MaskedCells | Crop
    | ColourShift | Blur | Noise | EvidenceMask | RedrawnMarkers | CounterfactualImage
)  # fmt: skip
IMAGE_CHANGES: tuple[type[ImageChange], ...] = get_args(_Any)
"""Every variant."""

AnyImageChange = Annotated[
    Annotated[_Any, Field(discriminator="kind")],
    BeforeValidator(
        lambda value: spelled_out(value, IMAGE_CHANGES),
        json_schema_input_type=Annotated[_Any, Field(discriminator="kind")] | str,
    ),
]
