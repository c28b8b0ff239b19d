"""Images of documents: read, decoded and changed only when asked."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from vlmbench.types import _picture
from vlmbench.types._errors import DocumentError


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is kept of an image that was looked at: its size, and the digests of its file."""

    size: tuple[int, int]
    digest: str
    shown_digest: str


class EncodedImage:
    """An image as the bytes of its file (PNG, JPEG, ...), decoded only when asked.

    It can be pickled if `read` can. Two are equal if name and bytes are.

    Args:
        data: File bytes; None where they are read when asked.
        name: Where it came from (path, or column of a data set), for messages.
        read: Reads the bytes; needed where they are not given.

    Attributes:
        name: As above.
    """

    __slots__ = ("_data", "_facts", "_read", "name")

    def __init__(
        self, data: bytes | None, name: str = "", *, read: Callable[[], bytes] | None = None
    ) -> None:
        self._data = data
        self._read = read
        self._facts: _Facts | None = None
        self.name = name

    @property
    def data(self) -> bytes:
        """File bytes.

        Raises:
            OSError: If they cannot be read.
            DocumentError: If they are others than those that were looked at.
        """
        if self._data is not None:
            return self._data
        assert self._read is not None, "made without bytes and without a way to read them"
        data = self._read()
        if self._facts is not None and _sha256(data) != self._facts.digest:
            raise DocumentError(f"image {self.name!r} has changed since it was checked; run again")
        return data

    def decode(self) -> Image.Image:
        """Return what the file shows (see `vlmbench.types._picture`), as RGB.

        Raises:
            OSError: If the pixels are damaged.
            DocumentError: If the file has changed since `look`.
            ValueError: If the bytes are not an image, or do not say which value is white.
        """
        return _picture.decode(self.data)

    def look(self) -> None:
        """Decode the image once, and keep its size and digests; raises as `decode` does."""
        if self._facts is not None:
            return
        data = self.data
        size, as_stored = _picture.look(data)
        digest = _sha256(data)
        self._facts = _Facts(size, digest, _shown(digest, as_stored))

    def let_go(self) -> EncodedImage:
        """Return the image without its bytes, where they can be read again, with what is known."""
        if self._read is None:
            return self
        image = EncodedImage(None, self.name, read=self._read)
        image._facts = self._facts
        return image

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels of what `decode` returns, read without decoding it."""
        return _picture.size(self.data) if self._facts is None else self._facts.size

    @property
    def is_plain(self) -> bool:
        """Whether any reader of images shows the file as `decode` does."""
        return _picture.is_plain(self.data)

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the file bytes: the identity under which features are cached."""
        return _sha256(self.data) if self._facts is None else self._facts.digest

    @property
    def shown_digest(self) -> str:
        """`digest`, with the version of `decode` where it shows other pixels than are stored."""
        if self._facts is not None:
            return self._facts.shown_digest
        return _shown(self.digest, _picture.is_as_stored(self.data))

    def as_png(self) -> EncodedImage:
        """Return the same picture as a file that every reader of images shows alike."""
        return EncodedImage.from_pil(self.decode(), self.name)

    @classmethod
    def from_pil(cls, image: Image.Image, name: str = "") -> EncodedImage:
        """Encode losslessly as PNG."""
        return EncodedImage(_png(image), name)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, EncodedImage):
            return NotImplemented
        return self.name == other.name and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r})"


class ChangedImage(EncodedImage):
    """Another image with its pixels changed, which is done anew whenever they are asked for.

    Its file is the PNG of these pixels, written only for who asks for bytes or a digest.

    Args:
        base: The image that is changed.
        change: Takes its picture (RGB) and returns the changed one, RGB of the same size, the same
            at every call.
        name: As above.
    """

    __slots__ = ("base", "change")

    def __init__(
        self, base: EncodedImage, change: Callable[[Image.Image], Image.Image], name: str
    ) -> None:
        super().__init__(None, name)
        self.base = base
        self.change = change

    @property
    def data(self) -> bytes:
        """The picture as a PNG file; raises as `decode` does."""
        return _png(self.decode())

    def decode(self) -> Image.Image:
        """Return the changed picture; raises as the base's `decode` and the change do."""
        return self.change(self.base.decode())

    def look(self) -> None:
        """Change the image once, and keep its size and digest; raises as `decode` does."""
        if self._facts is None:
            digest = _sha256(self.data)
            self._facts = _Facts(self.size, digest, digest)

    @property
    def digest(self) -> str:
        """Hex SHA-256 of its PNG, which is made the first time that this is asked for."""
        self.look()
        return super().digest

    @property
    def shown_digest(self) -> str:
        """`digest`."""
        return self.digest

    def let_go(self) -> ChangedImage:
        """Return the image without the bytes of its base, where they can be read again."""
        image = ChangedImage(self.base.let_go(), self.change, self.name)
        image._facts = self._facts
        return image

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels: the base's."""
        return self.base.size


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _shown(digest: str, as_stored: bool) -> str:
    return digest if as_stored else f"{digest}-{_picture.DECODE_VERSION}"
