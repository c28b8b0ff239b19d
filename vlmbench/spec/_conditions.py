"""Conditions: what is changed about a document before the model sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, cast

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from vlmbench.spec._base import Spec
from vlmbench.spec._nearest import did_you_mean
from vlmbench.types import Problem, VlmbenchError

Perturbation = Literal["mask", "crop", "colour", "blur", "noise"]
HintStrength = Literal["weak", "medium", "strong"]
ImageKind = Literal["own", "blank", "none", "swapped", "scrambled", "perturbed", "evidence"]
TextKind = Literal["plain", "hint", "filler"]

_PERTURBATIONS = ("mask", "crop", "colour", "blur", "noise")
_OPTION = {"blank": "fill", "scrambled": "grid", "evidence": "where"}
_KNOWN = (
    "own", "blank", "blank-mean", "blank-noise", "none", "swapped", "scrambled-8", "mask-0.5",
    "crop-0.5", "colour-0.5", "blur-0.5", "noise-0.5", "evidence", "evidence-random",
    "hint-wrong-strong", "hint-right-strong", "filler-256-before", "random", "single",
)  # fmt: skip


class BlankImage(Spec):
    """Every image becomes one of the same size that shows nothing."""

    kind: Literal["blank"] = "blank"
    fill: Literal["grey", "mean", "noise"] = "grey"
    """`grey`: 127 everywhere. `mean`: the image's own mean colour. `noise`: every pixel drawn
    from all colours."""

    @property
    def label(self) -> str:
        """The short form."""
        return f"blank-{self.fill}"


class ScrambledImage(Spec):
    """The cells of a grid change places; none stays where it was."""

    kind: Literal["scrambled"] = "scrambled"
    grid: int = Field(default=8, ge=2, le=64)
    """Cells a side."""

    @property
    def label(self) -> str:
        """The short form."""
        return f"scrambled-{self.grid}"


class PerturbedImage(Spec):
    """The image is damaged, by degrees."""

    kind: Literal["perturbed"] = "perturbed"
    by: Perturbation
    """`mask`: grey cells of an 8 x 8 grid. `crop`: an inner part, enlarged. `colour`: hues turned
    and faded. `blur`: Gaussian. `noise`: Gaussian."""
    strength: float = Field(ge=0, le=1)
    """0 changes nothing. 1: all cells, all of the side, half a turn, a standard deviation of a
    tenth of the side, one of 128 grey levels."""

    @property
    def label(self) -> str:
        """The short form."""
        return f"{self.by}-{repr(float(self.strength)).removesuffix('.0')}"


class EvidenceMask(Spec):
    """The places that the question is about are greyed, or as much somewhere else."""

    kind: Literal["evidence"] = "evidence"
    where: Literal["regions", "random"] = "regions"
    """`regions`: the document's points and boxes. `random`: the same shapes at other places."""

    @property
    def label(self) -> str:
        """The short form."""
        return "evidence" if self.where == "regions" else "evidence-random"


class Hint(Spec):
    """The prompt asserts an answer; the words are in `hints`."""

    kind: Literal["hint"] = "hint"
    target: Literal["wrong", "right"] = "wrong"
    """`wrong`: one of the wrong choices, drawn for every document. `right`: gold."""
    strength: HintStrength = "strong"

    @property
    def label(self) -> str:
        """The short form."""
        return f"hint-{self.target}-{self.strength}"


class Filler(Spec):
    """The prompt is made longer by text that says nothing; the words are in `hints`."""

    kind: Literal["filler"] = "filler"
    tokens: int = Field(ge=1, le=1_000_000)
    """About how many tokens, at four tokens to three words."""
    place: Literal["before", "after"] = "before"
    """`before`: at the start of the prompt. `after`: after images and question, just before the
    prompt's last line."""

    @property
    def label(self) -> str:
        """The short form."""
        return f"filler-{self.tokens}-{self.place}"


_PlainImage = Literal["own", "blank", "none", "swapped"]
_ChangedImage = Annotated[
    BlankImage | ScrambledImage | PerturbedImage | EvidenceMask, Field(discriminator="kind")
]
_ChangedText = Annotated[Hint | Filler, Field(discriminator="kind")]
_Short = Annotated[str, Field(pattern="-|^scrambled$|^evidence$")]


def _long_image(value: Any) -> Any:
    """Return what a short form such as `blur-0.5` stands for; anything else as it is."""
    if isinstance(value, Mapping) and set(value) == {"kind"} and value["kind"] in (
        "own", "none", "swapped",
    ):  # fmt: skip
        return value["kind"]
    if not isinstance(value, str):
        return value
    name, _, rest = value.partition("-")
    if rest and name in _PERTURBATIONS:
        return {"kind": "perturbed", "by": name, "strength": rest}
    if name in _OPTION and (rest or name != "blank"):
        return {"kind": name} | ({_OPTION[name]: rest} if rest else {})
    return value


