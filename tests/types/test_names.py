"""Names of files after text that others chose."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from vlmbench.types import file_name


@given(st.text(alphabet=st.characters(), max_size=400) | st.text("./\\~-_aA1", max_size=20))
def test_any_text_makes_one_short_name(text: str) -> None:
    name = file_name(text)
    assert 0 < len(name) <= 100
    assert Path(name).name == name
    assert name.isascii()
    assert not name.startswith((".", "-", "~"))
    assert Path("folder", name).resolve().parent == Path("folder").resolve()
    os.fsencode(name)


def test_plain_names_stay_and_others_do_not_meet() -> None:
    for text in ("val_Visual_Correspondence_1", "test-0", "a.b", "A"):
        assert file_name(text) == text
    texts = [
        "a/b",
        "a b",
        "a\0b",
        "a:b",
        "",
        ".",
        "..",
        "../a",
        "/a",
        "x" * 300,
        "x" * 301,
        "\ud800",
    ]
    names = [file_name(text) for text in texts]
    assert len({name.lower() for name in names}) == len(texts)
    assert names[0].startswith("a-b-")
