"""Text of strangers is shown, and does nothing."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmbench.types import Problem, VlmbenchError, plain


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\x00b\rc", r"a\x00b\x0dc"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("a\u200bb\ufeff", r"a\u200bb\ufeff"),
        ("a\ud800b", r"a\ud800b"),
        ("a\u2028b\x85", r"a\u2028b\x85"),
        ("\U000e0041", r"\U000e0041"),
        ("一 ملف ü\n\té", "一 ملف ü\n\té"),
    ],
)
def test_what_hides_or_acts_is_spelt_out(text: str, seen: str) -> None:
    assert plain(text) == seen


@given(st.text(st.characters(codec=None), max_size=50))
def test_nothing_hidden_is_left_and_all_can_be_encoded(text: str) -> None:
    seen = plain(text)
    hidden = {c for c in seen if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}
    assert hidden <= {"\n", "\t"}
    assert plain(seen) == seen
    seen.encode()


def test_long_text_loses_its_middle() -> None:
    seen = plain("a" * 500 + "b" * 9_000 + "c" * 500, longest=1_000)
    assert seen.startswith("a" * 500)
    assert seen.endswith("c" * 333)
    assert "9,000 characters left out" in seen


def test_errors_are_short_and_harmless_whatever_they_quote() -> None:
    problems = [Problem(file="a\x1b.yaml", message="x" * 10_000, remedy="y") for _ in range(1_000)]
    text = str(VlmbenchError(problems))
    assert len(text) < 20_000
    assert "\x1b" not in text
    assert "more problems" in text.splitlines()[-1]


def test_short_errors_are_whole() -> None:
    problems = [Problem(file="a.yaml", line=n, message="no") for n in range(1, 200)]
    assert len(str(VlmbenchError(problems)).splitlines()) == 199
