"""Conditions: what is changed about a document before the model sees it."""

from __future__ import annotations

from typing import Any, Literal, Self, cast

from pydantic import Field, GetJsonSchemaHandler, ValidationError, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from vlmbench.spec._base import Spec
from vlmbench.spec._forward_changes import FORWARD_CHANGES, AnyForwardChange, Intact
from vlmbench.spec._image_changes import IMAGE_CHANGES, AnyImageChange, OwnImages
from vlmbench.spec._nearest import did_you_mean
from vlmbench.spec._text_changes import TEXT_CHANGES, AnyTextChange, PlainText
from vlmbench.spec._weight_changes import WEIGHT_CHANGES, AnyWeightChange, BaseWeights
from vlmbench.types import Problem, VlmbenchError


class Condition(Spec):
    """What is done to a document before it is read. The default changes nothing.

    In YAML, a condition may also be written as its label: `own+hint-wrong-strong`.
    """

    image: AnyImageChange = OwnImages()
    """`own`: the document's images. `blank`: images of the same sizes, all mid-grey (127).
    `none`: no images, and no place for them in the prompt. `swapped`: another document's images.
    Or `blank-mean`, `blank-noise`, `scrambled-8`, `mask-0.5` (crop, colour, blur, noise),
    `evidence`, `evidence-random`, `markers-blue`, or the same as keys."""

    text: AnyTextChange = PlainText()
    """`plain`: the task's prompt. Or `hint-wrong-strong`, `filler-256-before`, `paraphrase-1`,
    `order-1`, `letters`, `texts`, or the same as keys."""

    weights: AnyWeightChange = BaseWeights()
    """`base`: the model's own weights. `random`: the encoder's architecture with freshly drawn
    weights, to judge its readout against (encoder readout only). `lora-language`, `prefix-5`:
    trained on the task first, as the study's `tuning` says."""

    forward: AnyForwardChange = Intact()
    """`intact`: the forward pass as it is. Or what is done inside the language model."""

    batch: Literal["usual", "single"] = "usual"
    """`single`: every document gets a forward pass of its own, which shows how far rounding alone
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
        """Allow a label in place of the mapping."""
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
            unknown = deepest["type"] in ("union_tag_invalid", "literal_error")
            why = "" if unknown else f": {deepest['msg'].lower()}"
            raise VlmbenchError(
                Problem(
                    message=f"there is no condition `{label}`{why}",
                    remedy=did_you_mean(label.rpartition("+")[2], known(), what="Conditions"),
                )
            ) from None

    @property
    def is_own_model(self) -> bool:
        """Whether weights and forward pass are the model's own."""
        return isinstance(self.weights, BaseWeights) and not self.forward.intervenes

    @property
    def rewords(self) -> bool:
        """Whether it asks the same question in another form, and changes nothing else."""
        image, text = self.image, self.text
        rest = self.model_copy(update={"image": OwnImages(), "text": PlainText(), "seed": 0})
        same_images = image.redraws_markers or isinstance(image, OwnImages)
        same_text = text.rewords or isinstance(text, PlainText)
        changed = image.redraws_markers or text.rewords
        return rest == Condition() and same_images and same_text and changed

    @property
    def label(self) -> str:
        """How the condition is written in tables and file names; `parse` reads it."""
        parts = [self.image.label]
        if self.text.changes_prompt:
            parts.append(self.text.label)
        if not isinstance(self.weights, BaseWeights):
            parts.append(self.weights.label)
        if self.forward.intervenes:
            parts.append(self.forward.label)
        if self.batch != "usual":
            parts.append(self.batch)
        if self.seed:
            parts.append(f"seed-{self.seed}")
        return "+".join(parts)


def known() -> tuple[str, ...]:
    """Return labels to choose from: samples of every variant, and the other switch."""
    sets = (IMAGE_CHANGES, TEXT_CHANGES, WEIGHT_CHANGES, FORWARD_CHANGES)
    samples = [label for members in sets for change in members for label in change.samples]
    return (*samples, "single")


def _split(label: str) -> dict[str, Any]:
    """Return the keys that a label's parts mean; a part that means nothing else names an image."""
    sets = {"text": TEXT_CHANGES, "weights": WEIGHT_CHANGES, "forward": FORWARD_CHANGES}
    keyed = {member.kind_of(): key for key, members in sets.items() for member in members}
    keys: dict[str, Any] = {}
    for part in label.split("+"):
        name, _, rest = part.partition("-")
        match name:
            case _ if name in keyed:
                key, value = keyed[name], part
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
