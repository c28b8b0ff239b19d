"""What a condition can do inside a forward pass. Each variant states its own facts."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import BeforeValidator, Field, model_validator

from vlmbench.spec._variants import Variant, spelled_out


class ForwardChange(Variant):
    """What is done to a language model's states or attention while it reads."""

    intervenes: ClassVar[bool]
    """Whether anything is done, which only a model that is open here allows."""
    needs_others: ClassVar[bool]
    """Whether it takes another document of the task as well."""
    patches: ClassVar[bool]
    """Whether states are replaced, so that images must not enter the model again further up."""
    samples: ClassVar[tuple[str, ...]]
    """Labels that show what it does, for messages and tests."""

    @property
    def fewest_layers(self) -> int:
        """Layers that a language model must have for it to do anything."""
        return 0


class Intact(ForwardChange):
    """The forward pass as it is."""

    intervenes, needs_others, patches = False, False, False
    samples = ("intact",)
    kind: Literal["intact"] = "intact"


class Knockout(ForwardChange):
    """Attention to image tokens is cut in a window of layers (arXiv 2411.18620).

    Windows are relative, so that one study serves models of any depth. Departure from the source:
    there a window of 9 layers slides over all of them, and the last position is one of the
    question's; here windows do not overlap, and `question` and `last` share no position.
    """

    intervenes, needs_others, patches = True, False, False
    samples = ("knockout-last-1-1", "knockout-question-2-4")
    options = ("to", "window", "of")
    kind: Literal["knockout"] = "knockout"
    to: Literal["question", "last", "all"] = "all"
    """Who no longer sees the image. `last`: the position that the answer is read from, which is the
    prompt's last and, in answers of several tokens, each of those before the last. `question`: text
    after the last image, up to but without the prompt's last position. `all`: every position but
    those of images."""
    window: int = Field(default=1, ge=1)
    """Which of the windows, from 1 at the bottom."""
    of: int = Field(default=1, ge=1)
    """Into how many equal windows the layers are cut."""

    @model_validator(mode="after")
    def _within(self) -> Self:
        if self.window > self.of:
            raise ValueError(f"window {self.window} of {self.of} does not exist")
        return self

    @property
    def fewest_layers(self) -> int:
        """Layers that a language model must have for no window to be empty."""
        return self.of

    def layers(self, total: int) -> range:
        """Return the layers of the window, from 0, of `total` layers."""
        return range((self.window - 1) * total // self.of, self.window * total // self.of)


Source = Literal["other", "self", "random"]


class Patch(ForwardChange):
    """States at one depth are replaced by those that another image gives (arXiv 2604.09364).

    They come from the same prompt with the images of another document, whose gold is another and
    whose images are of the same sizes: the next such one in an order drawn from the seed.
    """

    intervenes, needs_others, patches = True, True, True
    options = ("source", "depth")
    source: Source = "other"
    """`other`: as the other document's images give them. `self`: as the document's own images give
    them in a pass of their own, which changes nothing. `random`: moved as far as `other` moves
    them, each in a random direction."""
    depth: float = Field(default=0.5, ge=0, le=1)
    """Where: 0 is what the first layer is given, 1 what the last layer puts out."""

    def state(self, layers: int) -> int:
        """Return the number of the state nearest to the depth, halves rounded up.

        State 0 is what the first layer is given, k what layer k puts out.
        """
        return int(self.depth * layers + 0.5)


class PatchImage(Patch):
    """The states of all image tokens are replaced."""

    samples = ("patch-other-0.5", "patch-random-0")
    kind: Literal["patch"] = "patch"


class PatchLast(Patch):
    """The state of the prompt's last position is replaced, and those of the image are not."""

    samples = ("patchlast-other-0.5", "patchlast-self-1")
    kind: Literal["patchlast"] = "patchlast"


_Any = Intact | Knockout | PatchImage | PatchLast
FORWARD_CHANGES: tuple[type[ForwardChange], ...] = get_args(_Any)
"""Every variant."""

AnyForwardChange = Annotated[
    Annotated[_Any, Field(discriminator="kind")],
    BeforeValidator(
        lambda value: spelled_out(value, FORWARD_CHANGES),
        json_schema_input_type=Annotated[_Any, Field(discriminator="kind")] | str,
    ),
]
"""A change of the forward pass in YAML: its label, or its keys."""
