"""What the site does to pages that are written to be read in the repository too."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.structure.pages import Page

_UPWARDS = re.compile(r"\[([^\]]+)\]\((\.\./[^)#]+)(#[^)]*)?\)")


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Name the files that the site does not hold, instead of linking to them."""
    folder = posixpath.dirname(page.file.src_uri)

    def told(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", folder, link[2]))
        inside = target.startswith("docs/")
        return link[0] if inside else f"{link[1]} (`{target}` in the repository)"

    return _UPWARDS.sub(told, markdown)
