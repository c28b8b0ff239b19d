"""Members of a closed set: what they share, and the short form in which YAML may write them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from pydantic import SerializerFunctionWrapHandler, model_serializer

from vlmbench.spec._base import Spec


class Variant(Spec):
    """One member of a set, told from the others by `kind`.

    What callers need to know of a member is declared by its set's base class as class variables
    without a value, which every member sets for itself. A test walks all sets and fails if a member
    leaves one out.
    """

    options: ClassVar[tuple[str, ...]] = ()
    """Fields that its label spells out after the kind, in this order."""
    unsaid: ClassVar[tuple[Any, ...] | None] = None
    """Values of the options for which the label is the kind alone."""

    kind: str

    @model_serializer(mode="wrap")
    def _with_kind(self, keys: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Keep the kind where defaults are left out: without it nobody knows which member it is."""
        return {"kind": self.kind, **keys(self)}

    @property
    def label(self) -> str:
        """The short form: `blank`, `blur-0.5`, `hint-wrong-strong`."""
        values = tuple(getattr(self, name) for name in self.options)
        said = () if values == self.unsaid else values
        return "-".join([self.kind, *(str(value).removesuffix(".0") for value in said)])

    @classmethod
    def options_from(cls, words: str) -> dict[str, str] | None:
        """Return the options that a label spells out after the kind; None if they do not fit."""
        values = words.split("-", max(len(cls.options) - 1, 0)) if words else []
        if len(values) not in (0, len(cls.options)):
            return None
        return dict(zip(cls.options, values, strict=False))

    @classmethod
    def kind_of(cls) -> str:
        """Return the kind of this class, without an instance."""
        return str(cls.model_fields["kind"].default)


def spelled_out(value: Any, variants: Iterable[type[Variant]]) -> Any:
    """Return the keys that a short form means; a value that is not text is returned unchanged.

    Text that is not the short form of any member is returned as an unknown `kind`, so that the
    set's own validation refuses it and names the members.
    """
    if not isinstance(value, str):
        return value
    kind, _, rest = value.partition("-")
    for variant in variants:
        if variant.kind_of() != kind:
            continue
        options = variant.options_from(rest)
        if options is not None:
            return {"kind": kind, **options}
    return {"kind": value}