def _plain_image(value: Any) -> Any:
    return "blank" if value == BlankImage() else value


def _long_text(value: Any) -> Any:
    """Return what a short form such as `hint-wrong-weak` stands for; anything else as it is."""
    if isinstance(value, Mapping) and dict(value) == {"kind": "plain"}:
        return "plain"
    if not isinstance(value, str):
        return value
    name, *rest = value.split("-")
    match name, rest:
        case "hint", [target, strength]:
            return {"kind": name, "target": target, "strength": strength}
        case "filler", [tokens, place]:
            return {"kind": name, "tokens": tokens, "place": place}
        case _:
            return value


ImageChange = Annotated[
    _PlainImage | _ChangedImage,
    BeforeValidator(_long_image, json_schema_input_type=_PlainImage | _Short | _ChangedImage),
    AfterValidator(_plain_image),
]
TextChange = Annotated[
    Literal["plain"] | _ChangedText,
    BeforeValidator(_long_text, json_schema_input_type=Literal["plain"] | _Short | _ChangedText),
]


class Condition(Spec):
    """What is done to a document before it is read. The default changes nothing.

    In YAML a condition may be written as its label too: `own+hint-wrong-strong`.
    """

    image: ImageChange = "own"
    """`own`: the document's images. `blank`: images of the same sizes, all mid-grey (127).
    `none`: no images, and no place for them in the prompt. `swapped`: another document's images.
    Or `blank-mean`, `blank-noise`, `scrambled-8`, `mask-0.5` (crop, colour, blur, noise),
    `evidence`, `evidence-random`, or the same as keys."""

    text: TextChange = "plain"
    """`plain`: the task's prompt. Or `hint-wrong-strong`, `filler-256-before`, or the same as
    keys."""

    weights: Literal["base", "random"] = "base"
    """`base`: the model's own weights. `random`: the encoder's architecture with freshly drawn
    weights, against which its readout is to be judged (encoder readout only)."""

    batch: Literal["usual", "single"] = "usual"
    """`single`: every document in a forward pass of its own, which shows how far rounding alone
    moves an answer."""

    seed: int = Field(default=0, ge=0)
    """Seed of everything that is drawn; each document draws by itself."""

    @model_validator(mode="before")
    @classmethod
    def _from_label(cls, value: Any) -> Any:
        return _split(value) if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Allow a label where the mapping may stand."""
        keys = handler.resolve_ref_schema(handler(core))
        return {"anyOf": [keys, {"type": "string", "description": "The condition's label."}]}

    @classmethod
    def parse(cls, label: str) -> Self:
        """Return the condition that has this label.

        Raises:
            VlmbenchError: There is none.
        """
        try:
            return cls.model_validate(label)
        except ValidationError as error:
            deepest = max(error.errors(), key=lambda details: len(details["loc"]))
            why = "" if "literal" in deepest["type"] else f": {deepest['msg'].lower()}"
            raise VlmbenchError(
                Problem(
                    message=f"there is no condition `{label}`{why}",
                    remedy=did_you_mean(label.rpartition("+")[2], _KNOWN, what="Conditions"),
                )
            ) from None

    @property
    def image_kind(self) -> ImageKind:
        """What happens to the images, without its details."""
        return self.image if isinstance(self.image, str) else self.image.kind

    @property
    def text_kind(self) -> TextKind:
        """What happens to the prompt, without its details."""
        return self.text if isinstance(self.text, str) else self.text.kind

    @property
    def label(self) -> str:
        """How the condition is written in tables and file names; `parse` reads it."""
        parts = [self.image if isinstance(self.image, str) else self.image.label]
        if not isinstance(self.text, str):
            parts.append(self.text.label)
        if self.weights != "base":
            parts.append(self.weights)
        if self.batch != "usual":
            parts.append(self.batch)
        if self.seed:
            parts.append(f"seed-{self.seed}")
        return "+".join(parts)


def _split(label: str) -> dict[str, Any]:
    """Return the keys that a label's parts stand for; what is no other part names an image."""
    keys: dict[str, Any] = {}
    for part in label.split("+"):
        name, _, rest = part.partition("-")
        match name:
            case "hint" | "filler" | "plain":
                key, value = "text", part
            case "base" | "random":
                key, value = "weights", part
            case "usual" | "single":
                key, value = "batch", part
            case "seed":
                key, value = "seed", rest
            case _:
                key, value = "image", part
        if key in keys:
            message = cast("Any", f"a label that names one {key}, not `{keys[key]}` and `{part}`")
            raise PydanticCustomError("condition_label", message)
        keys[key] = value
    return keys
